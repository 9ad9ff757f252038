/**
 * Indexes what large syncs have noted (note-pending.ts), a part at a time, each in a transaction of its
 * own: a note goes with the rows it asked for, so whatever ends the process, nothing stays unindexed
 * and nothing is lost. One at a time per tenant, whoever does it. A context is indexed as it is now:
 * not if it was deleted or has expired meanwhile, and of one that was encrypted no body.
 */
import type { Hash } from '../../domain/hash.ts';
import type { TenantId } from '../../domain/ids.ts';
import { sqlStateOf, type Database, type Transaction } from '../database.ts';
import type { ContextRow } from '../write-versions.ts';
import { partsOf, rowsOf, saveUnchanged, type IndexedContext } from './index-contexts.ts';

/** What became of a part. */
export interface Drained {
  readonly indexed: number;
  /** Contexts that wait for another part; those that are being written at this moment are not counted. */
  readonly left: number;
}

/** Contexts of a part at most, but for a note that alone has more. */
const PART = 1_000;
/** Text of a part: how long the feed may be held back by one, and a caller who helps has to wait. */
const PART_BYTES = 1024 * 1024;
/** Notes of a part at most. */
const NOTES = 100;

// While somebody waits here nothing is held back: no transaction number is taken before rows are written.
const TAKE_TURN = `
SELECT pg_advisory_xact_lock(hashtextextended('search index of ' || current_setting('app.tenant'), 0))
FROM set_config('lock_timeout', $1, true)`;
const LOCK_TIMEOUT = '55P03';

const TAKE_NOTES = `
SELECT id, keys FROM (
  SELECT id, keys, sum(contexts) OVER (ORDER BY id) - contexts AS before FROM search_pending
  WHERE tenant_id = current_setting('app.tenant') ORDER BY id LIMIT ${NOTES}) noted
WHERE before < ${PART} ORDER BY id`;

// One look-up per key, whatever the planner thinks of the tables (see store/sync/batch.ts).
const SELECT_UNINDEXED = `
SELECT c.* FROM (SELECT DISTINCT k AS key FROM unnest($1::text[]) AS k) w
CROSS JOIN LATERAL (
  SELECT key, version, encode(hash, 'hex') AS hash, kind, session_id, agent_id, tags, metadata,
    encrypted, compressed, size, updated_at, expires_at
  FROM contexts WHERE tenant_id = current_setting('app.tenant') AND key = w.key
    AND NOT deleted AND (expires_at IS NULL OR expires_at > now()) OFFSET 0) c
LEFT JOIN LATERAL (SELECT version FROM context_search
  WHERE tenant_id = current_setting('app.tenant') AND key = w.key OFFSET 0) s ON true
WHERE s.version IS NULL OR s.version < c.version`;

// $2: keys for the next part; $3: those that are being written, for a later one.
const CLOSE_NOTES = `
WITH done AS (
  DELETE FROM search_pending WHERE tenant_id = current_setting('app.tenant') AND id = ANY ($1::bigint[])
), kept AS (
  INSERT INTO search_pending (tenant_id, contexts, keys)
  SELECT current_setting('app.tenant'), cardinality(k.keys), k.keys
  FROM (VALUES ($2::text[]), ($3::text[])) AS k (keys) WHERE cardinality(k.keys) > 0
)
SELECT coalesce(sum(contexts), 0)::int + cardinality($2::text[]) AS left FROM search_pending
WHERE tenant_id = current_setting('app.tenant') AND id <> ALL ($1::bigint[])`;

/**
 * Indexes a part of what is pending of a tenant. Null: somebody else was at it for `waitMs`.
 * @throws AppError UNAVAILABLE
 */
export async function drainPart(
  database: Database,
  tenant: TenantId,
  waitMs: number,
): Promise<Drained | null> {
  try {
    const turn = { sql: TAKE_TURN, values: [`${waitMs}ms`] };
    return await database.withTenant(tenant, indexNoted, [turn]);
  } catch (error) {
    if (sqlStateOf(error) === LOCK_TIMEOUT) return null;
    throw error;
  }
}

async function indexNoted(tx: Transaction): Promise<Drained> {
  const notes = await tx.query<{ id: string; keys: string[] }>(TAKE_NOTES);
  if (notes.length === 0) return { indexed: 0, left: 0 };
  const contexts = await unindexed(
    tx,
    notes.flatMap(({ keys }) => keys),
  );
  const [part = []] = partsOf(contexts, PART_BYTES);
  const saved = await saveUnchanged(tx, await rowsOf(tx, part));
  const keysOf = (some: readonly IndexedContext[]): string[] => some.map(({ key }) => key);
  const [closed] = await tx.query<{ left: number }>(CLOSE_NOTES, [
    notes.map(({ id }) => id),
    keysOf(contexts.slice(part.length)),
    keysOf(part).filter((key) => !saved.has(key)),
  ]);
  return { indexed: saved.size, left: closed!.left };
}

async function unindexed(tx: Transaction, keys: readonly string[]): Promise<IndexedContext[]> {
  const rows = await tx.query<ContextRow>(SELECT_UNINDEXED, [keys]);
  return rows.map(indexedOf);
}

/** What is stored of a live context, as the index needs it. */
export function indexedOf(row: ContextRow): IndexedContext {
  const { key, version, size, updated_at: updatedAt } = row;
  // A live context has a body; one whose bytes are gone is indexed by what is left of it.
  const hash = row.hash as Hash;
  const codec = row.compressed ? 'gzip' : 'none';
  // Whoever loads text leaves sealed bodies out, whatever is said here; so none is asked for either.
  const keyId = row.encrypted ? 'sealed' : null;
  return { key, version, body: { hash, codec, size, bytes: null, keyId }, facts: row, updatedAt };
}
