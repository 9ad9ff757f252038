/**
 * How conflicts open, move and close by themselves. Each change of status goes into the outbox in
 * the same transaction, so that the conflict's workflow starts, looks or ends.
 */
import type { Hash } from '../../domain/hash.ts';
import type { ConflictId, ContextKey, LinkId } from '../../domain/ids.ts';
import type { ConflictFallback, ConflictReason } from '../../domain/link.ts';
import { storableJson } from '../../domain/storable.ts';
import type { Body } from '../blobs.ts';
import type { Transaction } from '../database.ts';
import type { DirtyItem } from './plan.ts';

export interface OpenConflict {
  readonly id: ConflictId;
  readonly item: DirtyItem;
  readonly reason: ConflictReason;
  readonly pointers: readonly string[];
  readonly proposal: Body | null;
}

const HAS_MOVED = `(c.hub_version, c.remote_hash, c.remote_version, c.base_hash)
  IS DISTINCT FROM (excluded.hub_version, excluded.remote_hash, excluded.remote_version, excluded.base_hash)`;

// More edits update the same row; what it is due for stays. A conflict has no id of its own until it
// is opened, so a row that comes back with another id was there before.
const OPEN_CONFLICTS = `
WITH opened AS (
  INSERT INTO sync_conflicts AS c (tenant_id, id, link_id, key, status, reason, base_hash, hub_hash,
    hub_version, remote_hash, remote_version, pointers, proposal_hash, due_at)
  SELECT l.tenant_id, r.id, l.id, r.key, 'open', r.reason, decode(r.base, 'hex'), decode(r.hub, 'hex'),
    r.hub_version, decode(r.remote, 'hex'), r.remote_version, r.pointers, decode(r.proposal, 'hex'),
    now() + (l.conflict_fallback->>'afterMs')::bigint * interval '1 millisecond'
  FROM json_to_recordset($2::json) AS r (id uuid, key text, reason text, base text, hub text,
    hub_version int, remote text, remote_version text, pointers json, proposal text)
  JOIN sync_links l ON l.tenant_id = current_setting('app.tenant') AND l.id = $1
  ON CONFLICT (tenant_id, link_id, key) WHERE status = 'open' DO UPDATE SET
    reason = excluded.reason, base_hash = excluded.base_hash, hub_hash = excluded.hub_hash,
    hub_version = excluded.hub_version, remote_hash = excluded.remote_hash,
    remote_version = excluded.remote_version, pointers = excluded.pointers,
    proposal_hash = excluded.proposal_hash, updated_at = now(),
    revision = c.revision + CASE WHEN ${HAS_MOVED} THEN 1 ELSE 0 END
  RETURNING id
)
INSERT INTO outbox (tenant_id, topic, payload)
SELECT current_setting('app.tenant'), 'conflict.opened', jsonb_build_object('conflictId', opened.id, 'linkId', $1::uuid)
FROM opened WHERE opened.id = ANY($3::uuid[])`;

/** Records conflicts of a link: new ones open, open ones take over what the sides are now. */
export async function openConflicts(
  tx: Transaction,
  linkId: LinkId,
  conflicts: readonly OpenConflict[],
): Promise<void> {
  if (conflicts.length === 0) return;
  const rows = conflicts.map(conflictRecord);
  await tx.query(OPEN_CONFLICTS, [linkId, storableJson(rows), rows.map((row) => row.id)]);
  await tx.query(
    `UPDATE sync_items SET state = 'conflict', dirty = false, dirty_since = NULL, retry_at = NULL
     WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND key = ANY($2)`,
    [linkId, rows.map((row) => row.key)],
  );
}

interface ConflictRecord {
  readonly id: ConflictId;
  readonly key: ContextKey;
  readonly reason: ConflictReason;
  readonly base: Hash | null;
  readonly hub: Hash | null;
  readonly hub_version: number;
  readonly remote: Hash | null;
  readonly remote_version: string | null;
  readonly pointers: readonly string[];
  readonly proposal: Hash | null;
}

function conflictRecord({ id, item, reason, pointers, proposal }: OpenConflict): ConflictRecord {
  return {
    id,
    key: item.key,
    reason,
    base: item.baseHubHash,
    hub: item.hubHash,
    hub_version: item.hubVersion,
    remote: item.remoteHash,
    remote_version: item.remoteVersion,
    pointers,
    proposal: proposal?.hash ?? null,
  };
}

/** A conflict of a link ($1) whose sides came to agree (or merge) closes itself; $2 are their keys. */
export const CLOSE_CONFLICTS = `
UPDATE sync_conflicts SET status = 'closed', updated_at = now()
WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND status = 'open' AND key = ANY($2)
RETURNING id`;

/** Tells the workflows of the conflicts in `from` (a relation with their `id`) that it is over. */
export const tellEnded = (from: string): string => `
INSERT INTO outbox (tenant_id, topic, payload)
SELECT current_setting('app.tenant'), 'conflict.ended', jsonb_build_object('conflictId', ended.id)
FROM ${from} AS ended`;

/** Closes the open conflicts of items that are no longer contested. */
export async function closeConflicts(
  tx: Transaction,
  linkId: LinkId,
  keys: readonly ContextKey[],
): Promise<void> {
  if (keys.length === 0) return;
  const sql = `WITH closed AS (${CLOSE_CONFLICTS}) ${tellEnded('closed')}`;
  await tx.query(sql, [linkId, keys]);
}

const OF_LINK = `tenant_id = current_setting('app.tenant') AND link_id = $1 AND status = 'open'`;

/** Closes all open conflicts of a link: a new epoch, or its end. */
export async function closeConflictsOfLink(tx: Transaction, linkId: LinkId): Promise<void> {
  await tx.query(
    `WITH closed AS (UPDATE sync_conflicts SET status = 'closed', updated_at = now()
       WHERE ${OF_LINK} RETURNING id) ${tellEnded('closed')}`,
    [linkId],
  );
}

/**
 * Sets a link's fallback. Its open conflicts get the due time they would have had from the start,
 * so a fallback given at night decides what waits already, and one taken away decides nothing.
 */
export async function setConflictFallback(
  tx: Transaction,
  linkId: LinkId,
  fallback: ConflictFallback | null,
): Promise<void> {
  await tx.query(
    `UPDATE sync_links SET conflict_fallback = $2, updated_at = now()
     WHERE tenant_id = current_setting('app.tenant') AND id = $1`,
    [linkId, fallback && JSON.stringify(fallback)],
  );
  await tx.query(
    `WITH moved AS (
       UPDATE sync_conflicts SET due_at = created_at + $2::bigint * interval '1 millisecond'
       WHERE ${OF_LINK} AND due_at IS DISTINCT FROM created_at + $2::bigint * interval '1 millisecond'
       RETURNING id)
     INSERT INTO outbox (tenant_id, topic, payload)
     SELECT current_setting('app.tenant'), 'conflict.opened', jsonb_build_object('conflictId', moved.id, 'linkId', $1::uuid)
     FROM moved`,
    [linkId, fallback?.afterMs ?? null],
  );
}
