/**
 * The change feed for those who watch it: besides each change, the session and tags its version
 * had, and whether the feed holds back changes that are committed already.
 */
import type { Clock } from '../domain/clock.ts';
import type { Change, ChangeType, DeleteReason } from '../domain/context.ts';
import type { ContextKey, TenantId } from '../domain/ids.ts';
import type { Database } from './database.ts';
import { feedHead, positionOf, requireKept } from './feed.ts';

export interface WatchedChange {
  /** A version whose context has expired since is told as deleted, with reason `ttl`. */
  readonly change: Change;
  readonly sessionId: string | null;
  readonly tags: readonly string[];
}

export interface WatchQuery {
  /** Position after which changes are wanted. */
  readonly after: string;
  /** Last position wanted; left out: the newest there is. */
  readonly upTo?: string;
  readonly key?: string | undefined;
  readonly prefix?: string | undefined;
  readonly limit: number;
  /** Refuses an `after` whose next changes are gone. */
  readonly mustBeKept?: boolean;
}

export interface WatchedPage {
  /** In commit order. */
  readonly changes: readonly WatchedChange[];
  /** Whether committed changes are not shown yet, because an older transaction still runs. */
  readonly hasHidden: boolean;
  /** `pg_current_snapshot()` of this look: which transactions it could see. */
  readonly snapshot: string;
}

export interface FeedWatch {
  /** The newest position a watcher may begin after. */
  head(tenant: TenantId): Promise<string>;
  /**
   * What is new after a position, given to `onPage` after a single round trip: whoever is told is
   * not made to wait for the end of the transaction. It may be called again with the same page.
   *
   * @throws AppError INVALID_CURSOR, UNAVAILABLE
   */
  look(
    tenant: TenantId,
    query: Pick<WatchQuery, 'after' | 'limit'>,
    onPage: (page: WatchedPage) => void,
  ): Promise<void>;
  /** @throws AppError INVALID_CURSOR, CURSOR_EXPIRED, UNAVAILABLE */
  read(tenant: TenantId, query: WatchQuery): Promise<WatchedPage>;
}

// One statement, so that page, snapshot and what is hidden belong to the same moment. A version that
// retention removed is told with what its context says now. LATERAL: one look-up per change, whatever
// the planner thinks of the tables.
const WATCH_CHANGES = `
SELECT now_.snapshot, now_.hidden, page.* FROM (
  SELECT pg_current_snapshot()::text AS snapshot, EXISTS (SELECT 1 FROM changes
    WHERE tenant_id = current_setting('app.tenant')
      AND (xid, seq) > ($1::xid8, $2::bigint) AND xid >= feed_position(pg_snapshot_xmin(pg_current_snapshot()))
  ) AS hidden) now_
LEFT JOIN (
  SELECT f.xid || '.' || f.seq AS position, f.key, f.version, f.change_type, f.reason, f.changed_by,
    f.changed_at, f.xid, f.seq, v.key IS NOT NULL AS is_kept, v.session_id, v.tags,
    c.session_id AS context_session_id, c.tags AS context_tags,
    NOT c.deleted AND c.version = f.version AND c.expires_at <= $8 AS is_expired
  FROM (
    SELECT xid, seq, key, version, change_type, reason, changed_by, changed_at FROM changes
    WHERE tenant_id = current_setting('app.tenant')
      AND (xid, seq) > ($1::xid8, $2::bigint)
      AND ($3::xid8 IS NULL OR (xid, seq) <= ($3::xid8, $4::bigint))
      AND xid < feed_position(pg_snapshot_xmin(pg_current_snapshot()))
      AND ($5::text IS NULL OR key = $5) AND starts_with(key, $6)
    ORDER BY xid, seq LIMIT $7) f
  LEFT JOIN LATERAL (SELECT key, session_id, tags FROM context_versions
    WHERE tenant_id = current_setting('app.tenant') AND key = f.key AND version = f.version
    LIMIT 1) v ON true
  LEFT JOIN LATERAL (SELECT version, deleted, expires_at, session_id, tags FROM contexts
    WHERE tenant_id = current_setting('app.tenant') AND key = f.key LIMIT 1) c ON true
) page ON true
ORDER BY page.xid, page.seq`;

interface WatchRow {
  readonly snapshot: string;
  readonly hidden: boolean;
  /** Null: nothing changed; then the rest is null, too. */
  readonly position: string | null;
  readonly key: ContextKey;
  readonly version: number;
  readonly change_type: ChangeType;
  readonly reason: DeleteReason | null;
  readonly changed_by: string | null;
  readonly changed_at: Date;
  readonly is_kept: boolean;
  readonly session_id: string | null;
  readonly tags: string[] | null;
  readonly context_session_id: string | null;
  readonly context_tags: string[] | null;
  readonly is_expired: boolean | null;
}

export function createFeedWatch(deps: {
  readonly database: Database;
  readonly clock: Clock;
}): FeedWatch {
  const { database, clock } = deps;
  return {
    head: (tenant) => database.withTenant(tenant, feedHead),
    async look(tenant, { after, limit }, onPage) {
      const at = new Date(clock.now());
      const values = [...positionOf(after), null, null, null, '', limit, at];
      await database.withTenant(tenant, async (tx) => {
        onPage(pageOf(await tx.query<WatchRow>(WATCH_CHANGES, values)));
      });
    },
    async read(tenant, { after, upTo, key, prefix, limit, mustBeKept }) {
      const from = positionOf(after);
      const to = upTo === undefined ? [null, null] : positionOf(upTo);
      const at = new Date(clock.now());
      const values = [...from, ...to, key ?? null, prefix ?? '', limit, at];
      const rows = await database.withTenant(tenant, async (tx) => {
        const found = await tx.query<WatchRow>(WATCH_CHANGES, values);
        if (mustBeKept === true) await requireKept(tx, after);
        return found;
      });
      return pageOf(rows);
    },
  };
}

function pageOf(rows: readonly WatchRow[]): WatchedPage {
  const { hidden = false, snapshot = '' } = rows[0] ?? {};
  return { changes: rows.flatMap(watchedOf), hasHidden: hidden, snapshot };
}

function watchedOf(row: WatchRow): WatchedChange[] {
  if (row.position === null) return [];
  const isDelete = row.change_type === 'delete';
  const reason = row.reason ?? (row.is_expired === true ? 'ttl' : null);
  const change: Change = {
    key: row.key,
    version: row.version,
    timestamp: row.changed_at.toISOString(),
    changeType: row.change_type,
    changedBy: row.changed_by,
    ...(isDelete || row.is_expired === true ? { deleted: true as const } : {}),
    ...(reason === null ? {} : { reason }),
    cursor: row.position,
  };
  const [sessionId, tags] = row.is_kept
    ? [row.session_id, row.tags]
    : [row.context_session_id, row.context_tags];
  return [{ change, sessionId, tags: tags ?? [] }];
}
