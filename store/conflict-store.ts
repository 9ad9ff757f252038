/**
 * Conflicts: items both sides changed in ways that do not merge. Resolving is an ordinary write of
 * the hub; the link then carries it to the remote by the ordinary path.
 */
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import { isUuid, type ConflictId, type ContextKey, type LinkId } from '../domain/ids.ts';
import { documentSchema, memorySchema, type ItemKind } from '../domain/item.ts';
import type { Json } from '../domain/json.ts';
import type { Conflict, ConflictReason, ConflictStatus, ResolutionChoice } from '../domain/link.ts';
import { recordAudit } from './audit.ts';
import { encodeBody, loadBodies } from './blobs.ts';
import type { ConflictStore } from './contract.ts';
import type { Database, Transaction } from './database.ts';
import { wakeLink } from './outbox.ts';
import { pageOf, unpackCursor } from './paging.ts';
import { syncWrites } from './sync-writes.ts';
import { lockContexts, writeVersions } from './write-versions.ts';

interface ConflictRow {
  id: ConflictId;
  link_id: LinkId;
  key: ContextKey;
  status: ConflictStatus;
  reason: ConflictReason;
  base_hash: Hash | null;
  hub_hash: Hash | null;
  hub_version: number;
  remote_hash: Hash | null;
  pointers: string[];
  proposal_hash: Hash | null;
  due_at: Date | null;
  created_at: Date;
  resolved_at: Date | null;
  resolved_by: string | null;
}

const COLUMNS = `
id, link_id, key, status, reason, encode(base_hash, 'hex') AS base_hash,
encode(hub_hash, 'hex') AS hub_hash, hub_version, encode(remote_hash, 'hex') AS remote_hash,
pointers, encode(proposal_hash, 'hex') AS proposal_hash, due_at, created_at, resolved_at, resolved_by`;

const LIST = `
SELECT ${COLUMNS} FROM sync_conflicts
WHERE tenant_id = current_setting('app.tenant')
  AND ($1::uuid IS NULL OR link_id = $1) AND ($2::text IS NULL OR status = $2)
  AND ($3::timestamptz IS NULL OR (date_trunc('milliseconds', created_at), id) > ($3, $4::uuid))
ORDER BY date_trunc('milliseconds', created_at), id LIMIT $5`;

export interface ConflictStoreDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly onCommitted: () => void;
}

export function createConflictStore(deps: ConflictStoreDeps): ConflictStore {
  const { database, clock, onCommitted } = deps;
  return {
    async list(caller, { linkId, status, limit, cursor }) {
      const after = cursor === undefined ? [null, null] : unpackCursor(cursor, ['time', 'id']);
      return database.withTenant(caller.tenant, async (tx) => {
        const rows = await tx.query<ConflictRow>(LIST, [
          linkId ?? null,
          status ?? null,
          ...after,
          limit + 1,
        ]);
        const bodies = await loadBodies(tx, rows.flatMap(hashesOf));
        return pageOf(rows, limit, {
          item: (row) => conflictOf(row, bodies),
          sortValues: (row) => [row.created_at.toISOString(), row.id],
        });
      });
    },

    async get(caller, id) {
      return database.withTenant(caller.tenant, (tx) => readConflict(tx, id));
    },

    async resolve(caller, id, resolution) {
      const resolved = await database.withTenant(caller.tenant, async (tx) => {
        const row = await lockConflict(tx, id);
        const item = await requireUnmoved(tx, row);
        const conflict = conflictOf(row, await loadBodies(tx, hashesOf(row)));
        const value = chosenValue(conflict, item.kind, resolution);
        await writeResolution(
          tx,
          { row, conflict, value, item, by: resolution.by ?? caller.actor },
          clock,
        );
        await recordAudit(tx, caller, {
          action: 'conflict.resolve',
          target: id,
          detail: { choice: resolution.choice },
        });
        return readConflict(tx, id);
      });
      onCommitted();
      return resolved;
    },
  };
}

interface RestingItem {
  readonly kind: ItemKind;
  readonly link_name: string;
  readonly remote_hash: Hash | null;
}

/** Refuses a decision that was made on values that are no longer there. */
async function requireUnmoved(tx: Transaction, row: ConflictRow): Promise<RestingItem> {
  if (row.status !== 'open') throw moved('the conflict is no longer open');
  const [item] = await tx.query<RestingItem>(
    `SELECT i.kind, l.name AS link_name, encode(i.remote_hash, 'hex') AS remote_hash
     FROM sync_items i JOIN sync_links l ON l.tenant_id = i.tenant_id AND l.id = i.link_id
     WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = $1 AND i.key = $2 FOR UPDATE OF i`,
    [row.link_id, row.key],
  );
  const hub = (await lockContexts(tx, [row.key])).get(row.key);
  if (!item || item.remote_hash !== row.remote_hash) throw moved('the remote has changed since');
  if ((hub?.version ?? 0) !== row.hub_version) throw moved('the hub has changed since');
  return item;
}

