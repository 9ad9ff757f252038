/**
 * Tenants: made, listed, removed. A removal is marked first, so that no key of the tenant opens
 * anything; then its rows go, table by table, in bounded batches; its own row goes last. Cut short at
 * any moment, the next call goes on. A tenant is made the same way round: marked, rid of what a former
 * one left behind, and only then let in. Rows go only while the mark is there: see {@link GUARD}.
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
RETURNING name, removing_at = now() AS "isFirst", removing_at::text AS mark`;

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

const CREATE = `
INSERT INTO tenants (id, name, removing_at) VALUES ($1, $2, now()) RETURNING removing_at::text AS mark`;

const UNMARK = `
UPDATE tenants SET removing_at = NULL WHERE id = $1 AND removing_at = $2::timestamptz RETURNING ${COLUMNS}`;

const GIVE_UP = 'DELETE FROM tenants WHERE id = $1 AND removing_at = $2::timestamptz';

// Under this lock rows are deleted, a batch at a time, and marks taken away. So whoever has seen a mark
// and deletes does not delete what is written once the mark is gone.
const LOCK = `SELECT pg_advisory_xact_lock(hashtextextended('rows of tenant ' || $1::text, 0))`;

/** After the lock: whether the tenant is there and not marked; then none of its rows may go. */
const GUARD = 'SELECT 1 FROM tenants WHERE id = $1 AND removing_at IS NULL';

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

  /** Deletes rows until none is left, the time is over, or the tenant is let in again. */
  async function drain(
    id: TenantId,
    { untilMs, batch, isMeant }: Draining,
  ): Promise<TenantRemoval> {
    let rows = 0;
    for (const { name } of await database.withTenant(id, tables)) {
      if (!isMeant(name)) continue;
      let gone: number | null;
      do {
        if (clock.now() > untilMs) return { removed: false, rows };
        gone = await database.withTenant(id, (tx) => deleteBatch(tx, id, { name, batch }));
        if (gone === null) return { removed: false, rows };
        rows += gone;
      } while (gone === batch);
    }
    return { removed: true, rows };
  }

  const hasData = (id: TenantId): Promise<boolean> => holds(id, (table) => !NO_DATA.has(table));

  /** Rids a tenant that is being made of what a former one left, and lets it in. */
  async function letIn(caller: Caller, { id, name, mark }: Made): Promise<Tenant> {
    // A request that outlived the removal of a former tenant may have left a row behind.
    const untilMs = clock.now() + LEFTOVERS_MS;
    const { removed } = await drain(id, { untilMs, batch: BATCH, isMeant: () => true });
    const act = { action: 'tenant.create', target: id, detail: { name } };
    const row = removed ? await unmark(database, caller, { id, mark, act }) : null;
    if (row) return tenantOf(row);
    throw new AppError('TENANT_NOT_EMPTY', `rows of a former ${id} are being removed`);
  }

  return {
    async list({ limit, cursor }) {
      const [after] = cursor === undefined ? [null] : unpackCursor(cursor, ['text']);
      const rows = await database.withSystem((tx) => tx.query<Row>(LIST, [after, limit + 1]));
      return pageOf(rows, limit, { item: tenantOf, sortValues: (row) => [row.id] });
    },

    async create(caller, { id, name }) {
      // The row first: of several who make it at once one gets it, and nobody else deletes anything.
      const [row] = await database
        .withSystem((tx) => tx.query<{ mark: string }>(CREATE, [id, name]))
        .catch((error: unknown) => {
          throw sqlStateOf(error) === '23505' ? taken(id) : error;
        });
      const { mark } = row!;
      try {
        return await letIn(caller, { id, name, mark });
      } catch (error) {
        await database.withSystem((tx) => tx.query(GIVE_UP, [id, mark]));
        throw error;
      }
    },

    async remove(caller, id, { force, forMs, batch = BATCH }) {
      if (id === DEFAULT_TENANT)
        throw new AppError('VALIDATION', 'the tenant `default` cannot be removed');
      const untilMs = clock.now() + forMs;
      const isMeant = (table: string): boolean => force || NO_DATA.has(table);
      if (!(await isThere(database, id))) {
        // A request that outlived a removal (a long import, say) may have left rows behind.
        const left = await drain(id, { untilMs, batch, isMeant: () => true });
        if (left.rows === 0) throw notFound(id);
        return left;
      }
      if (!force && (await hasData(id))) throw notEmpty(id);
      const { isFirst, mark } = await database.withSystem((tx) => markRemoval(tx, caller, id));
      // Whoever was let in before the mark may have written since.
      if (!force && (await hasData(id))) {
        const act = { action: 'tenant.kept', target: id };
        if (isFirst) await unmark(database, caller, { id, mark, act });
        throw notEmpty(id);
      }
      const { removed, rows } = await drain(id, { untilMs, batch, isMeant });
      if (!removed || (!force && (await hasData(id)))) return { removed: false, rows };
      // What was let in before the mark may still write: look once more when all that has ended.
      const graceMs = isFirst && rows === 0 ? 0 : GRACE_MS;
      return { removed: await forget(database, caller, { id, graceMs }), rows };
    },
  };
}

interface Draining {
  /** Time of the clock at which it stops. */
  readonly untilMs: number;
  readonly batch: number;
  /** Whether rows of this table may go. */
  readonly isMeant: (table: string) => boolean;
}

interface Made {
  readonly id: TenantId;
  readonly name: string;
  /** Its `removing_at`, to the microsecond. */
  readonly mark: string;
}

/** Deletes up to `batch` rows of a table; null: the tenant is let in, none of its rows may go. */
async function deleteBatch(
  tx: Transaction,
  id: TenantId,
  { name, batch }: { readonly name: string; readonly batch: number },
): Promise<number | null> {
  await tx.query(LOCK, [id]);
  if ((await tx.query(GUARD, [id])).length > 0) return null;
  const [row] = await tx.query<{ gone: number }>(deleteSome(name), [batch]);
  return row!.gone;
}

/** Takes a mark away, when it still is this one; null: it is not. */
async function unmark(
  database: Database,
  caller: Caller,
  { id, mark, act }: Pick<Made, 'id' | 'mark'> & { readonly act: Act },
): Promise<Row | null> {
  return database.withSystem(async (tx) => {
    await tx.query(LOCK, [id]);
    const [row] = await tx.query<Row>(UNMARK, [id, mark]);
    if (row) await recordAudit(tx, caller, act);
    return row ?? null;
  });
}

type Act = Parameters<typeof recordAudit>[2];

interface Mark {
  /** Whether it was not marked before. */
  readonly isFirst: boolean;
  readonly mark: string;
}

/** Marks it as going, unless it is. @throws AppError TENANT_NOT_FOUND */
async function markRemoval(tx: Transaction, caller: Caller, id: TenantId): Promise<Mark> {
  const [row] = await tx.query<Mark & { name: string }>(MARK, [id]);
  if (!row) throw notFound(id);
  const { name, ...mark } = row;
  if (mark.isFirst)
    await recordAudit(tx, caller, { action: 'tenant.remove', target: id, detail: { name } });
  return mark;
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

function notEmpty(id: TenantId): AppError {
  const detail = `the tenant ${id} holds data; \`force\` removes it too`;
  return new AppError('TENANT_NOT_EMPTY', detail);
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
