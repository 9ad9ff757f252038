/**
 * The one way a version comes into being, for the API and the sync engine alike: context row,
 * version, blob, change-feed row and outbox row in the caller's transaction, for any number of keys.
 */
import type { ChangeType, DeleteReason } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import type { ContextKey, LinkId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';
import { noteChanges, type CommittedChange } from './announce-changes.ts';
import { saveBodies, saveStatements, withItsKey, type Body } from './blobs.ts';
import { sqlStateOf, type OpenTransaction, type Transaction } from './database.ts';
import type { Statement } from './send-together.ts';
import {
  indexContexts,
  indexSoonStatements,
  indexStatements,
  type IndexedContext,
} from './search/index-contexts.ts';

/** A context's row as it is locked for writing. Times are `Date`s, as pg gives them. */
export interface ContextRow {
  readonly key: ContextKey;
  readonly version: number;
  readonly hash: Hash | null;
  readonly kind: string;
  readonly source: string | null;
  readonly parent_id: string | null;
  readonly session_id: string | null;
  readonly agent_id: string | null;
  readonly tags: string[];
  readonly metadata: JsonObject;
  readonly encrypted: boolean;
  readonly compressed: boolean;
  /** What the writer asked for; null: by size. */
  readonly compress: boolean | null;
  readonly size: number;
  readonly created_at: Date;
  readonly created_by: string | null;
  readonly updated_at: Date;
  readonly updated_by: string | null;
  readonly expires_at: Date | null;
  readonly deleted: boolean;
  readonly delete_reason: DeleteReason | null;
}

/** What a version says about a context besides its body. */
export type VersionFacts = Pick<
  ContextRow,
  | 'kind'
  | 'source'
  | 'parent_id'
  | 'session_id'
  | 'agent_id'
  | 'tags'
  | 'metadata'
  | 'compress'
  | 'expires_at'
>;

export interface VersionWrite {
  readonly key: ContextKey;
  /** Version of the row this write replaces; 0 when there is no row yet. */
  readonly previousVersion: number;
  /** Null: this version is a delete. */
  readonly body: Body | null;
  readonly facts: VersionFacts;
  readonly createdAt: Date;
  readonly createdBy: string | null;
  readonly changeType: ChangeType;
  readonly reason: DeleteReason | null;
  readonly changedBy: string | null;
  /** The link that wrote it, so that it is not woken by its own write. */
  readonly origin: LinkId | null;
  /**
   * An older state kept for history only: it takes a version, but never was the current one, since
   * the write of the same key that follows came with it.
   */
  readonly isLoser?: boolean;
  /** When the state came to be, where that was before it is written here; the feed tells of it now. */
  readonly changedAt?: Date;
}

/** Whether the version's body is sealed. A delete has none. */
export function isSealed({ body }: Pick<VersionWrite, 'body'>): boolean {
  return (body?.keyId ?? null) !== null;
}

export const CONTEXT_COLUMNS = `
key, version, encode(hash, 'hex') AS hash, kind, source, parent_id, session_id, agent_id, tags,
metadata, encrypted, compressed, compress, size, created_at, created_by, updated_at, updated_by,
expires_at, deleted, delete_reason`;

// One look-up per key: where statistics lag behind a first sync, the planner would read the tenant.
/** The rows of keys ($1), locked; see {@link lockContexts}. */
export const LOCK_CONTEXTS = `
SELECT c.* FROM (SELECT DISTINCT w COLLATE "C" AS key FROM unnest($1::text[]) AS w ORDER BY 1) w
CROSS JOIN LATERAL (SELECT ${CONTEXT_COLUMNS} FROM contexts
  WHERE tenant_id = current_setting('app.tenant') AND key = w.key FOR UPDATE) c`;

const LOCK_CONTEXT = `
SELECT ${CONTEXT_COLUMNS} FROM contexts
WHERE tenant_id = current_setting('app.tenant') AND key = $1 FOR UPDATE`;

/** Locks rows in key order (so that two batches cannot deadlock) and answers them by key. */
export async function lockContexts(
  tx: Transaction,
  keys: readonly ContextKey[],
): Promise<Map<ContextKey, ContextRow>> {
  if (keys.length === 0) return new Map();
  const rows =
    keys.length === 1
      ? await tx.query<ContextRow>(LOCK_CONTEXT, [keys[0]])
      : await tx.query<ContextRow>(LOCK_CONTEXTS, [keys]);
  return new Map(rows.map((row) => [row.key, row]));
}

const VERSION_PARTS = `
WITH rows AS (
  SELECT * FROM json_to_recordset($1::json) AS r (
    nth int, key text, version int, hash text, kind text, source text, parent_id text,
    session_id text, agent_id text, tags text[], metadata json, encrypted boolean,
    compressed boolean, compress boolean, size int, created_at timestamptz, created_by text, expires_at timestamptz,
    change_type text, reason text, changed_by text, origin uuid, is_loser boolean, changed_at timestamptz)
), versions AS (
  INSERT INTO context_versions (tenant_id, key, version, hash, change_type, reason, changed_by,
    changed_at, kind, source, parent_id, session_id, agent_id, tags, metadata, encrypted, compressed,
    size, expires_at)
  SELECT current_setting('app.tenant'), key, version, decode(hash, 'hex'), change_type, reason,
    changed_by, coalesce(changed_at, $2), kind, source, parent_id, session_id, agent_id, tags, metadata, encrypted,
    compressed, size, expires_at
  FROM rows
), feed AS (
  INSERT INTO changes (tenant_id, key, version, change_type, reason, changed_by, changed_at, origin)
  SELECT current_setting('app.tenant'), key, version, change_type, reason, changed_by, $2, origin
  FROM rows ORDER BY nth
), sent AS (
  INSERT INTO outbox (tenant_id, topic, payload)
  SELECT current_setting('app.tenant'), 'contexts.changed',
    jsonb_build_object('keys', jsonb_agg(DISTINCT key), 'origin', (array_agg(origin))[1])
  FROM rows
)`;

// The upsert's WHERE makes the last race visible: two transactions that both saw no row. In key order,
// so that two batches that create the same keys cannot deadlock.
const UPSERT_CONTEXTS = `
INSERT INTO contexts AS c (tenant_id, key, version, hash, kind, source, parent_id, session_id,
  agent_id, tags, metadata, encrypted, compressed, compress, size, created_at, created_by, updated_at,
  updated_by, expires_at, deleted, delete_reason)
SELECT current_setting('app.tenant'), key, version, decode(hash, 'hex'), kind, source, parent_id,
  session_id, agent_id, tags, metadata, encrypted, compressed, compress, size, created_at, created_by, coalesce(changed_at, $2),
  changed_by, expires_at, hash IS NULL, reason
FROM rows WHERE NOT is_loser ORDER BY key COLLATE "C"
ON CONFLICT (tenant_id, key) DO UPDATE SET
  version = excluded.version, hash = excluded.hash, kind = excluded.kind, source = excluded.source,
  parent_id = excluded.parent_id, session_id = excluded.session_id, agent_id = excluded.agent_id,
  tags = excluded.tags, metadata = excluded.metadata, encrypted = excluded.encrypted,
  compressed = excluded.compressed, compress = excluded.compress, size = excluded.size,
  created_at = excluded.created_at, created_by = excluded.created_by,
  updated_at = excluded.updated_at, updated_by = excluded.updated_by,
  expires_at = excluded.expires_at, deleted = excluded.deleted, delete_reason = excluded.delete_reason
  WHERE c.version < excluded.version
RETURNING key`;

const WRITE_VERSIONS = VERSION_PARTS + UPSERT_CONTEXTS;

// Where COMMIT follows at once, a lost race must fail by itself: $3 is how many contexts are written.
const WRITE_VERSIONS_OR_FAIL = `${VERSION_PARTS}, written AS (${UPSERT_CONTEXTS})
SELECT 1 / (count(*) = $3)::int FROM written`;

/**
 * Writes versions and everything that goes with them. The rows must have been locked with
 * {@link lockContexts}; a key may appear several times, in the order of its versions, all but the last as
 * losers.
 *
 * @throws AppError VERSION_CONFLICT (retryable) when another transaction created a key meanwhile
 */
export async function writeVersions(
  tx: Transaction,
  writes: readonly VersionWrite[],
  at: Date,
): Promise<void> {
  if (writes.length === 0) return;
  noteChanges(tx, writes.map(changeOf));
  await saveBodies(
    tx,
    writes.flatMap((write) => (write.body ? [write.body] : [])),
  );
  const records = JSON.stringify(writes.map(recordOf));
  const written = await withLostRace(tx.query(WRITE_VERSIONS, [records, at]));
  const current = writes.filter((write) => !write.isLoser);
  if (written.length !== current.length) throw lostRace();
  await indexContexts(
    tx,
    current.map((write) => indexedOf(write, at)),
  );
}

/**
 * The same for one context or a few, and commits: all in one message. Nothing may be asked of the
 * transaction afterwards.
 *
 * @throws AppError VERSION_CONFLICT (retryable) when another transaction created a key meanwhile
 */
export async function commitVersions(
  tx: OpenTransaction,
  writes: readonly VersionWrite[],
  at: Date,
): Promise<void> {
  await commitWriting(tx, await versionStatements(tx, writes, { at }));
}

/**
 * Commits with statements that write versions ({@link versionStatements}) among others.
 *
 * @throws AppError VERSION_CONFLICT, UNAVAILABLE (both retryable) when a race was lost
 */
export async function commitWriting(
  tx: OpenTransaction,
  statements: readonly Statement[],
): Promise<void> {
  await withItsKey(withLostRace(tx.commitWith(statements)));
}

/**
 * The statements that write versions, to be sent with others and committed at once; one fails where
 * {@link writeVersions} would (see {@link commitWriting}). Only reads by itself.
 * `mayIndexLater`: many at once may be found by a search a moment later.
 */
export async function versionStatements(
  tx: Transaction,
  writes: readonly VersionWrite[],
  options: { readonly at: Date; readonly mayIndexLater?: boolean },
): Promise<Statement[]> {
  if (writes.length === 0) return [];
  const { at } = options;
  noteChanges(tx, writes.map(changeOf));
  const current = writes.filter((write) => !write.isLoser);
  const records = JSON.stringify(writes.map(recordOf));
  const index = options.mayIndexLater ? indexSoonStatements : indexStatements;
  return [
    ...saveStatements(writes.flatMap((write) => (write.body ? [write.body] : []))),
    {
      sql: WRITE_VERSIONS_OR_FAIL,
      values: [records, at, current.length],
      name: 'write_versions',
    },
    ...(await index(
      tx,
      current.map((write) => indexedOf(write, at)),
    )),
  ];
}

function changeOf({ key, previousVersion }: VersionWrite): CommittedChange {
  return { key, version: previousVersion + 1 };
}

function indexedOf(write: VersionWrite, at: Date): IndexedContext {
  const { key, body, facts } = write;
  return { key, version: write.previousVersion + 1, body, facts, updatedAt: write.changedAt ?? at };
}

/** A unique violation; a division by zero is how {@link WRITE_VERSIONS_OR_FAIL} fails. */
const LOST_RACE = new Set(['23505', '22012']);

/** A key that somebody else creates at the same moment is a race that is lost, and run again. */
export async function withLostRace<T>(writing: Promise<T>): Promise<T> {
  return writing.catch((error: unknown) => {
    throw LOST_RACE.has(sqlStateOf(error)) ? lostRace() : error;
  });
}

function lostRace(): AppError {
  return new AppError('VERSION_CONFLICT', 'another writer created the context first', {
    retryable: true,
  });
}

function recordOf(write: VersionWrite, nth: number): object {
  return {
    ...write.facts,
    nth,
    key: write.key,
    version: write.previousVersion + 1,
    hash: write.body?.hash ?? null,
    encrypted: isSealed(write),
    compressed: write.body?.codec === 'gzip',
    size: write.body?.size ?? 0,
    created_at: write.createdAt,
    created_by: write.createdBy,
    change_type: write.changeType,
    reason: write.reason,
    changed_by: write.changedBy,
    origin: write.origin,
    is_loser: write.isLoser ?? false,
    changed_at: write.changedAt ?? null,
  };
}
