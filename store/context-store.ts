/**
 * Contexts and their history. An acknowledged write is committed whole: row, version, blob,
 * change-feed row and outbox row. Version numbers of a key never repeat, not even after a delete.
 */
import type { Clock } from '../domain/clock.ts';
import type {
  Caller,
  Context,
  ContextEnvelope,
  ContextOptions,
  VersionRow,
} from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import type { ContextKey } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import { appendJson, mergePatch } from './apply-change.ts';
import { encodeBody, loadBodies, type Body } from './blobs.ts';
import type { ContextStore } from './contract.ts';
import type { Database, Transaction } from './database.ts';
import { FEED_START, feedHead, readChanges, requireKept } from './feed.ts';
import { rememberWrite } from './idempotency.ts';
import { pageOf, unpackCursor } from './paging.ts';
import { requireNoCycle } from './parents.ts';
import {
  CONTEXT_COLUMNS,
  lockContexts,
  writeVersions,
  type ContextRow,
  type VersionFacts,
  type VersionWrite,
} from './write-versions.ts';

/** Seconds a context lives when its writer said nothing (contract 06, `ttl`). */
const DEFAULT_TTL_S = 86_400;
const DEFAULT_KIND = 'json';

export interface ContextStoreDeps {
  readonly database: Database;
  readonly clock: Clock;
  /** Bytes of compact JSON one context's data may have. */
  readonly maxContextBytes: number;
  /** Called after each commit, so that the relay need not poll. */
  readonly onCommitted: () => void;
}

export function createContextStore(deps: ContextStoreDeps): ContextStore {
  const { database, clock, maxContextBytes, onCommitted } = deps;
  const now = (): Date => new Date(clock.now());

  async function bodyOf(data: Json, compress: boolean | undefined): Promise<Body> {
    const body = await encodeBody(data, compress);
    if (body.size <= maxContextBytes) return body;
    throw new AppError(
      'CONTEXT_TOO_LARGE',
      `data has ${body.size} bytes, at most ${maxContextBytes} are allowed`,
    );
  }

  async function write<T>(caller: Caller, work: (tx: Transaction) => Promise<T>): Promise<T> {
    const result = await database.withTenant(caller.tenant, async (tx) => {
      const done = await work(tx);
      await rememberWrite(tx, { caller, result: done, at: clock.now() });
      return done;
    });
    onCommitted();
    return result;
  }

  /** The row as it is now; null for one that is deleted or has expired. */
  async function lockLive(tx: Transaction, key: ContextKey, ifVersion: number | undefined) {
    const row = (await lockContexts(tx, [key])).get(key) ?? null;
    const live = row && isLive(row, now()) ? row : null;
    requireVersion(live, ifVersion);
    return { row, live };
  }

  return {
    async store(caller, { key, data, options }) {
      const body = await bodyOf(data, options.compress);
      return write(caller, async (tx) => {
        const { row, live } = await lockLive(tx, key, options.ifVersion);
        await requireParent(tx, key, options.parentId, row);
        const at = now();
        const version: VersionWrite = {
          ...writeOf(caller, { key, row, live, body }, at),
          facts: factsOf(options, at),
          changeType: live ? 'update' : 'create',
        };
        await writeVersions(tx, [version], at);
        return { created: live === null, envelope: envelopeAfter(version, at) };
      });
    },

    async get(caller, key, version) {
      return database.withTenant(caller.tenant, async (tx) => {
        const [row] = await tx.query<ContextRow>(SELECT_CONTEXT, [key]);
        // What expired is gone on every path; what was deleted keeps its history.
        if (!row || isExpired(row, now())) return null;
        if (version === undefined && row.deleted) return null;
        const wanted = version === undefined ? row : await selectVersion(tx, row, version);
        if (!wanted?.hash) return null;
        const bodies = await loadBodies(tx, [wanted.hash]);
        return { ...envelopeOf(wanted), data: bodies.get(wanted.hash) as Json } satisfies Context;
      });
    },

    async update(caller, { key, data, changeType, options }) {
      return write(caller, async (tx) => {
        const { row, live } = await lockLive(tx, key, options.ifVersion);
        if (!live?.hash) throw notFound(key);
        await requireParent(tx, key, options.parentId, row);
        const value = await combine(tx, { hash: live.hash, data, changeType });
        const at = now();
        const version: VersionWrite = {
          ...writeOf(caller, { key, row, live, body: await bodyOf(value, options.compress) }, at),
          facts: factsOver(live, options, at),
          changeType: changeType === 'replace' ? 'update' : changeType,
        };
        await writeVersions(tx, [version], at);
        return envelopeAfter(version, at);
      });
    },

    async delete(caller, { key, ifVersion, reason }) {
      return write(caller, async (tx) => {
        const { row, live } = await lockLive(tx, key, ifVersion);
        if (!live) throw notFound(key);
        const at = now();
        const base = writeOf(caller, { key, row, live, body: null }, at);
        await writeVersions(
          tx,
          [{ ...base, facts: live, changeType: 'delete', reason: reason ?? 'user' }],
          at,
        );
        return { key, version: live.version + 1 };
      });
    },

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
      const rows = await database.withTenant(caller.tenant, (tx) =>
        tx.query<ContextRow>(LIST_CONTEXTS, values),
      );
      return pageOf(rows, filter.limit, { item: envelopeOf, sortValues: (row) => [row.key] });
    },

    async versions(caller, { key, limit, cursor }) {
      const below = cursor === undefined ? 2_147_483_647 : unpackCursor(cursor, ['integer'])[0];
      const rows = await database.withTenant(caller.tenant, async (tx) => {
        const [row] = await tx.query<ContextRow>(SELECT_CONTEXT, [key]);
        if (!row || isExpired(row, now())) throw notFound(key);
        return tx.query<VersionDbRow>(LIST_VERSIONS, [key, below, limit + 1]);
      });
      return pageOf(rows, limit, { item: versionRowOf, sortValues: (row) => [row.version] });
    },

    async changes(caller, { since, limit, prefix }) {
      return database.withTenant(caller.tenant, async (tx) => {
        if (since === 'now') return { changes: [], cursor: await feedHead(tx) };
        const page = { since: since ?? FEED_START, limit, prefix: prefix ?? '' };
        const read = await readChanges(tx, page);
        if (since !== null) await requireKept(tx, since);
        return read;
      });
    },
  };
}

