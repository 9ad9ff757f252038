/** Conflicts as Postgres holds them, and as other rooms see them. */
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import { isUuid, type ConflictId, type ContextKey, type LinkId } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import type { Conflict, ConflictReason, ConflictStatus } from '../domain/link.ts';
import { loadBodies } from './blobs.ts';
import type { Transaction } from './database.ts';

export interface ConflictRow {
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
  revision: number;
  created_at: Date;
  resolved_at: Date | null;
  resolved_by: string | null;
}

export const CONFLICT_COLUMNS = `
id, link_id, key, status, reason, encode(base_hash, 'hex') AS base_hash,
encode(hub_hash, 'hex') AS hub_hash, hub_version, encode(remote_hash, 'hex') AS remote_hash,
pointers, encode(proposal_hash, 'hex') AS proposal_hash, due_at, revision, created_at, resolved_at,
resolved_by`;

/** A conflict with its bodies. @throws AppError CONFLICT_NOT_FOUND */
export async function readConflict(tx: Transaction, id: ConflictId): Promise<Conflict> {
  const row = await selectConflict(tx, id);
  return conflictOf(row, await loadBodies(tx, hashesOf(row)));
}

/** A conflict's row, `FOR UPDATE` or as it is. @throws AppError CONFLICT_NOT_FOUND */
export async function selectConflict(
  tx: Transaction,
  id: ConflictId,
  lock: 'FOR UPDATE' | '' = '',
): Promise<ConflictRow> {
  const [row] = isUuid(id)
    ? await tx.query<ConflictRow>(
        `SELECT ${CONFLICT_COLUMNS} FROM sync_conflicts
         WHERE tenant_id = current_setting('app.tenant') AND id = $1 ${lock}`,
        [id],
      )
    : [];
  if (!row) {
    throw new AppError('CONFLICT_NOT_FOUND', `there is no conflict ${JSON.stringify(id)}`);
  }
  return row;
}

/** Hashes of all bodies a conflict shows. */
export function hashesOf(row: ConflictRow): Hash[] {
  return [row.base_hash, row.hub_hash, row.remote_hash, row.proposal_hash].filter(
    (hash) => hash !== null,
  );
}

/** A conflict as other rooms see it. A body that is gone is null. */
export function conflictOf(row: ConflictRow, bodies: ReadonlyMap<Hash, Json>): Conflict {
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
    revision: row.revision,
    createdAt: row.created_at.toISOString(),
    resolvedAt: row.resolved_at?.toISOString() ?? null,
    resolvedBy: row.resolved_by,
  };
}
