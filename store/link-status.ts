/** How a link is doing: its counts, how far it is behind, and whether the clocks can be believed. */
import type { LinkStatus } from './contract.ts';
import type { Transaction } from './database.ts';
import type { LinkRow } from './link-store.ts';

/** Clocks further apart than this are reported, ms. */
const SKEW_BOUND_MS = 5_000;

// Behind is what was seen and not settled, and what the feed has and the link has not seen.
const SELECT_COUNTS = `
SELECT count(*) FILTER (WHERE state NOT IN ('tombstoned', 'excluded'))::int AS items,
  count(*) FILTER (WHERE state = 'conflict')::int AS conflicts,
  count(*) FILTER (WHERE state = 'quarantined')::int AS quarantined,
  count(*) FILTER (WHERE state = 'held')::int AS held,
  coalesce(extract(epoch FROM now() - least(min(dirty_since) FILTER (WHERE dirty), (
    SELECT changed_at FROM changes
    WHERE tenant_id = current_setting('app.tenant') AND starts_with(key, $2) AND origin IS DISTINCT FROM $1::uuid
      AND (xid, seq) > (split_part($3, '.', 1)::xid8, split_part($3, '.', 2)::bigint)
    ORDER BY xid, seq LIMIT 1))) * 1000, 0)::float8 AS "lagMs",
  coalesce(extract(epoch FROM max(remote_changed_at) - now()) * 1000, 0)::float8 AS "remoteAheadMs",
  (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "nowMs"
FROM sync_items WHERE tenant_id = current_setting('app.tenant') AND link_id = $1`;

interface Counts {
  readonly items: number;
  readonly conflicts: number;
  readonly quarantined: number;
  readonly held: number;
  readonly lagMs: number;
  readonly remoteAheadMs: number;
  readonly nowMs: number;
}

/** The status of a link whose row was read; `nowMs`: this process' clock. */
export async function readStatus(
  tx: Transaction,
  row: LinkRow,
  now: () => number,
): Promise<LinkStatus> {
  const values = [row.id, row.prefix, row.hub_cursor];
  const [counts] = await tx.query<Counts>(SELECT_COUNTS, values);
  const isScheduled = row.trigger === 'auto' && (row.state === 'active' || row.state === 'failed');
  const { items, conflicts, quarantined, held, lagMs } = counts!;
  return {
    state: row.state,
    lagMs: Math.max(0, Math.round(lagMs)),
    ...skewOf(counts!, row, now()),
    lastProvedEqualAt: row.last_proved_equal_at?.toISOString() ?? null,
    proof: row.proof,
    lastSettledAt: row.last_settled_at?.toISOString() ?? null,
    items,
    conflicts,
    quarantined,
    held,
    nextRunAt: isScheduled ? row.next_due_at.toISOString() : null,
    guard: row.guard,
  };
}

/** A remote whose stamps are old is simply quiet; only stamps of the future tell of its clock. */
function skewOf(
  counts: Counts,
  { proof }: LinkRow,
  apiNowMs: number,
): Pick<LinkStatus, 'clockSkew' | 'skewMs'> {
  const remote = Math.max(0, counts.remoteAheadMs);
  const skews = [apiNowMs - counts.nowMs, proof?.workerSkewMs ?? 0, remote];
  const skewMs = Math.round(skews.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a)));
  return { clockSkew: Math.abs(skewMs) > SKEW_BOUND_MS, skewMs };
}
