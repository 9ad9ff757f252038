/** Numbers about a tenant's contexts: what is there, what was done, where it is busy. Never content. */
import type { Clock } from '../domain/clock.ts';
import type { Caller, ChangeType } from '../domain/context.ts';
import type { Database } from './database.ts';

export interface AnalyticsFilter {
  readonly sessionId?: string | undefined;
  readonly agentId?: string | undefined;
}

/** Numbers; times are ISO 8601 in UTC, days `YYYY-MM-DD` in UTC, sizes bytes of compact JSON. */
export interface Analytics {
  readonly contexts: number;
  readonly versions: number;
  readonly bytes: number;
  readonly sessions: number;
  readonly agents: number;
  /** Versions that are kept, by what made them. */
  readonly operations: Readonly<Record<ChangeType, number>>;
  /** Contexts written most often. */
  readonly topKeys: readonly {
    readonly key: string;
    readonly version: number;
    readonly size: number;
    readonly updatedAt: string;
  }[];
  /** Versions made per day, oldest first. */
  readonly activity: readonly { readonly day: string; readonly operations: number }[];
}

export interface AnalyticsStore {
  analyze(caller: Caller, filter: AnalyticsFilter): Promise<Analytics>;
}

const TOP_KEYS = 10;
const ACTIVE_DAYS = 30;

const SELECT_STATS = `
SELECT contexts::int, versions::int, bytes::float8, sessions::int, agents::int
FROM context_system.get_context_stats($1, $2, $3)`;

const OF = `tenant_id = current_setting('app.tenant')
  AND ($1::text IS NULL OR session_id = $1) AND ($2::text IS NULL OR agent_id = $2)`;

// One pass over the versions for both numbers: by type and by day (null: before the days asked for).
const SELECT_MADE = `
SELECT change_type AS type, to_char(day, 'YYYY-MM-DD') AS day, sum(n)::int AS count FROM (
  SELECT change_type, CASE WHEN changed_at >= $3 THEN date_trunc('day', changed_at, 'UTC') END AS day,
    count(*) AS n
  FROM context_versions WHERE ${OF} GROUP BY 1, 2) made
GROUP BY 1, 2`;

const SELECT_TOP = `
SELECT key, version, size, updated_at FROM contexts
WHERE ${OF} AND NOT deleted AND (expires_at IS NULL OR expires_at > $3)
ORDER BY version DESC, key LIMIT ${TOP_KEYS}`;

type Stats = Pick<Analytics, 'contexts' | 'versions' | 'bytes' | 'sessions' | 'agents'>;
interface Made {
  readonly type: ChangeType;
  readonly day: string | null;
  readonly count: number;
}

export function createAnalytics(deps: {
  readonly database: Database;
  readonly clock: Clock;
}): AnalyticsStore {
  return {
    async analyze(caller, { sessionId = null, agentId = null }) {
      const at = new Date(deps.clock.now());
      const since = new Date(
        Math.floor(at.getTime() / DAY_MS) * DAY_MS - (ACTIVE_DAYS - 1) * DAY_MS,
      );
      return deps.database.withTenantRead(caller.tenant, { mayBeStale: true }, async (tx) => {
        const of = [sessionId, agentId];
        const [stats] = await tx.query<Stats>(SELECT_STATS, [...of, at]);
        const made = await tx.query<Made>(SELECT_MADE, [...of, since]);
        const top = await tx.query<TopRow>(SELECT_TOP, [...of, at]);
        return { ...stats!, ...sumsOf(made), topKeys: top.map(topKeyOf) };
      });
    },
  };
}

const DAY_MS = 86_400_000;

interface TopRow {
  readonly key: string;
  readonly version: number;
  readonly size: number;
  readonly updated_at: Date;
}

function topKeyOf({ updated_at, ...row }: TopRow): Analytics['topKeys'][number] {
  return { ...row, updatedAt: updated_at.toISOString() };
}

function sumsOf(made: readonly Made[]): Pick<Analytics, 'operations' | 'activity'> {
  const operations = { create: 0, update: 0, merge: 0, append: 0, rollback: 0, delete: 0 };
  const days = new Map<string, number>();
  for (const { type, day, count } of made) {
    operations[type] += count;
    if (day !== null) days.set(day, (days.get(day) ?? 0) + count);
  }
  const activity = [...days].sort(([a], [b]) => (a < b ? -1 : 1));
  return { operations, activity: activity.map(([day, count]) => ({ day, operations: count })) };
}
