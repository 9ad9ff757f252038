/**
 * Tenants: made, listed, removed. A removal is marked first, so that no key of the tenant opens
 * anything; then its rows go, table by table, in bounded batches; its own row goes last. Cut short at
 * any moment, the next call goes on.
 */
import type { Clock } from '../domain/clock.ts';
import type { Caller } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { TenantId } from '../domain/ids.ts';
import { recordAudit } from './audit.ts';
import type { Page } from './contract.ts';
import { sqlStateOf, type Database, type Transaction } from './database.ts';
import { pageOf, unpackCursor } from './paging.ts';

export interface Tenant {
  readonly id: TenantId;
  readonly name: string;
  readonly createdAt: string;
  /** Since when it is being removed; null: it is not. */
  readonly removingAt: string | null;
}

/** How far a removal got. */
export interface TenantRemoval {
  /** False: ask again, there is more to delete. */
  readonly removed: boolean;
  /** Rows deleted by this call. */
  readonly rows: number;
}

export interface Tenants {
  /** By id. @throws AppError INVALID_CURSOR */
  list(query: { limit: number; cursor?: string | undefined }): Promise<Page<Tenant>>;
  /** @throws AppError VALIDATION (it exists), TENANT_NOT_EMPTY (a former one has too many rows left) */
  create(caller: Caller, tenant: { id: TenantId; name: string }): Promise<Tenant>;
  /**
   * Removes it; with `force` its rows too, for at most `forMs`. One that had rows is gone some
   * seconds after the first call at the earliest.
   * @throws AppError VALIDATION (`default`), TENANT_NOT_FOUND, TENANT_NOT_EMPTY (without `force`)
   */
  remove(
    caller: Caller,
    id: TenantId,
    how: { readonly force: boolean; readonly forMs: number; readonly batch?: number },
  ): Promise<TenantRemoval>;
}

/** The tenant of those who named none; it is always there. */
const DEFAULT_TENANT = 'default';
const BATCH = 2_000;
/** Longer than an accepted key is remembered anywhere (3 s), and an ordinary request after that. */
const GRACE_MS = 10_000;
/** For what a request left behind that outlived a removal. */
const LEFTOVERS_MS = 10_000;

const COLUMNS = `id, name, created_at AS "createdAt", removing_at AS "removingAt"`;

const LIST = `
SELECT ${COLUMNS} FROM tenants WHERE $1::text IS NULL OR id > $1 COLLATE "C"
ORDER BY id COLLATE "C" LIMIT $2`;

const MARK = `
UPDATE tenants SET removing_at = coalesce(removing_at, now()) WHERE id = $1
RETURNING name, removing_at = now() AS "isFirst"`;

// Every table with rows of tenants, those that refer to others first: a cascade would delete more
// than a batch. Read from the catalogue, so that a table added later is not forgotten.
const SELECT_TABLES = `
WITH RECURSIVE ours AS (
  SELECT c.oid, c.relname FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
  WHERE c.relnamespace = 'context_system'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
), depths AS (
  SELECT oid, relname, 0 AS depth FROM ours
  UNION ALL
  SELECT o.oid, o.relname, d.depth + 1 FROM depths d
  JOIN pg_constraint f ON f.contype = 'f' AND f.confrelid = d.oid AND f.conrelid <> d.oid
  JOIN ours o ON o.oid = f.conrelid
  WHERE d.depth < 20
)
SELECT quote_ident(relname) AS name FROM depths GROUP BY relname ORDER BY max(depth) DESC, relname`;

const MINE = `tenant_id = current_setting('app.tenant')`;

const deleteSome = (table: string): string => `
WITH gone AS (
  DELETE FROM ${table} WHERE ${MINE} AND ctid = ANY (ARRAY(
    SELECT ctid FROM ${table} WHERE ${MINE} LIMIT $1)) RETURNING 1
) SELECT count(*)::int AS gone FROM gone`;

const hasSome = (table: string): string =>
  `SELECT EXISTS (SELECT 1 FROM ${table} WHERE ${MINE}) AS found`;

const FORGET = `
DELETE FROM tenants WHERE id = $1 AND removing_at <= now() - $2::float8 * interval '1 millisecond'
RETURNING 1`;

/** What a tenant may hold and still count as empty. */
const NO_DATA = new Set([
  'api_keys',
  'audit',
  'idempotency_keys',
  'feed_horizons',
  'encryption_keys',
]);

type Row = Omit<Tenant, 'createdAt' | 'removingAt'> & {
  readonly createdAt: Date;
  readonly removingAt: Date | null;
};

