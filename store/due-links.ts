/**
 * The pulse's view of links: which are due, whose turn it is, and which may go on resting.
 * Fair: tenants take turns, within a tenant its remote hosts do, within a host the longest overdue
 * goes first. Bounded: links that are under way count until they finish or their lease runs out.
 */
import { MAX_RETRY_AFTER_MS } from '../domain/errors.ts';
import type { LinkId, TenantId } from '../domain/ids.ts';
import type { Link } from '../domain/link.ts';
import type { Database } from './database.ts';
import { linkOf, type LinkRow } from './link-store.ts';
import type { LinkRef } from './outbox.ts';

export interface PulseBounds {
  /** Links one pulse takes at most; the rest stays due. */
  readonly limit: number;
  /**
   * Links that may be under way at once, in all processes. A tenant that has none under way gets one
   * place beyond it, so that a full house keeps nobody out for longer than a pulse.
   */
  readonly maxLive: number;
}

/** A link whose time has come; it counts as under way until it is woken and done, or put to rest. */
export interface DueLink extends LinkRef {
  readonly link: Link;
  readonly remoteCursor: string | null;
  /** Whether Postgres alone says that a pass is needed. If not, only the remote can tell. */
  readonly hasWork: boolean;
  /** As it was when the link was taken: a pass that began since has a greater one. */
  readonly fence: string;
  /** Hub position up to which nothing in the link's scope has changed; null: not looked. */
  readonly hubSeen: string | null;
}

/** Puts a taken link to rest without a pass. */
export interface LinkRest {
  readonly due: DueLink;
  /** Longest it may rest while nothing changes, ms; its own interval if that is longer. */
  readonly maxMs: number;
  /** How long the remote asked to be left alone, ms; no hint wakes the link before. */
  readonly heldMs?: number;
}

export interface DueLinks {
  /** Takes the links whose turn it is, at most once per interval each. */
  takeDueLinks(bounds: PulseBounds): Promise<DueLink[]>;
  /** Nothing has changed: each rests twice as long as the time before, up to its bound. */
  restLinks(rests: readonly LinkRest[]): Promise<void>;
  /** They could not be woken: due again at the next pulse. */
  returnLinks(links: readonly DueLink[]): Promise<void>;
}

/** An interval of the row ± 10 %, so that links do not beat together. */
export const JITTERED_INTERVAL = `interval_ms * (0.9 + 0.2 * random()) * interval '1 millisecond'`;

/** When a link is passed over whole although nothing seems to have changed: 15 minutes ± 25 %. */
export const NEXT_WHOLE = `now() + interval '15 minutes' * (0.75 + 0.5 * random())`;

/** How long a taken link counts as under way before its pass begins. */
const TAKEN_LEASE = `interval '30 seconds'`;

/** Tail of the change feed that is read per link; behind a longer one a pass catches up. */
const MAX_TAIL = 5_000;

/** Where a link's remote lives: the host of its address; a local one is its connector. */
const HOST = `coalesce(lower(substring(l.config->>'url' FROM '^[a-zA-Z]+://(?:[^/?#@]*@)?([^/?#]+)')), l.connector)`;

// A second of slack: a link with the pulse's own interval must not miss every other beat. Being due
// is checked twice: a pulse beside this one may have taken the link since the first look.
const IS_DUE = `l.next_due_at <= now() + interval '1 second' AND l.state IN ('active', 'failed')
  AND l.trigger = 'auto' AND (l.live_until IS NULL OR l.live_until <= now())`;

