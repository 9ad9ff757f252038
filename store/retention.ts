/**
 * Collects what nobody needs any more, one tenant and one bounded batch at a time. Promises: what a
 * link has yet to see, a base, an open conflict, a plan or an unfinished op stays; compaction at any
 * moment changes no sync outcome (P5, P20). The order matters: feed, tombstones, versions, then the
 * bodies nothing refers to any more.
 */
import type { TenantId } from '../domain/ids.ts';
import { collectBlobs } from './collect-blobs.ts';
import type { Database, Transaction } from './database.ts';

export interface RetentionPolicy {
  /** Tombstones and changes stay at least this long, ms, and until every link has seen them. */
  readonly keepDeletedMs: number;
  /** Changes go after this long, ms, seen or not: a link that slept longer is compared anew. */
  readonly horizonMs: number;
  /** Versions kept per context, besides those a link or conflict still needs. */
  readonly maxVersions: number;
  /** Runs, their ops and decided conflicts stay at least this long, ms. */
  readonly keepRunsMs: number;
  /** Runs kept per link however old. */
  readonly keepRunsPerLink: number;
  /** Rows of the audit log stay this long, ms. */
  readonly keepAuditMs: number;
  /** A body that nothing refers to stays this long after its last use, ms. */
  readonly blobGraceMs: number;
}

/** How many rows of each kind were deleted. */
export interface Collected {
  readonly runs: number;
  readonly conflicts: number;
  readonly audit: number;
  readonly changes: number;
  readonly items: number;
  /** Deleted contexts whose history went. */
  readonly contexts: number;
  readonly versions: number;
  readonly blobs: number;
}

export interface Retention {
  tenants(): Promise<readonly TenantId[]>;
  /** Collects for one tenant; what is left after `maxBatches` of each kind waits for the next call. */
  collect(
    tenant: TenantId,
    policy: RetentionPolicy,
    bounds?: { readonly batch: number; readonly maxBatches: number },
  ): Promise<Collected>;
}

const BOUNDS = { batch: 1_000, maxBatches: 50 };

export function createRetention(database: Database): Retention {
  return {
    async tenants() {
      const rows = await database.withSystem((tx) =>
        tx.query<{ id: TenantId }>('SELECT id FROM tenants ORDER BY id'),
      );
      return rows.map((row) => row.id);
    },

    async collect(tenant, policy, { batch, maxBatches } = BOUNDS) {
      const drain = async (statement: string, ...values: number[]): Promise<number> => {
        const once = (tx: Transaction): Promise<{ gone: number }[]> =>
          tx.query<{ gone: number }>(statement, [batch, ...values]);
        let total = 0;
        for (let nth = 0; nth < maxBatches; nth += 1) {
          const [row] = await database.withTenant(tenant, once);
          total += row!.gone;
          if (row!.gone === 0) break;
        }
        return total;
      };
      const { keepDeletedMs, horizonMs, maxVersions } = policy;
      return {
        runs: await drain(COLLECT_RUNS, policy.keepRunsMs, policy.keepRunsPerLink),
        conflicts: await drain(COLLECT_CONFLICTS, policy.keepRunsMs),
        audit: await drain(COLLECT_AUDIT, policy.keepAuditMs),
        changes: await drain(COLLECT_CHANGES, keepDeletedMs, horizonMs),
        items: await drain(COLLECT_ITEMS, keepDeletedMs),
        contexts: await drain(COLLECT_CONTEXTS, keepDeletedMs),
        versions: await drain(COLLECT_VERSIONS, maxVersions),
        blobs: await collectBlobs(database, tenant, {
          graceMs: policy.blobGraceMs,
          batch,
          maxBatches,
        }),
      };
    },
  };
}

const ago = (parameter: number): string =>
  `now() - $${parameter}::float8 * interval '1 millisecond'`;
const MINE = `tenant_id = current_setting('app.tenant')`;

/** An op that is still to be done, or whose outcome nobody recorded. */
const IS_UNFINISHED = `state IN ('planned', 'intended')`;