export function createTenants({
  database,
  clock,
}: {
  readonly database: Database;
  readonly clock: Clock;
}): Tenants {
  const tables = (tx: Transaction): Promise<{ name: string }[]> => tx.query(SELECT_TABLES);

  /** Whether it has rows, of which `isData` says for each table whether they count. */
  const holds = (id: TenantId, isData: (table: string) => boolean): Promise<boolean> =>
    database.withTenant(id, async (tx) => {
      for (const { name } of await tables(tx)) {
        if (!isData(name)) continue;
        const [row] = await tx.query<{ found: boolean }>(hasSome(name));
        if (row!.found) return true;
      }
      return false;
    });

  /** Deletes rows until none is left or the time is over. */
  async function drain(id: TenantId, untilMs: number, batch: number): Promise<TenantRemoval> {
    let rows = 0;
    for (const { name } of await database.withTenant(id, tables)) {
      let gone: number;
      do {
        if (clock.now() > untilMs) return { removed: false, rows };
        const once = (tx: Transaction): Promise<{ gone: number }[]> =>
          tx.query(deleteSome(name), [batch]);
        gone = (await database.withTenant(id, once))[0]!.gone;
        rows += gone;
      } while (gone === batch);
    }
    return { removed: true, rows };
  }

  return {
    async list({ limit, cursor }) {
      const [after] = cursor === undefined ? [null] : unpackCursor(cursor, ['text']);
      const rows = await database.withSystem((tx) => tx.query<Row>(LIST, [after, limit + 1]));
      return pageOf(rows, limit, { item: tenantOf, sortValues: (row) => [row.id] });
    },

    async create(caller, { id, name }) {
      if (await isThere(database, id)) throw taken(id);
      // A request that outlived the removal of a former tenant may have left a row behind.
      const { removed } = await drain(id, clock.now() + LEFTOVERS_MS, BATCH);
      if (!removed)
        throw new AppError('TENANT_NOT_EMPTY', `rows of a former ${id} are being removed`);
      return database
        .withSystem(async (tx) => {
          const sql = `INSERT INTO tenants (id, name) VALUES ($1, $2) RETURNING ${COLUMNS}`;
          const [row] = await tx.query<Row>(sql, [id, name]);
          const act = { action: 'tenant.create', target: id, detail: { name } };
          await recordAudit(tx, caller, act);
          return tenantOf(row!);
        })
        .catch((error: unknown) => {
          throw sqlStateOf(error) === '23505' ? taken(id) : error;
        });
    },

    async remove(caller, id, { force, forMs, batch = BATCH }) {
      if (id === DEFAULT_TENANT)
        throw new AppError('VALIDATION', 'the tenant `default` cannot be removed');
      const untilMs = clock.now() + forMs;
      if (!(await isThere(database, id))) {
        // A request that outlived a removal (a long import, say) may have left rows behind.
        const left = await drain(id, untilMs, batch);
        if (left.rows === 0) throw notFound(id);
        return left;
      }
      if (!force) await refuseData(database, id, () => holds(id, (table) => !NO_DATA.has(table)));
      const isFirst = await database.withSystem((tx) => mark(tx, caller, id));
      const { removed, rows } = await drain(id, untilMs, batch);
      // What was let in before the mark may still write: look once more when all that has ended.
      const graceMs = isFirst && rows === 0 ? 0 : GRACE_MS;
      return { removed: removed && (await forget(database, caller, { id, graceMs })), rows };
    },
  };
}

/** Marks it. Answers whether it was not marked before. @throws AppError TENANT_NOT_FOUND */
async function mark(tx: Transaction, caller: Caller, id: TenantId): Promise<boolean> {
  const [row] = await tx.query<{ name: string; isFirst: boolean }>(MARK, [id]);
  if (!row) throw notFound(id);
  const { name, isFirst } = row;
  if (isFirst)
    await recordAudit(tx, caller, { action: 'tenant.remove', target: id, detail: { name } });
  return isFirst;
}

/** Deletes the tenant's own row; false: not yet, or something of it has come back in between. */
async function forget(
  database: Database,
  caller: Caller,
  { id, graceMs }: { readonly id: TenantId; readonly graceMs: number },
): Promise<boolean> {
  try {
    return await database.withSystem(async (tx) => {
      const gone = await tx.query(FORGET, [id, graceMs]);
      if (gone.length > 0) await recordAudit(tx, caller, { action: 'tenant.removed', target: id });
      return gone.length > 0;
    });
  } catch (error) {
    if (sqlStateOf(error) === '23503') return false;
    throw error;
  }
}

/** @throws AppError TENANT_NOT_EMPTY; a removal that has begun may go on */
async function refuseData(
  database: Database,
  id: TenantId,
  hasData: () => Promise<boolean>,
): Promise<void> {
  const [row] = await database.withSystem((tx) =>
    tx.query<{ isMarked: boolean }>(
      'SELECT removing_at IS NOT NULL AS "isMarked" FROM tenants WHERE id = $1',
      [id],
    ),
  );
  if (row?.isMarked || !(await hasData())) return;
  throw new AppError('TENANT_NOT_EMPTY', `the tenant ${id} holds data; \`force\` removes it too`);
}

async function isThere(database: Database, id: TenantId): Promise<boolean> {
  const rows = await database.withSystem((tx) =>
    tx.query('SELECT 1 FROM tenants WHERE id = $1', [id]),
  );
  return rows.length > 0;
}

function taken(id: TenantId): AppError {
  const detail = `a tenant ${id} exists`;
  return new AppError('VALIDATION', detail, { errors: [{ pointer: '/id', detail }] });
}

const notFound = (id: TenantId): AppError =>
  new AppError('TENANT_NOT_FOUND', `there is no tenant ${id}`);

function tenantOf({ createdAt, removingAt, ...row }: Row): Tenant {
  return {
    ...row,
    createdAt: createdAt.toISOString(),
    removingAt: removingAt?.toISOString() ?? null,
  };
}
