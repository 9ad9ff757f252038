/**
 * What changed in all tenants since a look before, for the cache: the net under announcements that
 * got lost. Unlike a reader of the feed it needs no order, so it never waits for an older
 * transaction: it is told each change in the first look that can see it.
 */
import type { ContextKey, TenantId } from '../domain/ids.ts';
import type { Database } from './database.ts';

export interface SweptChange {
  readonly tenant: TenantId;
  readonly key: ContextKey;
  /** The newest. */
  readonly version: number;
}

export interface Sweep {
  /** Give it to the next look. */
  readonly mark: string;
  /** Null: too many to tell, or the store was restored since; anything may be another. */
  readonly changes: readonly SweptChange[] | null;
  /** Tenants that are being removed. */
  readonly removing: readonly TenantId[];
}

export interface ChangeSweep {
  /** What is new since a mark; null: only the mark of now. @throws AppError UNAVAILABLE */
  look(since: string | null): Promise<Sweep>;
}

/** Changes told at once. */
const MAX_CHANGES = 5_000;

// One statement, so that snapshot and changes belong to the same moment. New is what the snapshot
// before could not see: transactions it called running, and those after it; nothing, without one. `era` moves with each
// restore (store/backup/mend-feed.ts); numbers from another era mean nothing.
const SWEEP = `
SELECT feed_position('0'::xid8)::text AS era, pg_current_snapshot()::text AS snapshot,
  ARRAY(SELECT id FROM tenants WHERE removing_at IS NOT NULL ORDER BY id) AS removing,
  (SELECT json_agg(json_build_array(tenant_id, key, version)) FROM (
    SELECT t.id AS tenant_id, c.key, c.version FROM tenants t CROSS JOIN LATERAL (
      SELECT key, version FROM changes
      WHERE tenant_id = t.id AND xid >= feed_position(pg_snapshot_xmax($1::pg_snapshot))
      UNION ALL
      SELECT key, version FROM changes
      WHERE tenant_id = t.id AND xid = ANY (ARRAY(
        SELECT feed_position(running) FROM pg_snapshot_xip($1::pg_snapshot) AS running))
    ) c LIMIT ${MAX_CHANGES + 1}) found) AS changes`;

interface SweepRow {
  readonly era: string;
  readonly snapshot: string;
  readonly removing: TenantId[];
  readonly changes: [TenantId, ContextKey, number][] | null;
}

export function createChangeSweep(database: Database): ChangeSweep {
  return {
    async look(since) {
      const [era, snapshot] = partsOf(since);
      const [row] = await database.withSystem((tx) => tx.query<SweepRow>(SWEEP, [snapshot]));
      const found = row!.changes ?? [];
      const isKnown = (since === null || era === row!.era) && found.length <= MAX_CHANGES;
      return {
        mark: `${row!.era}/${row!.snapshot}`,
        changes: isKnown ? newestOf(found) : null,
        removing: row!.removing,
      };
    },
  };
}

function partsOf(mark: string | null): [era: string | null, snapshot: string | null] {
  const match = /^(\d+)\/(\d+:\d+:[\d,]*)$/.exec(mark ?? '');
  return match ? [match[1]!, match[2]!] : [null, null];
}

/** Each context once. */
function newestOf(found: SweepRow['changes'] & object): SweptChange[] {
  const newest = new Map<string, SweptChange>();
  for (const [tenant, key, version] of found) {
    const known = newest.get(`${tenant}\n${key}`);
    if (!known || known.version < version)
      newest.set(`${tenant}\n${key}`, { tenant, key, version });
  }
  return [...newest.values()];
}