// What was counted goes on being counted: the metric of runs only ever rises.
const COLLECT_RUNS = `
WITH ranked AS (
  SELECT id, ended_at, row_number() OVER (PARTITION BY link_id ORDER BY started_at DESC, id) AS nth
  FROM sync_runs WHERE ${MINE}
), old AS (
  SELECT r.id FROM ranked k JOIN sync_runs r ON r.${MINE} AND r.id = k.id
  JOIN sync_links l ON l.tenant_id = r.tenant_id AND l.id = r.link_id
  WHERE k.nth > $3 AND k.ended_at <= ${ago(2)} AND r.status <> 'running'
    AND (l.guard->>'planId') IS DISTINCT FROM r.id::text
    AND NOT EXISTS (SELECT 1 FROM sync_ops o WHERE o.${MINE} AND o.run_id = r.id AND o.state = 'intended')
    AND NOT EXISTS (SELECT 1 FROM sync_runs u WHERE u.${MINE} AND u.undoes = r.id AND u.status = 'running')
  LIMIT $1
), gone AS (
  DELETE FROM sync_runs r USING old WHERE r.${MINE} AND r.id = old.id AND r.status <> 'running'
  RETURNING r.id, r.link_id, r.status
), ops AS (
  DELETE FROM sync_ops o USING gone WHERE o.${MINE} AND o.run_id = gone.id
), counts AS (SELECT link_id, status, count(*) AS runs FROM gone GROUP BY 1, 2
), told AS (
  UPDATE sync_links l SET retired_runs = (
    SELECT json_object_agg(status, runs) FROM (
      SELECT status, sum(runs) AS runs FROM (
        SELECT key AS status, value::bigint AS runs FROM json_each_text(l.retired_runs)
        UNION ALL SELECT status, runs FROM counts WHERE counts.link_id = l.id) both_counts
      GROUP BY status) summed)
  WHERE l.${MINE} AND l.id IN (SELECT link_id FROM counts)
)
SELECT count(*)::int AS gone FROM gone`;

const COLLECT_CONFLICTS = `
WITH gone AS (
  DELETE FROM sync_conflicts WHERE ${MINE} AND status <> 'open' AND id IN (
    SELECT id FROM sync_conflicts WHERE ${MINE} AND status <> 'open' AND updated_at <= ${ago(2)} LIMIT $1)
  RETURNING 1
) SELECT count(*)::int AS gone FROM gone`;

const COLLECT_AUDIT = `
WITH gone AS (
  DELETE FROM audit WHERE ${MINE} AND id IN (SELECT id FROM audit WHERE ${MINE} AND at <= ${ago(2)} LIMIT $1)
  RETURNING 1
) SELECT count(*)::int AS gone FROM gone`;

// Only ever the beginning of the feed, so that one position tells what is gone. The newest change
// stays: it is the head new cursors are taken from. A link without a cursor reads everything anyway.
const COLLECT_CHANGES = `
WITH slowest AS (
  SELECT split_part(hub_cursor, '.', 1)::xid8 AS xid, split_part(hub_cursor, '.', 2)::bigint AS seq
  FROM sync_links WHERE ${MINE} AND hub_cursor IS NOT NULL ORDER BY 1, 2 LIMIT 1
), newest AS (
  SELECT xid, seq FROM changes WHERE ${MINE} ORDER BY xid DESC, seq DESC LIMIT 1
), oldest AS (
  SELECT c.xid, c.seq, (c.xid, c.seq) < (newest.xid, newest.seq) AND c.changed_at <= ${ago(2)}
    AND (slowest.xid IS NULL OR (c.xid, c.seq) <= (slowest.xid, slowest.seq) OR c.changed_at <= ${ago(3)}) AS may_go
  FROM (SELECT * FROM changes WHERE ${MINE} ORDER BY xid, seq LIMIT $1) c
  CROSS JOIN newest LEFT JOIN slowest ON true
), prefix AS (
  SELECT xid, seq, bool_and(may_go) OVER (ORDER BY xid, seq) AS goes FROM oldest
), gone AS (
  DELETE FROM changes c USING prefix p WHERE c.${MINE} AND c.xid = p.xid AND c.seq = p.seq AND p.goes
  RETURNING c.xid, c.seq
), horizon AS (
  INSERT INTO feed_horizons AS h (tenant_id, xid, seq)
  SELECT current_setting('app.tenant'), xid, seq FROM gone ORDER BY xid DESC, seq DESC LIMIT 1
  ON CONFLICT (tenant_id) DO UPDATE SET xid = excluded.xid, seq = excluded.seq
    WHERE (h.xid, h.seq) < (excluded.xid, excluded.seq)
)
SELECT count(*)::int AS gone FROM gone`;

