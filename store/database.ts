/**
 * The only way to Postgres: a transaction for one tenant, or for the system's own sweeps.
 * Row-level security decides what either can see; nothing in the SQL has to remember to.
 */
import pg from 'pg';
import { AppError, messageOf } from '../domain/errors.ts';
import type { TenantId } from '../domain/ids.ts';
import { createReplica, type ReplicaOutcome } from './replica.ts';
import { sendTogether, type Statement } from './send-together.ts';

export interface DatabaseConfig {
  /** `postgres://user:password@host:port/database` */
  readonly url: string;
  /** Connections kept open at least and at most (seed: 2–20). */
  readonly poolMin: number;
  readonly poolMax: number;
  /** Longest wait for a free connection, ms. */
  readonly acquireTimeoutMs?: number;
  /** Longest a statement may run, ms; a stuck one must not hold its rows for ever. */
  readonly statementTimeoutMs?: number;
  /** False: a connection per transaction, for a pooler in front. Default true. */
  readonly isPooled?: boolean;
  /** Whether Postgres' just-in-time compiler stays out of our short queries. */
  readonly hasShortPlans?: boolean;
  /** A streaming replica for reads that may be a little old. */
  readonly replica?: ReplicaConfig | null;
}

export interface ReplicaConfig {
  readonly url: string;
  /** A replica further behind than this is not asked, ms. */
  readonly maxLagMs: number;
  /** Told of each read that might have gone there: who answers it, and how old it may be (s). */
  readonly onRead?: (outcome: ReplicaOutcome, lagSeconds: number | null) => void;
}

/** Connections of one pool. */
export interface PoolCounts {
  readonly total: number;
  readonly idle: number;
  /** Callers that wait for one. */
  readonly waiting: number;
}

/** A transaction under way. One statement at a time (pg 8.23 refuses concurrent ones). */
export interface Transaction {
  query<Row extends object = Record<string, unknown>>(
    sql: string,
    values?: readonly unknown[],
  ): Promise<Row[]>;
}

/**
 * A transaction that whoever has it may send several statements to at once, and may end. It begins with
 * its first statement, in the same message: beginning costs no round trip.
 */
export interface OpenTransaction extends Transaction {
  /** The rows of each of several statements that are sent in one message, and run in order. */
  queryAll(statements: readonly Statement[]): Promise<Row[][]>;
  /**
   * The same for the last statements of the transaction: COMMIT goes with them. Once this resolves it is
   * committed; nothing may be asked of it any more, and what could still fail must come before. What
   * would have to undo them must make one of the statements itself fail.
   */
  commitWith(statements: readonly Statement[]): Promise<Row[][]>;
}

type Row = Record<string, unknown>;

export interface Database {
  /**
   * Runs `work` in one transaction that sees only this tenant's rows. Never nest it. `before`: statements
   * that go with the first one of `work`, ahead of it, to fail where it must not run; nobody gets their rows.
   */
  withTenant<T>(
    tenant: TenantId,
    work: (tx: OpenTransaction) => Promise<T>,
    before?: readonly Statement[],
  ): Promise<T>;
  /**
   * For reads. `mayBeStale`: a replica may answer, as long as it is not further behind than
   * configured; without one, or when it fails, the primary does. `work` may run twice and must only
   * read. Never for what a caller compares with a write of its own.
   */
  withTenantRead<T>(
    tenant: TenantId,
    options: { readonly mayBeStale: boolean },
    work: (tx: OpenTransaction) => Promise<T>,
  ): Promise<T>;
  /**
   * Runs `work` once in one read-only transaction that sees the tenant's rows as they are now, however
   * long it takes. Always the primary: a replica would cancel a long one.
   */
  withSnapshot<T>(tenant: TenantId, work: (tx: OpenTransaction) => Promise<T>): Promise<T>;
  /** Runs `work` in one transaction of the sweeps' role: all tenants, few tables. */
  withSystem<T>(work: (tx: OpenTransaction) => Promise<T>): Promise<T>;
  /** @throws AppError UNAVAILABLE */
  ping(): Promise<void>;
  /** What the pools hold right now; asks nobody. */
  pools(): Readonly<Record<string, PoolCounts>>;
  close(): Promise<void>;
}

/** SQLSTATEs after which the same transaction may simply be tried again. */
const TRY_AGAIN = new Set(['40001', '40P01']);
const MAX_TRIES = 4;
/** A replica that hangs must not hold up what the primary could answer. */
const REPLICA_POOL = { poolMin: 0, acquireTimeoutMs: 2_000, queryTimeoutMs: 2_000 } as const;

