/**
 * One sync process on a real Temporal and a real Postgres, with connectors of the caller's own:
 * worker, pulse, watchers, relay, wired as `main/` does it. For tests and benchmarks of many links.
 */
import { randomUUID } from 'node:crypto';
import { Client, Connection, ScheduleOverlapPolicy } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { PassOutcome, PassToken } from '../../activities/contract.ts';
import { createActivities } from '../../activities/create-activities.ts';
import { DEFAULT_PACE, type PulsePace } from '../../activities/pulse.ts';
import {
  createConnectorPool,
  createConnectorRegistry,
  type AnyConnectorType,
  type ConnectorPool,
} from '../../connectors/contract.ts';
import { systemClock } from '../../domain/clock.ts';
import type { Caller } from '../../domain/context.ts';
import type { TenantId } from '../../domain/ids.ts';
import { migrate } from '../../main/migrate.ts';
import { createStore, type FullStore } from '../../store/create-store.ts';
import { createDatabase, type Database } from '../../store/database.ts';
import { createLinkWaker } from '../../workers/link-waker.ts';
import { startRelay } from '../../workers/relay.ts';
import { startRemoteWatcher } from '../../workers/watch-remotes.ts';
import { PULSE, syncWorkflowId } from '../../workflows/contract.ts';
import { builtWorkflows } from './product-build.ts';

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined };
const MAX_OPEN = 5_000;

export interface SyncStackOptions {
  /** An empty database. */
  readonly databaseUrl: string;
  /** `host:port` of a Temporal frontend, namespace `default`. */
  readonly temporalAddress: string;
  readonly taskQueue: string;
  readonly types: readonly AnyConnectorType[];
  readonly pulseMs: number;
  readonly maxWatched: number;
  readonly maxLivePerProcess: number;
  readonly pace?: Partial<PulsePace>;
  /** Told of every pass that did or wanted something, once it is settled. */
  readonly onPass?: (pass: PassToken, outcome: PassOutcome) => void;
  /** Told of every wake that is sent. */
  readonly onWake?: (linkId: string, reason: string) => void;
}

export interface SyncStack {
  readonly store: FullStore;
  readonly database: Database;
  readonly pool: ConnectorPool;
  /** Makes a tenant, and answers a caller for it. */
  addTenant(id: string): Promise<Caller>;
  /** From now on due links are woken. */
  startPulse(): Promise<void>;
  close(): Promise<void>;
}

/** Starts it, without its pulse. */
export async function startSyncStack(options: SyncStackOptions): Promise<SyncStack> {
  const { taskQueue, temporalAddress: address } = options;
  quiet();
  await migrate(options.databaseUrl);
  const committed = new Set<() => void>();
  const database = createDatabase({ url: options.databaseUrl, poolMin: 2, poolMax: 20 });
  const store = createStore({
    database,
    clock: systemClock,
    newId: randomUUID,
    maxContextBytes: 1024 * 1024,
    onCommitted: () => committed.forEach((told) => told()),
  });
  const registry = createConnectorRegistry(options.types);
  const pool = createConnectorPool({
    typeOf: (kind) => registry.get(kind),
    permissions: { fileRoots: [], stdioCommands: [] },
    secret: (name) => name,
    log: SILENT,
    maxOpen: MAX_OPEN,
  });
  // First, because it may compile for seconds, and a connection that waits for that gives up.
  const codePath = await builtWorkflows();
  const [connection, native] = await Promise.all([
    Connection.connect({ address }),
    NativeConnection.connect({ address }),
  ]);
  const client = new Client({ connection });
  const send = createLinkWaker(client, taskQueue);
  const wake: typeof send = (link, reason) => {
    options.onWake?.(link.linkId, reason);
    return send(link, reason);
  };
  const watcher = startRemoteWatcher({
    sweeps: store.sweeps,
    linkOf: async (ref) => (await store.sync.linkOfPass(ref))?.link ?? null,
    pool,
    wake,
    maxWatched: options.maxWatched,
    log: SILENT,
  });
  const relay = startRelay({ outbox: store.outbox, wake, log: SILENT });
  committed.add(relay.nudge);
  const worker = await Worker.create({
    connection: native,
    namespace: 'default',
    taskQueue,
    workflowBundle: { codePath },
    activities: createActivities({
      sync: store.sync,
      sweeps: store.sweeps,
      pool,
      clock: systemClock,
      newId: randomUUID,
      wake,
      log: SILENT,
      pace: { ...DEFAULT_PACE, ...options.pace },
      isWatched: watcher.isWatched,
      ...(options.onPass ? { onPass: options.onPass } : {}),
    }),
    maxCachedWorkflows: 300,
    maxConcurrentLocalActivityExecutions: options.maxLivePerProcess,
    maxConcurrentActivityTaskExecutions: options.maxLivePerProcess,
    maxConcurrentWorkflowTaskExecutions: options.maxLivePerProcess + 10,
    shutdownGraceTime: '1 second',
    stickyQueueScheduleToStartTimeout: '2 seconds',
  });
  const running = worker.run();
  const scheduleId = `pulse-${taskQueue}`;
  let hasPulse = false;

  return {
    store,
    database,
    pool,
    async addTenant(id) {
      await database.withSystem((tx) =>
        tx.query('INSERT INTO tenants (id, name) VALUES ($1, $1)', [id]),
      );
      return { tenant: id as TenantId, actor: 'test' };
    },
    async startPulse() {
      hasPulse = true;
      await client.schedule.create({
        scheduleId,
        spec: { intervals: [{ every: options.pulseMs }] },
        action: {
          type: 'startWorkflow',
          workflowType: PULSE,
          workflowId: scheduleId,
          taskQueue,
          workflowExecutionTimeout: '1 minute',
        },
        policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '10s' },
      });
    },
    async close() {
      if (hasPulse) await client.schedule.getHandle(scheduleId).delete();
      await watcher.stop();
      await relay.stop();
      await endWorkflows(client, store);
      worker.shutdown();
      await running;
      await pool.close();
      await native.close();
      await connection.close();
      await store.close();
    },
  };
}

/** Lingering workflows would wait for a worker that is gone. */
async function endWorkflows(client: Client, store: FullStore): Promise<void> {
  const links = await store.sweeps.liveLinks();
  await Promise.all(
    links.map(({ tenant, linkId }) =>
      client.workflow
        .getHandle(syncWorkflowId(tenant, linkId))
        .terminate()
        .catch(() => undefined),
    ),
  );
}

function quiet(): void {
  try {
    Runtime.install({
      logger: new DefaultLogger('ERROR', () => undefined),
      telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
    });
  } catch {
    // Installed by another test of this process.
  }
}