const COLLECT_ITEMS = `
WITH old AS (
  SELECT i.link_id, i.key FROM sync_items i LEFT JOIN contexts c ON c.tenant_id = i.tenant_id AND c.key = i.key
  WHERE i.${MINE} AND i.state = 'tombstoned' AND NOT i.dirty AND i.remote_status <> 'present'
    AND (c.key IS NULL OR (c.deleted AND c.updated_at <= ${ago(2)}))
    AND NOT EXISTS (SELECT 1 FROM sync_ops o WHERE o.${MINE} AND o.link_id = i.link_id AND o.key = i.key AND ${IS_UNFINISHED})
  LIMIT $1 FOR UPDATE OF i SKIP LOCKED
), gone AS (
  DELETE FROM sync_items i USING old WHERE i.${MINE} AND i.link_id = old.link_id AND i.key = old.key RETURNING 1
) SELECT count(*)::int AS gone FROM gone`;

const NOTHING_SAID = `tags = '{}', metadata = '{}', source = NULL, parent_id = NULL,
  session_id = NULL, agent_id = NULL, expires_at = NULL`;

// The history of a tombstone goes once its changes are gone from the feed (so every link has seen it)
// and no link has an item of that key: who still holds a base must be able to ask what became of it.
// Its row and the version that deleted it stay, without anything a writer said: version numbers never
// repeat for a key, and another hub that slept longer than the feed can still ask who deleted it.
const COLLECT_CONTEXTS = `
WITH old AS (
  SELECT c.key, c.version FROM contexts c
  WHERE c.${MINE} AND c.deleted AND c.updated_at <= ${ago(2)}
    AND EXISTS (SELECT 1 FROM context_versions v WHERE v.${MINE} AND v.key = c.key AND v.version < c.version)
    AND NOT EXISTS (SELECT 1 FROM changes h WHERE h.${MINE} AND h.key = c.key)
    AND NOT EXISTS (SELECT 1 FROM sync_items i WHERE i.${MINE} AND i.key = c.key
      AND (i.base_hub_hash IS NOT NULL OR i.state NOT IN ('tombstoned', 'excluded') OR i.dirty))
    AND NOT EXISTS (SELECT 1 FROM sync_ops o WHERE o.${MINE} AND o.key = c.key AND ${IS_UNFINISHED})
    AND NOT EXISTS (SELECT 1 FROM sync_conflicts x WHERE x.${MINE} AND x.key = c.key AND x.status = 'open')
  ORDER BY c.key LIMIT $1 FOR UPDATE OF c SKIP LOCKED
), versions AS (
  DELETE FROM context_versions v USING old WHERE v.${MINE} AND v.key = old.key AND v.version < old.version
), last AS (
  UPDATE context_versions v SET ${NOTHING_SAID} FROM old
  WHERE v.${MINE} AND v.key = old.key AND v.version = old.version
), gone AS (
  UPDATE contexts c SET ${NOTHING_SAID} FROM old WHERE c.${MINE} AND c.key = old.key RETURNING 1
) SELECT count(*)::int AS gone FROM gone`;

// One function for this job and for operators, who may call it themselves.
const COLLECT_VERSIONS = 'SELECT context_system.archive_old_versions($2::int, $1::int) AS gone';