/** Opens the pools. Nothing connects before the first call. */
export function createDatabase(config: DatabaseConfig, onError?: (error: Error) => void): Database {
  const pool = openPool(config.url, config, onError);
  const { transact, once } = createTransact(pool, config);
  const timeoutMs = config.statementTimeoutMs ?? 30_000;
  const jit = config.hasShortPlans ? `, set_config('jit', 'off', true)` : '';

  // One statement, not a SET for each: it begins every transaction there is.
  const settings = `SELECT set_config('role', $1, true), set_config('app.tenant', $2, true),
set_config('search_path', 'context_system, public', true),
set_config('statement_timeout', '${timeoutMs}', true)${jit}`;
  const begin = (role: string, tenant: TenantId | '', mode = ''): readonly Statement[] => [
    { sql: `BEGIN${mode}` },
    { sql: settings, values: [role, tenant], name: 'settings' },
  ];
  const asTenant = (tenant: TenantId): readonly Statement[] => begin('syncline_app', tenant);

  const { replica: given } = config;
  const replicaPool = given ? openPool(given.url, { ...config, ...REPLICA_POOL }, onError) : null;
  const replica =
    given && replicaPool ? createReplica({ primary: pool, replica: replicaPool, ...given }) : null;
  const onReplica = replicaPool ? createTransact(replicaPool, config).transact : null;

  async function readTenant<T>(
    tenant: TenantId,
    work: (tx: OpenTransaction) => Promise<T>,
  ): Promise<T> {
    if (replica && onReplica && (await replica.isFresh())) {
      try {
        return await onReplica(begin('syncline_app', tenant, ' READ ONLY'), work);
      } catch (error) {
        // A refusal (no such context) may only mean that it is not there yet: the primary decides.
        if (isReplicaTrouble(error)) replica.failed();
        else if (!(error instanceof AppError)) throw error;
      }
    }
    return transact(asTenant(tenant), work);
  }

  return {
    withTenant: (tenant, work, before = []) => transact([...asTenant(tenant), ...before], work),
    withTenantRead: (tenant, { mayBeStale }, work) =>
      mayBeStale ? readTenant(tenant, work) : transact(asTenant(tenant), work),
    withSnapshot: (tenant, work) =>
      once(begin('syncline_app', tenant, SNAPSHOT), work).catch((error: unknown) => {
        throw translate(error);
      }),
    withSystem: (work) => transact(begin('syncline_system', ''), work),
    async ping() {
      await pool.query('SELECT 1').catch((error: unknown) => {
        throw translate(error);
      });
    },
    pools: () => ({
      primary: countsOf(pool),
      ...(replicaPool ? { replica: countsOf(replicaPool) } : {}),
    }),
    async close() {
      await Promise.all([pool.end(), replicaPool?.end()]);
    },
  };
}

function openPool(
  url: string,
  config: Pick<DatabaseConfig, 'poolMin' | 'poolMax' | 'acquireTimeoutMs' | 'isPooled'> & {
    readonly queryTimeoutMs?: number;
  },
  onError?: (error: Error) => void,
): pg.Pool {
  const isPooled = config.isPooled ?? true;
  const pool = new pg.Pool({
    connectionString: url,
    min: isPooled ? config.poolMin : 0,
    max: config.poolMax,
    // Somebody else pools: a connection serves one transaction and is closed.
    ...(isPooled ? {} : { maxUses: 1 }),
    connectionTimeoutMillis: config.acquireTimeoutMs ?? 10_000,
    ...(config.queryTimeoutMs === undefined ? {} : { query_timeout: config.queryTimeoutMs }),
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    allowExitOnIdle: true,
  });
  // An idle connection that breaks must not end the process; the next call opens a new one.
  pool.on('error', (error) => onError?.(error));
  return pool;
}

function countsOf(pool: pg.Pool): PoolCounts {
  return { total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount };
}

const SNAPSHOT = ' ISOLATION LEVEL REPEATABLE READ READ ONLY';

type Transact = <T>(
  begin: readonly Statement[],
  work: (tx: OpenTransaction) => Promise<T>,
) => Promise<T>;

/** Runs transactions of a pool: once, or again when they only lost a race. */
function createTransact(
  pool: pg.Pool,
  { isPooled = true }: Pick<DatabaseConfig, 'isPooled'>,
): { readonly transact: Transact; readonly once: Transact } {
  // Behind somebody else's pooler a name would be left to the connection's next user.
  const send: typeof sendTogether = isPooled
    ? sendTogether
    : (client, statements) =>
        sendTogether(
          client,
          statements.map(({ sql, values }) => ({ sql, values })),
        );

  async function transact<T>(
    begin: readonly Statement[],
    work: (tx: OpenTransaction) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await once(begin, work);
      } catch (error) {
        if (attempt >= MAX_TRIES || !isLostRace(error)) throw translate(error);
      }
    }
  }

  async function once<T>(
    begin: readonly Statement[],
    work: (tx: OpenTransaction) => Promise<T>,
  ): Promise<T> {
    const client = await pool.connect();
    let broken: Error | undefined;
    // A connection may break between two statements; nobody else listens while it is ours.
    const onBroken = (error: Error): void => void (broken = error);
    client.on('error', onBroken);
    const { tx, commit, isOver } = runningOn((statements) => send(client, statements), {
      client,
      begin,
    });
    try {
      const result = await work(tx);
      await commit();
      return result;
    } catch (error) {
      if (isOver()) throw brokenPromise(error);
      // Who does not answer would not answer ROLLBACK either; closing the connection does the same.
      if (isReadTimeout(error)) broken = error;
      else
        await client.query('ROLLBACK').catch((failure: unknown) => {
          broken = failure instanceof Error ? failure : new Error(messageOf(failure));
        });
      throw error;
    } finally {
      client.off('error', onBroken);
      client.release(broken);
    }
  }

  return { transact, once };
}