const SELECT_CONTEXT = `
SELECT ${CONTEXT_COLUMNS} FROM contexts
WHERE tenant_id = current_setting('app.tenant') AND key = $1`;

const LIST_CONTEXTS = `
SELECT ${CONTEXT_COLUMNS} FROM contexts
WHERE tenant_id = current_setting('app.tenant')
  AND ($1::text IS NULL OR key > $1 COLLATE "C")
  AND key >= $2 COLLATE "C" AND starts_with(key, $2)
  AND ($3::text[] IS NULL OR tags @> $3)
  AND ($4::text IS NULL OR session_id = $4)
  AND ($5::text IS NULL OR agent_id = $5)
  AND ($6::text IS NULL OR parent_id = $6)
  AND ($7::text IS NULL OR source = $7)
  AND NOT deleted AND (expires_at IS NULL OR expires_at > $8)
ORDER BY key LIMIT $9`;

const LIST_VERSIONS = `
SELECT version, encode(hash, 'hex') AS hash, change_type, reason, changed_by, changed_at, size
FROM context_versions
WHERE tenant_id = current_setting('app.tenant') AND key = $1 AND version < $2
ORDER BY version DESC LIMIT $3`;

const SELECT_VERSION = `
SELECT encode(hash, 'hex') AS hash, kind, source, parent_id, session_id, agent_id, tags, metadata,
  encrypted, compressed, size, expires_at, version, changed_at AS updated_at, changed_by AS updated_by
FROM context_versions
WHERE tenant_id = current_setting('app.tenant') AND key = $1 AND version = $2`;

interface VersionDbRow {
  version: number;
  hash: Hash | null;
  change_type: VersionRow['changeType'];
  reason: VersionRow['reason'];
  changed_by: string | null;
  changed_at: Date;
  size: number;
}

async function selectVersion(
  tx: Transaction,
  row: ContextRow,
  version: number,
): Promise<ContextRow | null> {
  const [old] = await tx.query<Partial<ContextRow>>(SELECT_VERSION, [row.key, version]);
  return old ? { ...row, ...old } : null;
}

async function combine(
  tx: Transaction,
  change: { hash: Hash; data: Json; changeType: 'replace' | 'merge' | 'append' },
): Promise<Json> {
  if (change.changeType === 'replace') return change.data;
  const current = (await loadBodies(tx, [change.hash])).get(change.hash);
  return change.changeType === 'merge'
    ? mergePatch(current, change.data)
    : appendJson(current, change.data);
}

