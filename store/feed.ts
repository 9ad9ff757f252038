/**
 * The change feed in commit order. Sequences alone skip a transaction that took a number early and
 * committed late, so a position is (transaction id, sequence) and nothing at or above the oldest
 * transaction still running is shown (P14).
 */
import type { Change, ChangeType, DeleteReason } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { ContextKey } from '../domain/ids.ts';
import type { Transaction } from './database.ts';

/** The position before every change. */
export const FEED_START = '0.0';

interface FeedRow {
  position: string;
  key: ContextKey;
  version: number;
  change_type: ChangeType;
  reason: DeleteReason | null;
  changed_by: string | null;
  changed_at: Date;
}

const SELECT_CHANGES = `
SELECT xid || '.' || seq AS position, key, version, change_type, reason, changed_by, changed_at
FROM changes
WHERE tenant_id = current_setting('app.tenant')
  AND (xid, seq) > ($1::xid8, $2::bigint)
  AND xid < feed_position(pg_snapshot_xmin(pg_current_snapshot()))
  AND starts_with(key, $3)
ORDER BY xid, seq LIMIT $4`;

/** Changes after a position. An empty page answers the cursor it was given. */
export async function readChanges(
  tx: Transaction,
  query: { since: string; limit: number; prefix: string },
): Promise<{ changes: Change[]; cursor: string }> {
  const [xid, seq] = positionOf(query.since);
  const rows = await tx.query<FeedRow>(SELECT_CHANGES, [xid, seq, query.prefix, query.limit]);
  const isUntold = rows.length === 0 && query.since === FEED_START;
  const rest = isUntold ? ((await horizonOf(tx)) ?? FEED_START) : query.since;
  return { changes: rows.map(changeOf), cursor: rows.at(-1)?.position ?? rest };
}

/** Where the feed of a store begins that was restored (backup/mend-feed.ts) or collected; or null. */
async function horizonOf(tx: Transaction): Promise<string | null> {
  const [row] = await tx.query<{ position: string }>(FEED_HORIZON);
  return row?.position ?? null;
}

const FEED_HORIZON = `
SELECT xid || '.' || seq AS position FROM feed_horizons WHERE tenant_id = current_setting('app.tenant')`;

// A cursor was handed out when its transaction had ended, so any look from then on, by whatever
// process, knows that transaction as begun. What a restore left as horizon may lie ahead of all.
/** Whether changes after a position ($1, $2) were collected, and whether nobody can have it yet. */
const JUDGE_CURSOR = `
SELECT coalesce((h.xid, h.seq) > ($1::xid8, $2::bigint), false) AS "isExpired",
  greatest(h.xid, feed_position(pg_snapshot_xmax(pg_current_snapshot()))) <= $1::xid8
    AND ($1::xid8, $2::bigint) IS DISTINCT FROM (h.xid, h.seq) AS "isAhead"
FROM (SELECT) AS one LEFT JOIN feed_horizons h ON h.tenant_id = current_setting('app.tenant')`;

/**
 * Refuses a cursor whose next changes are gone, and one that this feed has not reached. Asked after
 * reading: what was read before the oldest were collected was whole.
 * @throws AppError CURSOR_EXPIRED, INVALID_CURSOR
 */
export async function requireKept(tx: Transaction, since: string): Promise<void> {
  const [row] = await tx.query<{ isExpired: boolean; isAhead: boolean }>(
    JUDGE_CURSOR,
    positionOf(since),
  );
  if (row?.isExpired) {
    throw new AppError('CURSOR_EXPIRED', 'the changes after this cursor are no longer kept');
  }
  if (row?.isAhead) {
    throw new AppError('INVALID_CURSOR', 'this cursor is ahead of the change feed');
  }
}

/** Whether a link (its row is `sync_links`) has yet to see changes that were collected. */
export const IS_BEHIND = `EXISTS (SELECT 1 FROM feed_horizons h WHERE h.tenant_id = sync_links.tenant_id
  AND (h.xid, h.seq) > (split_part(sync_links.hub_cursor, '.', 1)::xid8, split_part(sync_links.hub_cursor, '.', 2)::bigint))`;

// Nothing changed since the store was restored: the position of the restore, which no cursor from
// before reaches.
/** The newest position a reader may rest at, as a query; null while nothing ever changed. */
export const FEED_HEAD = `
SELECT coalesce(
  (SELECT xid || '.' || seq FROM changes
    WHERE tenant_id = current_setting('app.tenant') AND xid < feed_position(pg_snapshot_xmin(pg_current_snapshot()))
    ORDER BY xid DESC, seq DESC LIMIT 1),
  (${FEED_HORIZON})) AS position`;

/** The answer of {@link FEED_HEAD}. */
export async function feedHead(tx: Transaction): Promise<string> {
  const [row] = await tx.query<{ position: string | null }>(FEED_HEAD);
  return row?.position ?? FEED_START;
}

const FEED_END = `SELECT (${FEED_HEAD}) AS position, hub_id() AS "hubId"`;

/** The feed's newest position, and what this store and tenant call themselves. */
export async function feedEnd(tx: Transaction): Promise<{ cursor: string; hubId: string }> {
  const [row] = await tx.query<{ position: string | null; hubId: string }>(FEED_END);
  return { cursor: row!.position ?? FEED_START, hubId: row!.hubId };
}

/** What this store and the tenant call themselves; the same for nobody else. */
export async function hubIdOf(tx: Transaction): Promise<string> {
  const [row] = await tx.query<{ hubId: string }>('SELECT hub_id() AS "hubId"');
  return row!.hubId;
}

/** Splits a cursor. @throws AppError INVALID_CURSOR */
export function positionOf(cursor: string): [xid: string, seq: string] {
  const match = /^(\d{1,19})\.(\d{1,18})$/.exec(cursor);
  if (!match) throw new AppError('INVALID_CURSOR', 'this is not a cursor of the change feed');
  return [match[1]!, match[2]!];
}

function changeOf(row: FeedRow): Change {
  return {
    key: row.key,
    version: row.version,
    timestamp: row.changed_at.toISOString(),
    changeType: row.change_type,
    changedBy: row.changed_by,
    ...(row.change_type === 'delete' ? { deleted: true as const } : {}),
    ...(row.reason ? { reason: row.reason } : {}),
    cursor: row.position,
  };
}