interface Running {
  readonly tx: OpenTransaction;
  /** Commits what its work has not committed. @throws AppError INTERNAL when a statement failed */
  commit(): Promise<void>;
  isOver(): boolean;
}

const COMMIT: Statement = { sql: 'COMMIT' };

function runningOn(
  sendAll: (statements: readonly Statement[]) => Promise<pg.QueryResult[]>,
  { client, begin }: { readonly client: pg.ClientBase; readonly begin: readonly Statement[] },
): Running {
  let state: 'new' | 'open' | 'over' = 'new';
  // A transaction that may not have begun must not be taken for one that has.
  let failed: Error | null = null;

  function requireOpen(): void {
    if (failed !== null) throw failed;
    // It would run outside of any transaction, and see what no tenant may.
    if (state === 'over') throw new AppError('INTERNAL', 'the transaction is committed already');
  }

  async function send(
    statements: readonly Statement[],
    end: readonly Statement[],
  ): Promise<Row[][]> {
    requireOpen();
    const before = state === 'new' ? begin : [];
    try {
      const results = await sendAll([...before, ...statements, ...end]);
      if (end.length > 0) requireCommitted(results.at(-1));
      state = end.length > 0 ? 'over' : 'open';
      return results
        .slice(before.length, before.length + statements.length)
        .map(({ rows }) => rows as Row[]);
    } catch (error) {
      failed = error instanceof Error ? error : new Error(messageOf(error));
      throw error;
    }
  }

  return {
    tx: {
      query: async <Found extends object>(sql: string, values?: readonly unknown[]) => {
        if (state === 'new') return (await send([{ sql, values }], []))[0] as Found[];
        requireOpen();
        return (await client.query<Found>(sql, values as unknown[])).rows;
      },
      queryAll: (statements) => send(statements, []),
      commitWith: (statements) => send(statements, [COMMIT]),
    },
    isOver: () => state === 'over',
    async commit() {
      if (state === 'over' || (state === 'new' && failed === null)) return;
      requireCommitted(failed === null ? await client.query('COMMIT') : undefined);
    },
  };
}

/** COMMIT of a transaction in which a statement failed rolls back, and says so only in its answer. */
function requireCommitted(answer: pg.QueryResult | undefined): void {
  if (answer?.command === 'COMMIT') return;
  throw new AppError('INTERNAL', 'the transaction was rolled back');
}

/** Of work that failed when it was committed already: it must not be tried again. */
function brokenPromise(cause: unknown): AppError {
  return new AppError('INTERNAL', 'the work failed after its transaction was committed', { cause });
}

/** Whether the transaction may simply be tried again: nothing was wrong but the moment. */
function isLostRace(error: unknown): boolean {
  return TRY_AGAIN.has(sqlStateOf(error)) || (error instanceof AppError && error.retryable);
}

/** The replica is out, was cancelled by replay, or stands still: the primary can do it. */
function isReplicaTrouble(error: unknown): boolean {
  if (error instanceof AppError) return error.code === 'UNAVAILABLE';
  if (isReadTimeout(error)) return true;
  return /^(08|57|58|40|25006|XX)/.test(sqlStateOf(error));
}

/** Nothing came back in time, and the connection is still waiting for it. */
function isReadTimeout(error: unknown): error is Error {
  return error instanceof Error && error.message === 'Query read timeout';
}

/** SQLSTATE of a Postgres error, or ''. */
export function sqlStateOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** The same transaction for one more statement, which is its last: COMMIT goes with it. */
export function asLast(tx: OpenTransaction): Transaction {
  return {
    query: async <Row extends object>(sql: string, values?: readonly unknown[]) =>
      (await tx.commitWith([{ sql, values }]))[0] as Row[],
  };
}

/** Connection trouble is told as such; anything else passes through. */
function translate(error: unknown): unknown {
  if (error instanceof AppError) return error;
  const state = sqlStateOf(error);
  const isConnection =
    state.startsWith('08') ||
    state.startsWith('57P') ||
    /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND)/.test(state);
  const isPool = /timeout exceeded when trying to connect|Connection terminated/.test(
    messageOf(error),
  );
  if (!isConnection && !isPool) return error;
  return new AppError('UNAVAILABLE', 'Postgres does not answer', { retryable: true, cause: error });
}
