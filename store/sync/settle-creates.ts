/**
 * The settling of what a first sync is made of: ops that create a context the hub has never had.
 * They write no remote and supersede nothing, so there is only one outcome, and one statement claims
 * them, checks them again and settles them. Whatever is not that plain stays `planned`, for
 * `claimOps` and `settleOps` to deal with.
 */
import type { Database } from '../database.ts';
import { notePendingSql } from '../search/note-pending.ts';
import { withLostRace } from '../write-versions.ts';
import { withFence, type PassRef } from './pass.ts';

// What `settleOp` says of an op of side `hub` whose hub is still fresh, and `syncWrites` of a create,
// for many ops at once; a test holds the two ways against each other.
const SETTLE_CREATES = `
WITH looked AS MATERIALIZED (
  SELECT * FROM sync_ops
  WHERE tenant_id = current_setting('app.tenant') AND run_id = $1 AND seq > $2 AND seq <= $3
    AND state = 'planned'
), creates AS MATERIALIZED (
  SELECT o.seq, o.key, o.kind, o.hub_after, o.remote_hash, b.codec, b.size
  FROM looked o
  JOIN sync_items i ON i.tenant_id = current_setting('app.tenant') AND i.link_id = o.link_id AND i.key = o.key
  CROSS JOIN LATERAL (SELECT codec, size FROM blobs
    WHERE tenant_id = current_setting('app.tenant') AND hash = o.hub_after OFFSET 0) b
  WHERE o.side = 'hub' AND o.action = 'create' AND o.hub_version = 0 AND o.undo_to IS NULL
    AND i.state = 'pending' AND i.base_hub_hash IS NULL AND i.remote_id = o.remote_id
    AND i.remote_hash = o.remote_hash AND i.remote_version IS NOT DISTINCT FROM o.remote_version
    AND NOT EXISTS (SELECT 1 FROM contexts c
      WHERE c.tenant_id = current_setting('app.tenant') AND c.key = o.key)
  ORDER BY o.key
), written AS (
  INSERT INTO contexts (tenant_id, key, version, hash, kind, source, compressed, size,
    created_at, created_by, updated_at, updated_by)
  SELECT current_setting('app.tenant'), key, 1, hub_after, kind, $5, codec = 'gzip', size, $4, $6, $4, $6
  FROM creates
), versions AS (
  INSERT INTO context_versions (tenant_id, key, version, hash, change_type, changed_by, changed_at,
    kind, source, compressed, size)
  SELECT current_setting('app.tenant'), key, 1, hub_after, 'create', $6, $4, kind, $5, codec = 'gzip', size
  FROM creates
), feed AS (
  INSERT INTO changes (tenant_id, key, version, change_type, changed_by, changed_at, origin)
  SELECT current_setting('app.tenant'), key, 1, 'create', $6, $4, $7 FROM creates ORDER BY seq
), sent AS (
  INSERT INTO outbox (tenant_id, topic, payload)
  SELECT current_setting('app.tenant'), 'contexts.changed',
    jsonb_build_object('keys', jsonb_agg(key), 'origin', $7::uuid)
  FROM creates HAVING count(*) > 0
), items AS (
  UPDATE sync_items i SET state = 'synced', base_version = 1, base_hub_hash = s.hub_after,
    base_remote_hash = s.remote_hash, missing_scans = 0, dirty = false, dirty_since = NULL,
    fault = NULL, attempts = 0, retry_at = NULL
  FROM (SELECT $7::uuid AS link_id, creates.* FROM creates OFFSET 0) s
  WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = s.link_id AND i.key = s.key
), ops AS (
  UPDATE sync_ops o SET state = 'done'
  FROM (SELECT $1::uuid AS run_id, seq FROM creates OFFSET 0) s
  WHERE o.tenant_id = current_setting('app.tenant') AND o.run_id = s.run_id AND o.seq = s.seq
), ${notePendingSql('ARRAY(SELECT key FROM creates)')}
SELECT (SELECT seq FROM sync_ops WHERE tenant_id = current_setting('app.tenant') AND run_id = $1
    ORDER BY seq DESC LIMIT 1) AS last,
  (SELECT count(*)::int FROM creates) AS settled`;

/** What became of the ops {@link settleCreates} was asked about. */
export interface SettledCreates {
  readonly settled: number;
  /** Number of the run's last op. */
  readonly last: number;
}

/**
 * Settles the plain creates among the ops of a run whose numbers lie beyond `after`, up to `through`:
 * all or nothing. Several may be under way, each for ops of its own.
 * @throws AppError FENCED
 */
export async function settleCreates(
  database: Database,
  ref: PassRef,
  batch: { after: number; through: number; linkName: string; at: Date },
): Promise<SettledCreates> {
  const { after, through, linkName, at } = batch;
  return withFence(database, ref, async (tx) => {
    const by = `sync:${linkName}`;
    const [found] = await withLostRace(
      tx.query<{ last: number | null; settled: number }>(SETTLE_CREATES, [
        ...[ref.runId, after, through, at],
        ...[linkName, by, ref.linkId],
      ]),
    );
    const { last, settled } = found!;
    return { settled, last: last ?? 0 };
  });
}