function chosenValue(
  conflict: Conflict,
  kind: ItemKind,
  resolution: { choice: ResolutionChoice; value?: Json | undefined },
): Json | null {
  switch (resolution.choice) {
    case 'hub':
      return conflict.hub;
    case 'remote':
      return conflict.remote;
    case 'base':
      return conflict.base;
    case 'merged':
      if (conflict.proposal === null)
        throw invalid('/choice', 'this conflict has no merged proposal');
      return conflict.proposal;
    case 'value':
      if (resolution.value === undefined) throw invalid('/value', 'choice "value" needs a value');
      return validItem(kind, resolution.value);
  }
}

function validItem(kind: ItemKind, value: Json): Json {
  const parsed = (kind === 'memory' ? memorySchema : documentSchema).safeParse(value);
  if (parsed.success) return value;
  const [issue] = parsed.error.issues;
  throw invalid(
    `/value/${issue?.path.join('/') ?? ''}`,
    `not a ${kind}: ${issue?.message ?? 'wrong shape'}`,
  );
}

/**
 * The remote's value becomes the base and (as the loser) a version of its own; the chosen value
 * becomes the hub's current one. From there the next run sees an ordinary change of the hub.
 */
async function writeResolution(
  tx: Transaction,
  decision: {
    row: ConflictRow;
    conflict: Conflict;
    value: Json | null;
    item: RestingItem;
    by: string | null;
  },
  clock: Clock,
): Promise<void> {
  const { row, conflict, value, item, by } = decision;
  const at = new Date(clock.now());
  const hub = (await lockContexts(tx, [row.key])).get(row.key) ?? null;
  const isWritten = value !== null || conflict.hub !== null;
  if (isWritten) {
    const writes = syncWrites({
      key: row.key,
      kind: item.kind,
      hub,
      body: value === null ? null : await encodeBody(value),
      loser: conflict.remote === null ? null : await encodeBody(conflict.remote),
      linkName: item.link_name,
      changeType: 'merge',
      changedBy: by,
      origin: null,
      at,
    });
    await writeVersions(tx, writes, at);
  }
  await tx.query(
    `UPDATE sync_items SET base_hub_hash = remote_hash, base_remote_hash = remote_hash,
       base_version = NULL, state = 'pending', dirty = true, dirty_since = now()
     WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND key = $2`,
    [row.link_id, row.key],
  );
  await tx.query(
    `UPDATE sync_conflicts SET status = 'resolved', resolved_at = $2, resolved_by = $3, updated_at = now()
     WHERE tenant_id = current_setting('app.tenant') AND id = $1`,
    [row.id, at, by],
  );
  await wakeLink(tx, row.link_id);
}

async function readConflict(tx: Transaction, id: ConflictId): Promise<Conflict> {
  const row = await selectConflict(tx, id, '');
  return conflictOf(row, await loadBodies(tx, hashesOf(row)));
}

const lockConflict = (tx: Transaction, id: ConflictId) => selectConflict(tx, id, 'FOR UPDATE');

async function selectConflict(tx: Transaction, id: ConflictId, lock: string): Promise<ConflictRow> {
  if (!isUuid(id)) throw conflictNotFound(id);
  const [row] = await tx.query<ConflictRow>(
    `SELECT ${COLUMNS} FROM sync_conflicts
     WHERE tenant_id = current_setting('app.tenant') AND id = $1 ${lock}`,
    [id],
  );
  if (!row) throw conflictNotFound(id);
  return row;
}

function hashesOf(row: ConflictRow): Hash[] {
  return [row.base_hash, row.hub_hash, row.remote_hash, row.proposal_hash].filter(
    (h) => h !== null,
  );
}

function conflictOf(row: ConflictRow, bodies: ReadonlyMap<Hash, Json>): Conflict {
  const body = (hash: Hash | null): Json | null => (hash ? (bodies.get(hash) ?? null) : null);
  return {
    id: row.id,
    linkId: row.link_id,
    key: row.key,
    status: row.status,
    reason: row.reason,
    base: body(row.base_hash),
    hub: body(row.hub_hash),
    remote: body(row.remote_hash),
    pointers: row.pointers,
    proposal: body(row.proposal_hash),
    dueAt: row.due_at?.toISOString() ?? null,
    createdAt: row.created_at.toISOString(),
    resolvedAt: row.resolved_at?.toISOString() ?? null,
    resolvedBy: row.resolved_by,
  };
}

const conflictNotFound = (id: string): AppError =>
  new AppError('CONFLICT_NOT_FOUND', `there is no conflict ${JSON.stringify(id)}`);

const moved = (detail: string): AppError => new AppError('CONFLICT_MOVED', detail);

function invalid(pointer: string, detail: string): AppError {
  return new AppError('VALIDATION', detail, { errors: [{ pointer, detail }] });
}
