/**
 * The engine without Temporal: the same steps in the same order, called directly. For tests and
 * benchmarks that are about the steps and not about who calls them.
 */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { PassOutcome, PassToken } from '../../activities/contract.ts';
import { createThreads, type Threads } from '../../activities/compute/threads.ts';
import { createSteps } from '../../activities/create-activities.ts';
import { runSmallPass } from '../../activities/small-pass.ts';
import {
  createConnectorPool,
  createConnectorRegistry,
  type AnyConnectorType,
} from '../../connectors/contract.ts';
import { systemClock, type Clock } from '../../domain/clock.ts';
import type { Caller } from '../../domain/context.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { JsonObject } from '../../domain/json.ts';
import { NO_COUNTS, type Link, type RunCounters } from '../../domain/link.ts';
import type { NewLink, SyncStore } from '../../store/contract.ts';
import { createStore, type EncryptionDeps, type FullStore } from '../../store/create-store.ts';
import { createDatabase, type Database } from '../../store/database.ts';
import { feedShown } from './feed-shown.ts';
import { migratedDatabase } from './migrated-database.ts';
import { newLink } from './sample-link.ts';

export const TENANT = 'default' as TenantId;
export const CALLER: Caller = { tenant: TENANT, actor: 'test' };

export interface PassResult {
  readonly status: 'settled' | 'parked' | 'failed' | 'planned' | 'refused';
  readonly counters: RunCounters;
  readonly guard: PassOutcome['guard'];
  readonly error: PassOutcome['error'];
  readonly inDoubt: number;
  readonly stale: number;
  /** A hub change waits for a transaction of somebody else. */
  readonly heldBack: boolean;
}

export interface TestEngine {
  readonly store: FullStore;
  readonly database: Database;
  readonly databaseUrl: string;
  /** As a superuser, outside of any tenant: what a test sets or looks up costs one round trip. */
  readonly admin: pg.Pool;
  /** Resolves when the change feed hides nothing. */
  shown(): Promise<void>;
  /** One pass, as the workflow would do it. */
  pass(link: Link): Promise<PassResult>;
  /** Passes until nothing is in doubt or stale; at most `limit`. */
  drain(link: Link, limit?: number): Promise<PassResult>;
  addLink(connector: string, config: JsonObject, more?: Partial<NewLink>): Promise<Link>;
  close(): Promise<void>;
}

const NO_LIFE = { heartbeat: () => undefined, signal: new AbortController().signal };
const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined };

export async function createTestEngine(options: {
  readonly types: readonly AnyConnectorType[];
  readonly fileRoots?: readonly string[];
  readonly stdioCommands?: readonly string[];
  readonly clock?: Clock;
  /** Called around every call of a pass to its store; what it throws ends the pass like a crash. */
  readonly onStoreCall?: (when: 'before' | 'after') => Promise<void> | undefined;
  /** Whether, and with what, contexts are encrypted. */
  readonly encryption?: EncryptionDeps;
  /** Where large bodies are worked on; closed with the engine. */
  readonly threads?: Threads;
}): Promise<TestEngine> {
  const where = await migratedDatabase();
  const database = createDatabase({ url: where.url, poolMin: 0, poolMax: 6 });
  const admin = new pg.Pool({ connectionString: where.url, max: 2, idleTimeoutMillis: 0 });
  // A pool has ended a moment before its connections have; dropping the database then cuts them off.
  admin.on('error', () => undefined);
  const clock = options.clock ?? systemClock;
  const store = createStore({
    database,
    clock,
    newId: randomUUID,
    maxContextBytes: 10 * 1024 * 1024,
    onCommitted: () => undefined,
    encryption: options.encryption,
  });
  const registry = createConnectorRegistry(options.types);
  const pool = createConnectorPool({
    typeOf: (kind) => registry.get(kind),
    permissions: {
      fileRoots: options.fileRoots ?? [],
      stdioCommands: options.stdioCommands ?? [],
    },
    secret: (name) => name,
    hubIdOf: (tenant) => store.sync.hubIdOf(tenant),
    log: SILENT,
  });
  const threads = options.threads ?? createThreads();
  const steps = createSteps({
    sync: options.onStoreCall ? watched(store.sync, options.onStoreCall) : store.sync,
    sweeps: store.sweeps,
    pool,
    threads,
    clock,
    newId: randomUUID,
    wake: () => Promise.resolve(),
  });

  /** A fault nobody has a code for stands for a crash: nothing is recorded of it. */
  async function settleUnlessCrashed(token: PassToken, outcome: PassOutcome) {
    if (outcome.error?.code === 'INTERNAL') throw new Error(outcome.error.detail);
    return steps.settle(token, outcome);
  }

  /** A pass would see what is hidden next time, but a test counts on what one pass does. */
  const shown = (): Promise<void> =>
    feedShown(async (text) => (await admin.query<object>({ name: 'hidden', text })).rows);

  async function pass(link: Link): Promise<PassResult> {
    await shown();
    const done = await runSmallPass(
      { ...steps, settle: settleUnlessCrashed },
      { tenant: TENANT, linkId: link.id, trigger: 'test' },
      {
        life: NO_LIFE,
        limits: { maxWrites: Infinity, budgetMs: 600_000 },
        pause: () => Promise.resolve(),
      },
    );
    const nothing = { counters: { ...NO_COUNTS }, guard: null, error: null };
    const quiet = { ...nothing, inDoubt: 0, stale: 0, heldBack: false };
    if (done.status !== 'done') return { ...quiet, status: 'refused' };
    const { observed, executed } = done.parts;
    return {
      ...done.outcome,
      inDoubt: observed?.inDoubt ?? 0,
      stale: executed?.stale ?? 0,
      heldBack: observed?.heldBack ?? false,
    };
  }

  return {
    store,
    database,
    databaseUrl: where.url,
    admin,
    shown,
    pass,
    async drain(link, limit = 10) {
      for (let nth = 1; ; nth += 1) {
        const result = await pass(link);
        if (result.heldBack) nth -= 1;
        else if ((result.inDoubt === 0 && result.stale === 0) || nth >= limit) return result;
      }
    },
    addLink: (connector, config, more) =>
      store.links.create(CALLER, newLink({ connector, config, ...more })),
    async close() {
      await pool.close();
      await threads.close();
      await store.close();
      await admin.end();
      await where.drop();
    },
  };
}

/** The engine's store, with somebody looking on. */
function watched(sync: SyncStore, onCall: (when: 'before' | 'after') => Promise<void> | undefined) {
  const around = async (call: () => unknown): Promise<unknown> => {
    await onCall('before');
    const answer = await call();
    await onCall('after');
    return answer;
  };
  return new Proxy(sync, {
    get(target, name, receiver) {
      const call = Reflect.get(target, name, receiver) as (...given: unknown[]) => unknown;
      return (...given: unknown[]) => around(() => call(...given));
    },
  });
}
