/** Reading contexts: one, a page, a history, the change feed. What expired is gone on every path. */
import type { Clock } from '../domain/clock.ts';
import type { Caller, Context } from '../domain/context.ts';
import type { ContextKey } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import {
  contextNotFound,
  envelopeOf,
  isExpired,
  isLive,
  isNotFound,
  versionNotFound,
  versionRowOf,
  type VersionDbRow,
} from './context-rows.ts';
import { decodeBody, type StoredBody } from './blobs.ts';
import type { ContextStore } from './contract.ts';
import type { Bodies } from './crypto/bodies.ts';
import type { Database, Transaction } from './database.ts';
import { FEED_START, feedEnd, readChanges, requireKept } from './feed.ts';
import { pageOf, unpackCursor } from './paging.ts';
import { CONTEXT_COLUMNS, type ContextRow } from './write-versions.ts';

export type ContextReads = Pick<
  ContextStore,
  'get' | 'getVersion' | 'list' | 'versions' | 'changes'
>;

export function createContextReads(deps: {
  readonly database: Database;
  readonly clock: Clock;
  readonly bodies: Bodies;
}): ContextReads {
  const { database, clock, bodies } = deps;
  const now = (): Date => new Date(clock.now());

  /** One round trip: beginning, row, body and end go together. */
  async function getCurrent(caller: Caller, key: ContextKey): Promise<Context | null> {
    const [rows] = await database.withTenant(caller.tenant, (tx) =>
      tx.commitWith([{ sql: SELECT_WITH_BODY, values: [key] }]),
    );
    const [found] = rows as unknown as (ContextRow & Partial<PlainBody>)[];
    if (!found) return null;
    const { codec, bytes, ...row } = found;
    if (!isLive(row, now())) return null;
    if (row.encrypted || !codec || !bytes) return getSealed(caller, row);
    return { ...envelopeOf(row), data: await decodeBody({ codec, bytes, size: row.size }) };
  }

  async function getSealed(caller: Caller, row: ContextRow): Promise<Context | null> {
    return database.withTenant(caller.tenant, async (tx) => {
      const [context] = await contextsOf(tx, { caller, bodies }, [row]);
      return context!;
    });
  }

  async function getVersion(caller: Caller, key: ContextKey, version: number): Promise<Context> {
    return database.withTenant(caller.tenant, async (tx) => {
      const row = (await selectContexts(tx, [key])).get(key);
      // What was deleted keeps its history.
      if (!row || isExpired(row, now())) throw contextNotFound(key);
      const old = await selectWithData(tx, key, version);
      const [context] = await contextsOf(tx, { caller, bodies }, [{ ...row, ...old }]);
      return context!;
    });
  }

  return {
    async get(caller, key, version) {
      if (version === undefined) return getCurrent(caller, key);
      return getVersion(caller, key, version).catch((error: unknown) => {
        if (isNotFound(error)) return null;
        throw error;
      });
    },
    getVersion,

    async list(caller, filter) {
      const after = filter.cursor === undefined ? null : unpackCursor(filter.cursor, ['text'])[0];
      const values = [
        after,
        filter.prefix ?? '',
        filter.tag?.length ? filter.tag : null,
        filter.sessionId ?? null,
        filter.agentId ?? null,
        filter.parent ?? null,
        filter.source ?? null,
        now(),
        filter.limit + 1,
      ];
      const isRelated = [filter.sessionId, filter.agentId, filter.parent].some(Boolean);
      const sql = isRelated ? LIST_RELATED : LIST_CONTEXTS;
      const rows = await database.withTenantRead(caller.tenant, { mayBeStale: true }, (tx) =>
        tx.query<ContextRow>(sql, values),
      );
      return pageOf(rows, filter.limit, { item: envelopeOf, sortValues: (row) => [row.key] });
    },

    async versions(caller, { key, limit, cursor }) {
      const below = cursor === undefined ? 2_147_483_647 : unpackCursor(cursor, ['integer'])[0];
      const rows = await database.withTenantRead(
        caller.tenant,
        { mayBeStale: true },
        async (tx) => {
          const row = (await selectContexts(tx, [key])).get(key);
          if (!row || isExpired(row, now())) throw contextNotFound(key);
          return tx.query<VersionDbRow>(LIST_VERSIONS, [key, below, limit + 1]);
        },
      );
      return pageOf(rows, limit, { item: versionRowOf, sortValues: (row) => [row.version] });
    },

    async changes(caller, { since, limit, prefix }) {
      return database.withTenant(caller.tenant, async (tx) => {
        if (since === 'now') return { changes: [], ...(await feedEnd(tx)) };
        const page = { since: since ?? FEED_START, limit, prefix: prefix ?? '' };
        const read = await readChanges(tx, page);
        if (since !== null) await requireKept(tx, since);
        return read;
      });
    },
  };
}

// One look-up per key, as in write-versions.ts.
const SELECT_CONTEXTS = `
SELECT c.* FROM (SELECT DISTINCT w COLLATE "C" AS key FROM unnest($1::text[]) AS w) w
CROSS JOIN LATERAL (SELECT ${CONTEXT_COLUMNS} FROM contexts
  WHERE tenant_id = current_setting('app.tenant') AND key = w.key OFFSET 0) c`;

/** Rows by key, whether deleted, expired or not; nothing is locked. */
export async function selectContexts(
  tx: Transaction,
  keys: readonly ContextKey[],
): Promise<Map<ContextKey, ContextRow>> {
  if (keys.length === 0) return new Map();
  const rows = await tx.query<ContextRow>(SELECT_CONTEXTS, [keys]);
  return new Map(rows.map((row) => [row.key, row]));
}