/** A parent that is named anew is checked; one that stays was, when it was set. */
async function requireParent(
  tx: Transaction,
  key: ContextKey,
  parent: string | null | undefined,
  row: ContextRow | null,
): Promise<void> {
  if (typeof parent === 'string' && parent !== row?.parent_id)
    await requireNoCycle(tx, key, parent);
}

function requireVersion(live: ContextRow | null, ifVersion: number | undefined): void {
  const currentVersion = live?.version ?? 0;
  if (ifVersion === undefined || ifVersion === currentVersion) return;
  throw new AppError(
    'VERSION_CONFLICT',
    `the current version is ${currentVersion}, not ${ifVersion}`,
    {
      extra: { currentVersion },
    },
  );
}

function writeOf(
  caller: Caller,
  target: { key: ContextKey; row: ContextRow | null; live: ContextRow | null; body: Body | null },
  at: Date,
): Omit<VersionWrite, 'facts' | 'changeType'> {
  return {
    key: target.key,
    previousVersion: target.row?.version ?? 0,
    body: target.body,
    createdAt: target.live?.created_at ?? at,
    createdBy: target.live ? target.live.created_by : caller.actor,
    reason: null,
    changedBy: caller.actor,
    origin: null,
  };
}

/** `store` sets every option anew; what is not named gets its default. */
function factsOf(options: ContextOptions, at: Date): VersionFacts {
  return {
    kind: options.kind ?? DEFAULT_KIND,
    source: options.source ?? null,
    parent_id: options.parentId ?? null,
    session_id: options.sessionId ?? null,
    agent_id: options.agentId ?? null,
    tags: [...(options.tags ?? [])],
    metadata: options.metadata ?? {},
    expires_at: expiryOf(options.ttl === undefined ? DEFAULT_TTL_S : options.ttl, at),
  };
}

/** `update` keeps what it does not name, the expiry included. */
function factsOver(live: ContextRow, options: ContextOptions, at: Date): VersionFacts {
  const kept = <T>(named: T | undefined, current: T): T => (named === undefined ? current : named);
  return {
    kind: kept(options.kind, live.kind),
    source: kept(options.source, live.source),
    parent_id: kept(options.parentId, live.parent_id),
    session_id: kept(options.sessionId, live.session_id),
    agent_id: kept(options.agentId, live.agent_id),
    tags: [...kept(options.tags, live.tags)],
    metadata: kept(options.metadata, live.metadata),
    expires_at: options.ttl === undefined ? live.expires_at : expiryOf(options.ttl, at),
  };
}

function expiryOf(ttlS: number | null, at: Date): Date | null {
  return ttlS === null ? null : new Date(at.getTime() + ttlS * 1000);
}

function isLive(row: ContextRow, at: Date): boolean {
  return !row.deleted && !isExpired(row, at);
}

function isExpired(row: ContextRow, at: Date): boolean {
  if (row.deleted) return row.delete_reason === 'ttl';
  return row.expires_at !== null && row.expires_at <= at;
}

function envelopeOf(row: ContextRow): ContextEnvelope {
  return {
    key: row.key,
    version: row.version,
    hash: row.hash as Hash,
    kind: row.kind,
    source: row.source,
    parentId: row.parent_id,
    sessionId: row.session_id,
    agentId: row.agent_id,
    tags: row.tags,
    metadata: row.metadata,
    encrypted: row.encrypted,
    compressed: row.compressed,
    size: row.size,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    updatedAt: row.updated_at.toISOString(),
    updatedBy: row.updated_by,
    expiresAt: row.expires_at?.toISOString() ?? null,
  };
}

function envelopeAfter(write: VersionWrite, at: Date): ContextEnvelope {
  return envelopeOf({
    ...write.facts,
    key: write.key,
    version: write.previousVersion + 1,
    hash: write.body?.hash ?? null,
    encrypted: false,
    compressed: write.body?.codec === 'gzip',
    size: write.body?.size ?? 0,
    created_at: write.createdAt,
    created_by: write.createdBy,
    updated_at: at,
    updated_by: write.changedBy,
    deleted: false,
    delete_reason: null,
  });
}

function versionRowOf(row: VersionDbRow): VersionRow {
  return {
    version: row.version,
    hash: row.hash,
    changeType: row.change_type,
    changedBy: row.changed_by,
    changedAt: row.changed_at.toISOString(),
    size: row.size,
    reason: row.reason,
  };
}

function notFound(key: ContextKey): AppError {
  return new AppError('CONTEXT_NOT_FOUND', `there is no context ${JSON.stringify(key)}`);
}
