/** Numbers of links for monitoring: counts and times, never keys or content. */
import type { LinkId, TenantId } from '../domain/ids.ts';
import type { Database } from './database.ts';

export interface LinkMetrics {
  readonly linkId: LinkId;
  /** Age of the oldest change not yet settled, s. */
  readonly lagSeconds: number;
  /** Seconds since the epoch; null: never. */
  readonly provedEqualAt: number | null;
  readonly items: number;
  readonly conflicts: number;
  readonly quarantined: number;
  /** Status → runs ended with it, those included that retention has deleted. */
  readonly runs: Readonly<Record<string, number>>;
}

export interface Metrics {
  /** Links that exist, in whatever state. */
  readonly links: number;
  /** At most as many as were asked for. */
  readonly perLink: readonly LinkMetrics[];
}

export interface MetricsStore {
  /** Of one tenant, or (null) of all; the `limit` links that were made first. */
  links(tenant: TenantId | null, limit: number): Promise<Metrics>;
}

// Both roles may run it: row-level security decides whose links they are. Of a link that is far
// behind, only the beginning of what it has yet to see is read; of links not chosen, nothing.
const SELECT_METRICS = `
WITH chosen AS (SELECT * FROM sync_links ORDER BY id LIMIT $1),
counts AS (
  SELECT i.tenant_id, i.link_id, count(*) FILTER (WHERE i.state NOT IN ('tombstoned', 'excluded'))::int AS items,
    count(*) FILTER (WHERE i.state = 'conflict')::int AS conflicts,
    count(*) FILTER (WHERE i.state = 'quarantined')::int AS quarantined,
    min(i.dirty_since) FILTER (WHERE i.dirty) AS dirty_since
  FROM chosen l JOIN sync_items i ON i.tenant_id = l.tenant_id AND i.link_id = l.id GROUP BY 1, 2
), runs AS (
  SELECT tenant_id, link_id, json_object_agg(status, n) AS kept FROM (
    SELECT r.tenant_id, r.link_id, r.status, count(*) AS n
    FROM chosen l JOIN sync_runs r ON r.tenant_id = l.tenant_id AND r.link_id = l.id
    GROUP BY 1, 2, 3) r GROUP BY 1, 2
)
SELECT l.id AS "linkId", extract(epoch FROM l.last_proved_equal_at)::float8 AS "provedEqualAt",
  coalesce(c.items, 0) AS items, coalesce(c.conflicts, 0) AS conflicts,
  coalesce(c.quarantined, 0) AS quarantined,
  greatest(0, coalesce(extract(epoch FROM now() - least(c.dirty_since, waiting.since)), 0))::float8 AS "lagSeconds",
  coalesce(r.kept, '{}') AS kept, l.retired_runs AS retired
FROM chosen l
LEFT JOIN counts c ON c.tenant_id = l.tenant_id AND c.link_id = l.id
LEFT JOIN runs r ON r.tenant_id = l.tenant_id AND r.link_id = l.id
LEFT JOIN LATERAL (
  SELECT min(changed_at) AS since FROM (
    SELECT key, origin, changed_at FROM changes h WHERE h.tenant_id = l.tenant_id
      AND (xid, seq) > (split_part(l.hub_cursor, '.', 1)::xid8, split_part(l.hub_cursor, '.', 2)::bigint)
    ORDER BY xid, seq LIMIT 1000) tail
  WHERE starts_with(tail.key, l.prefix) AND tail.origin IS DISTINCT FROM l.id) waiting ON true
ORDER BY l.id`;

type Row = Omit<LinkMetrics, 'runs'> & {
  readonly kept: Readonly<Record<string, number>>;
  readonly retired: Readonly<Record<string, number>>;
};

export function createMetricsStore(database: Database): MetricsStore {
  return {
    async links(tenant, limit) {
      const run: Database['withSystem'] = (work) =>
        tenant === null ? database.withSystem(work) : database.withTenant(tenant, work);
      return run(async (tx) => {
        const [all] = await tx.query<{ links: number }>(
          'SELECT count(*)::int AS links FROM sync_links',
        );
        const rows = await tx.query<Row>(SELECT_METRICS, [limit]);
        return { links: all!.links, perLink: rows.map(metricsOf) };
      });
    },
  };
}

function metricsOf({ kept, retired, ...counts }: Row): LinkMetrics {
  const runs: Record<string, number> = { ...kept };
  for (const [status, count] of Object.entries(retired)) runs[status] = (runs[status] ?? 0) + count;
  return { ...counts, runs };
}