/** A body that is not sealed, with its context. */
type PlainBody = Pick<StoredBody, 'codec' | 'bytes'>;

const SELECT_WITH_BODY = `
SELECT c.*, b.codec, b.bytes FROM (SELECT ${CONTEXT_COLUMNS}, hash AS blob FROM contexts
  WHERE tenant_id = current_setting('app.tenant') AND key = $1 OFFSET 0) c
LEFT JOIN LATERAL (SELECT codec, body AS bytes FROM blobs
  WHERE tenant_id = current_setting('app.tenant') AND hash = c.blob AND key_id IS NULL OFFSET 0) b ON true`;

const listContexts = (more = ''): string => `
SELECT ${CONTEXT_COLUMNS} FROM contexts
WHERE tenant_id = current_setting('app.tenant')
  AND ($1::text IS NULL OR key > $1 COLLATE "C")
  AND key >= $2 COLLATE "C" AND starts_with(key, $2)
  AND ($3::text[] IS NULL OR tags @> $3)
  AND ($4::text IS NULL OR session_id = $4)
  AND ($5::text IS NULL OR agent_id = $5)
  AND ($6::text IS NULL OR parent_id = $6)
  AND ($7::text IS NULL OR source = $7)
  AND NOT deleted AND (expires_at IS NULL OR expires_at > $8)${more}
ORDER BY key LIMIT $9`;

const LIST_CONTEXTS = listContexts();

// The indexes by session, agent and parent hold no keys above 512 bytes; those have their own.
const LIST_RELATED = `
(${listContexts(' AND octet_length(key) <= 512')})
UNION ALL
(${listContexts(' AND octet_length(key) > 512')})
ORDER BY key LIMIT $9`;

const LIST_VERSIONS = `
SELECT version, encode(hash, 'hex') AS hash, change_type, reason, changed_by, changed_at, size
FROM context_versions
WHERE tenant_id = current_setting('app.tenant') AND key = $1 AND version < $2
ORDER BY version DESC LIMIT $3`;

/** Finds the create of version `v`'s own life, where its context `c` was created anew since. */
export const FORMER_CREATE = `
LEFT JOIN LATERAL (SELECT changed_at, changed_by FROM context_versions
  WHERE c.created_at > v.changed_at AND tenant_id = current_setting('app.tenant')
    AND key = v.key AND version <= v.version AND change_type = 'create'
  ORDER BY version DESC LIMIT 1) f ON true`;

// Retention may have removed the create: then the version itself is the oldest that is known.
/** When and by whom a version's context was created, after {@link FORMER_CREATE}. */
export const CREATION = `
CASE WHEN c.created_at > v.changed_at THEN coalesce(f.changed_at, v.changed_at)
  ELSE c.created_at END AS created_at,
CASE WHEN c.created_at > v.changed_at THEN f.changed_by ELSE c.created_by END AS created_by`;

const SELECT_VERSIONS = `
SELECT v.key, encode(v.hash, 'hex') AS hash, v.kind, v.source, v.parent_id, v.session_id, v.agent_id,
  v.tags, v.metadata, v.encrypted, v.compressed, v.size, v.expires_at, v.version,
  v.changed_at AS updated_at, v.changed_by AS updated_by, ${CREATION}
FROM unnest($1::text[], $2::int[]) AS w (key, version)
CROSS JOIN LATERAL (SELECT * FROM context_versions
  WHERE tenant_id = current_setting('app.tenant') AND key = w.key COLLATE "C"
    AND version = w.version OFFSET 0) v
CROSS JOIN LATERAL (SELECT created_at, created_by FROM contexts
  WHERE tenant_id = current_setting('app.tenant') AND key = v.key OFFSET 0) c
${FORMER_CREATE}`;

/** A state of the history; what it lacks of a row, its context has. Hash null: it is a delete. */
export type OldRow = Omit<ContextRow, 'compress' | 'deleted' | 'delete_reason'>;

/** Those of these versions that are kept. */
export async function selectVersions(
  tx: Transaction,
  wanted: readonly { readonly key: ContextKey; readonly version: number }[],
): Promise<OldRow[]> {
  const keys = wanted.map(({ key }) => key);
  return tx.query<OldRow>(SELECT_VERSIONS, [keys, wanted.map(({ version }) => version)]);
}

/** One version with data. @throws AppError VERSION_NOT_FOUND */
export async function selectWithData(
  tx: Transaction,
  key: ContextKey,
  version: number,
): Promise<OldRow> {
  return withData(await selectVersions(tx, [{ key, version }]), key, version);
}

/** The one of these versions that has this number. @throws AppError VERSION_NOT_FOUND */
export function withData(rows: readonly OldRow[], key: ContextKey, version: number): OldRow {
  const row = rows.find((each) => each.version === version);
  if (!row) throw versionNotFound(key, version);
  if (row.hash === null) throw versionNotFound(key, version, 'with data: it is a delete');
  return row;
}

/** The rows with their data, in order; null for a delete, which has none. */
export async function contextsOf(
  tx: Transaction,
  { caller, bodies }: { readonly caller: Caller; readonly bodies: Bodies },
  rows: readonly ContextRow[],
): Promise<(Context | null)[]> {
  const refs = rows.flatMap(({ key, hash, encrypted }) => (hash ? [{ key, hash, encrypted }] : []));
  const values = await bodies.load(tx, caller.tenant, refs);
  return rows.map((row) =>
    row.hash === null ? null : { ...envelopeOf(row), data: values.get(row.hash) as Json },
  );
}