const TAKE_DUE = `
WITH live AS (
  SELECT tenant_id, count(*)::int AS links FROM sync_links
  WHERE live_until > now() AND state IN ('active', 'failed') GROUP BY tenant_id
), due AS (
  SELECT l.tenant_id, l.id, l.next_due_at,
    row_number() OVER (PARTITION BY l.tenant_id, ${HOST} ORDER BY l.next_due_at, l.id) AS host_turn
  FROM sync_links l WHERE ${IS_DUE}
), turns AS (
  SELECT due.*, coalesce(live.links, 0) + row_number() OVER (
    PARTITION BY due.tenant_id ORDER BY due.host_turn, due.next_due_at, due.id) AS turn
  FROM due LEFT JOIN live ON live.tenant_id = due.tenant_id
), places AS (
  SELECT tenant_id, id, turn, row_number() OVER (ORDER BY turn, next_due_at, id) AS place FROM turns
), chosen AS (
  SELECT l.tenant_id, l.id, places.place FROM places JOIN sync_links l ON l.tenant_id = places.tenant_id AND l.id = places.id
  WHERE places.place <= $1
    AND (places.turn = 1 OR places.place <= $2 - coalesce((SELECT sum(links) FROM live), 0)) AND ${IS_DUE}
  ORDER BY places.place FOR UPDATE OF l SKIP LOCKED
), taken AS (
  UPDATE sync_links SET next_due_at = now() + ${JITTERED_INTERVAL}, live_until = now() + ${TAKEN_LEASE}
  FROM chosen WHERE sync_links.tenant_id = chosen.tenant_id AND sync_links.id = chosen.id
  RETURNING sync_links.*, chosen.place
)
SELECT l.*, tail."end" AS hub_seen,
  l.state = 'failed' OR l.remote_cursor IS NULL OR l.look_whole OR l.cursor_doubted OR l.hub_cursor IS NULL OR l.whole_due_at <= now()
  OR EXISTS (SELECT 1 FROM feed_horizons h WHERE h.tenant_id = l.tenant_id AND (h.xid, h.seq)
    > (split_part(l.hub_cursor, '.', 1)::xid8, split_part(l.hub_cursor, '.', 2)::bigint))
  OR tail.changed OR tail.length >= ${MAX_TAIL}
  OR EXISTS (SELECT 1 FROM sync_items i WHERE i.tenant_id = l.tenant_id AND i.link_id = l.id AND i.dirty)
  OR EXISTS (SELECT 1 FROM sync_items i WHERE i.tenant_id = l.tenant_id AND i.link_id = l.id
    AND i.retry_at <= now())
  OR EXISTS (SELECT 1 FROM sync_runs r WHERE r.tenant_id = l.tenant_id AND r.link_id = l.id
    AND r.status = 'running')
  OR EXISTS (SELECT 1 FROM sync_ops o WHERE o.tenant_id = l.tenant_id AND o.link_id = l.id
    AND o.state = 'intended') AS has_work
FROM taken l CROSS JOIN LATERAL (
  SELECT count(*) AS length,
    coalesce(bool_or(starts_with(key, l.prefix) AND origin IS DISTINCT FROM l.id), false) AS changed,
    (array_agg(xid || '.' || seq ORDER BY xid DESC, seq DESC))[1] AS "end"
  FROM (
    SELECT xid, seq, key, origin FROM changes c
    WHERE c.tenant_id = l.tenant_id AND xid < feed_position(pg_snapshot_xmin(pg_current_snapshot()))
      AND (xid, seq) > (split_part(l.hub_cursor, '.', 1)::xid8, split_part(l.hub_cursor, '.', 2)::bigint)
    ORDER BY xid, seq LIMIT ${MAX_TAIL}
  ) AS page
) AS tail
ORDER BY l.place`;

const REST = `
UPDATE sync_links l SET live_until = NULL, quiet_looks = least(l.quiet_looks + 1, 20),
  hub_cursor = coalesce(r."hubSeen", l.hub_cursor),
  last_settled_at = CASE WHEN r."heldMs" IS NULL THEN now() ELSE l.last_settled_at END,
  rests_until = CASE WHEN r."heldMs" IS NULL THEN NULL ELSE now() + r."heldMs" * interval '1 millisecond' END,
  next_due_at = now() + coalesce(r."heldMs",
      greatest(l.interval_ms, least(l.interval_ms * power(2, l.quiet_looks), r."maxMs")))
    * (1 + 0.1 * random()) * interval '1 millisecond'
FROM json_to_recordset($1) AS r (tenant text, id uuid, fence bigint, "hubSeen" text, "maxMs" float8, "heldMs" float8)
WHERE l.tenant_id = r.tenant AND l.id = r.id AND l.fence = r.fence`;

const RETURN = `
UPDATE sync_links l SET live_until = NULL, next_due_at = now()
FROM json_to_recordset($1) AS r (tenant text, id uuid, fence bigint)
WHERE l.tenant_id = r.tenant AND l.id = r.id AND l.fence = r.fence`;

/** The pulse's statements over a database. */
export function createDueLinks(database: Database): DueLinks {
  const update = async (sql: string, rows: readonly object[]): Promise<void> => {
    if (rows.length === 0) return;
    await database.withSystem((tx) => tx.query(sql, [JSON.stringify(rows)]));
  };
  return {
    async takeDueLinks({ limit, maxLive }) {
      const rows = await database.withSystem((tx) => tx.query<DueRow>(TAKE_DUE, [limit, maxLive]));
      return rows.map(dueOf);
    },
    restLinks: (rests) =>
      update(
        REST,
        rests.map(({ due, maxMs, heldMs }) => ({
          ...idOf(due),
          hubSeen: due.hubSeen,
          maxMs,
          // A time Postgres cannot hold would fail the statement for all the others too.
          heldMs: heldMs === undefined ? null : Math.min(heldMs, MAX_RETRY_AFTER_MS),
        })),
      ),
    returnLinks: (links) => update(RETURN, links.map(idOf)),
  };
}

interface DueRow extends LinkRow {
  tenant_id: TenantId;
  id: LinkId;
  hub_seen: string | null;
  has_work: boolean;
}

function dueOf(row: DueRow): DueLink {
  return {
    tenant: row.tenant_id,
    linkId: row.id,
    link: linkOf(row),
    remoteCursor: row.remote_cursor,
    hasWork: row.has_work,
    fence: row.fence,
    hubSeen: row.hub_seen,
  };
}

const idOf = ({ tenant, linkId, fence }: DueLink): object => ({ tenant, id: linkId, fence });
