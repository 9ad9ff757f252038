/**
 * The inverse of a run, as ops of another: one statement, so that an undo has all its ops or none.
 * Refuses in place what can no longer be put back: such an op is recorded as stale, with the reason.
 */
import type { Database } from '../database.ts';
import { withFence, type PassRef } from './pass.ts';

// What the run wrote must still be there, and what was there before must still be kept. An op's id
// follows from run and number, so that asking a remote twice asks it for the same op.
const RECORD_UNDO = `
WITH undone AS (
  SELECT o.*, i.remote_id AS item_remote_id, i.key IS NOT NULL AS is_known,
    coalesce(c.version, 0) AS hub_now_version,
    CASE WHEN c.expires_at <= now() THEN NULL ELSE c.hash END AS hub_now,
    i.remote_version AS remote_now_version, i.remote_hash AS remote_now,
    i.base_hub_hash, i.base_remote_hash,
    o.side IN ('hub', 'both') AS on_hub, o.side IN ('remote', 'both') AS on_remote
  FROM sync_runs r
  JOIN sync_ops o ON o.tenant_id = r.tenant_id AND o.run_id = r.undoes AND o.state = 'done'
  LEFT JOIN sync_items i ON i.tenant_id = o.tenant_id AND i.link_id = o.link_id AND i.key = o.key
  LEFT JOIN contexts c ON c.tenant_id = o.tenant_id AND c.key = o.key
  WHERE r.tenant_id = current_setting('app.tenant') AND r.id = $1
    AND NOT EXISTS (SELECT 1 FROM sync_ops mine WHERE mine.tenant_id = r.tenant_id AND mine.run_id = r.id)
), checked AS (
  SELECT *, CASE
    WHEN NOT is_known THEN 'the link no longer knows this item'
    WHEN on_hub AND hub_now IS DISTINCT FROM hub_after THEN 'the hub no longer holds what the run wrote'
    WHEN on_remote AND remote_now IS DISTINCT FROM remote_written
      THEN 'the remote no longer holds what the run wrote'
    WHEN (on_hub AND hub_hash IS NOT NULL AND NOT EXISTS (SELECT 1 FROM blobs b
        WHERE b.tenant_id = undone.tenant_id AND b.hash = undone.hub_hash))
      OR (on_remote AND remote_hash IS NOT NULL AND NOT EXISTS (SELECT 1 FROM blobs b
        WHERE b.tenant_id = undone.tenant_id AND b.hash = undone.remote_hash))
      THEN 'what was there before the run is no longer kept'
    END AS fault
  FROM undone
)
INSERT INTO sync_ops (tenant_id, run_id, link_id, seq, op_id, action, side, reason, key, kind, remote_id,
  hub_version, hub_hash, remote_version, remote_hash, hub_after, remote_after, state, detail, undo_to,
  other_base)
SELECT tenant_id, $1, link_id, seq, md5($1::text || '/' || seq)::uuid,
  CASE WHEN on_hub AND hub_hash IS NULL OR NOT on_hub AND remote_hash IS NULL THEN 'delete'
       WHEN on_hub AND hub_after IS NULL OR NOT on_hub AND remote_after IS NULL THEN 'create'
       ELSE 'update' END,
  side, 'undoes: ' || reason, key, kind, coalesce(item_remote_id, remote_id),
  hub_now_version, hub_now, remote_now_version, remote_now,
  CASE WHEN on_hub THEN hub_hash END, CASE WHEN on_remote THEN remote_hash END,
  CASE WHEN fault IS NULL THEN 'planned' ELSE 'stale' END, fault,
  CASE WHEN undo_to = 'held' THEN 'agreed' ELSE 'held' END,
  CASE WHEN side = 'hub' THEN coalesce(base_remote_hash, remote_hash)
       ELSE coalesce(base_hub_hash, hub_hash) END
FROM checked`;

const COUNT = `
SELECT count(*) FILTER (WHERE state = 'planned')::int AS planned,
  count(*) FILTER (WHERE state = 'stale')::int AS stale,
  count(*) FILTER (WHERE state = 'planned' AND action = 'delete' AND side = 'hub')::int AS "deletesHub",
  count(*) FILTER (WHERE state = 'planned' AND action = 'delete' AND side = 'remote')::int AS "deletesRemote"
FROM sync_ops WHERE tenant_id = current_setting('app.tenant') AND run_id = $1`;

export interface UndoPlan {
  readonly planned: number;
  /** Ops that cannot be undone any more. */
  readonly stale: number;
  readonly deletesHub: number;
  readonly deletesRemote: number;
}

/** Stores the ops of an undo, unless its run has them already. @throws AppError FENCED */
export async function recordUndo(database: Database, ref: PassRef): Promise<UndoPlan> {
  return withFence(database, ref, async (tx) => {
    await tx.query(RECORD_UNDO, [ref.runId]);
    const [row] = await tx.query<UndoPlan>(COUNT, [ref.runId]);
    return row!;
  });
}
