/**
 * What this process counts and measures. One registry per process, made here and handed around:
 * never prom-client's global one, so that two servers in one test do not count each other's work.
 */
import { performance } from 'node:perf_hooks';
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { ApiMeasures, MeasuredAnswer } from '../../api/ports.ts';
import { createFamilies, type Families } from './families.ts';
import { createReader, type Reader } from './reader.ts';

/** Ids of calls on contexts → operations, as `context_operations_total` names them. */
const OPERATION = /^(\w+?)(?:Contexts?)$/;
const OPERATIONS: Readonly<Record<string, string>> = {
  listVersions: 'versions',
  listChanges: 'changes',
  diffVersions: 'diff',
  rollbackContext: 'rollback',
  batch: 'batch',
  analytics: 'analytics',
};

export type ReplicaOutcome = 'replica' | 'lagging' | 'down';

/** Where the parts of a process tell what they do. No method throws. */
export interface Metrics extends ApiMeasures {
  /** A job ended. `job` is one of the contract's names. */
  job(job: string, outcome: 'completed' | 'failed', seconds: number): void;
  /** The relay sent, or failed to send, one batch. */
  relayed(batch: {
    readonly messages: number;
    readonly seconds: number;
    readonly isSent: boolean;
  }): void;
  /** A pass of a link ended. */
  pass(status: string): void;
  /** A read that may be a little old was answered, and how far the replica is behind (null: unknown). */
  replicaRead(outcome: ReplicaOutcome, lagSeconds: number | null): void;
  /** For gauges that are read when they are scraped. */
  readonly families: Families;
  readonly read: Reader;
}

export interface MetricsOptions {
  readonly version: string;
  readonly role: string;
  /** Name → bound of the alert rules. */
  readonly alerts: Readonly<Record<string, number>>;
}

export function createMetrics({ version, role, alerts }: MetricsOptions): Metrics {
  const registry = new Registry();
  const families = createFamilies(registry);
  collectDefaultMetrics({ register: registry });
  families.build.set({ version, role }, 1);
  families.cacheHitRatio.set(0);
  // Not 0: nothing is known of them yet.
  families.replicaLag.remove();
  families.backupTime.remove();
  for (const [name, bound] of Object.entries(alerts)) families.thresholds.set({ name }, bound);
  const read = createReader((of) => families.collectFailures.inc({ of }));
  readUtilization(families, read);
  return {
    families,
    read,
    requestBegan: () => families.inFlight.inc(),
    requestEnded: (answer) => count(families, answer),
    sockets: socketsOf(families),
    job(job, outcome, seconds) {
      families.jobs.inc({ name: job, outcome });
      families.jobSeconds.observe({ name: job }, seconds);
    },
    relayed({ messages, seconds, isSent }) {
      families.relayed.inc({ outcome: isSent ? 'sent' : 'failed' }, messages);
      families.relaySeconds.observe(seconds);
    },
    pass: (status) => families.passes.inc({ status }),
    replicaRead(outcome, lagSeconds) {
      families.replicaReads.inc({ outcome });
      if (lagSeconds === null) families.replicaLag.remove();
      else families.replicaLag.set(lagSeconds);
    },
    unread: (of) => families.collectFailures.inc({ of }),
    async text() {
      await read.all();
      return registry.metrics();
    },
  };
}

function count(families: Families, { route, call, method, status, seconds }: MeasuredAnswer): void {
  families.inFlight.dec();
  families.requests.inc({ route, method, status: String(status) });
  families.requestSeconds.observe({ route, method }, seconds);
  if (status === 429) families.rateLimited.inc();
  if (status === 401) families.authFailures.inc({ reason: 'unauthenticated' });
  if (status === 403) families.authFailures.inc({ reason: 'forbidden' });
  const operation = operationOf(route, call);
  if (operation === null) return;
  families.operations.inc({ operation, outcome: outcomeOf(status) });
  families.responseTime.observe({ operation }, seconds);
}

/** Null: no call on contexts. */
function operationOf(route: string, call: string | null): string | null {
  if (call === null || !route.startsWith('/api/context/')) return null;
  if (route.startsWith('/api/context/health')) return null;
  return OPERATIONS[call] ?? OPERATION.exec(call)?.[1] ?? call;
}

function outcomeOf(status: number): string {
  if (status < 400) return 'ok';
  if (status === 404) return 'not_found';
  if (status === 409 || status === 412) return 'conflict';
  return status < 500 ? 'refused' : 'error';
}

function socketsOf(families: Families): ApiMeasures['sockets'] {
  return {
    connection: (change) => families.sockets.inc(change),
    subscriptions: (change) => families.subscriptions.inc(change),
    sent: (messages) => families.socketMessages.inc(messages),
    resynced: () => families.socketResyncs.inc(),
    refused: (reason) => {
      if (reason === 'limit') families.rateLimited.inc();
      else families.authFailures.inc({ reason });
    },
  };
}

function readUtilization(families: Families, read: Reader): void {
  let last = performance.eventLoopUtilization();
  read.add('event_loop', 0, async () => {
    const now = performance.eventLoopUtilization();
    families.eventLoopUtilization.set(performance.eventLoopUtilization(now, last).utilization);
    last = now;
  });
}
