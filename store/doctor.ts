/**
 * What the doctor reads of Postgres: which links have work nobody does, what their passes left
 * open, which items rest in quarantine, and how far behind the outbox is. It reads only.
 */
import type { Caller } from '../domain/context.ts';
import type { ContextKey, LinkId, TenantId } from '../domain/ids.ts';
import type { GuardTrip, Link } from '../domain/link.ts';
import { recordAudit } from './audit.ts';
import type { Database } from './database.ts';
import { linkOf, type LinkRow } from './link-store.ts';

/** What Postgres knows of one link. Ages are in ms by Postgres' clock; null: there is no such thing. */
export interface LinkCondition {
  readonly link: Link;
  readonly guard: GuardTrip | null;
  /** Since it should have been looked at; negative: its time has not come. */
  readonly overdueMs: number;
  /** Whether it counts as under way. */
  readonly isLive: boolean;
  /** Whether its remote asked to be left alone. */
  readonly isResting: boolean;
  /** Since its newest pass began. */
  readonly passAgeMs: number;
  /** Age of the oldest change seen and not settled, but of items the remote cannot show. */
  readonly dirtyMs: number | null;
  /** Age of the oldest run that was asked for and not begun. */
  readonly requestedMs: number | null;
  /** Runs that began and never ended. */
  readonly openRuns: number;
  /** Intents whose outcome nobody recorded. */
  readonly openIntents: number;
  /** Open conflicts whose time is over. */
  readonly overdueConflicts: number;
  readonly quarantined: number;
  /** Of its last run, if that failed. */
  readonly lastError: { readonly code: string; readonly detail: string } | null;
}

/** An item set aside. */
export interface QuarantineRow {
  readonly linkId: LinkId;
  readonly key: ContextKey;
  readonly code: string;
  readonly detail: string;
  readonly attempts: number;
  /** Null: when the item changes. */
  readonly retryAt: string | null;
}

/** The outbox of the whole installation. */
export interface OutboxCondition {
  readonly waiting: number;
  /** Age of the oldest message, ms; 0 when there is none. */
  readonly oldestMs: number;
  /** How long the oldest message has been there to be taken, and was not, ms. */
  readonly untakenMs: number;
  /** Most times one message was taken and not sent. */
  readonly maxAttempts: number;
}

export interface DoctorStore {
  /** The tenant's links by name, at most `limit`. */
  links(tenant: TenantId, limit: number): Promise<readonly LinkCondition[]>;
  /** The tenant's quarantined items, at most `perLink` of each link. */
  quarantine(tenant: TenantId, perLink: number): Promise<readonly QuarantineRow[]>;
  outbox(): Promise<OutboxCondition>;
  /** Keeps in the audit trail what the doctor repaired. */
  recordRepairs(
    caller: Caller,
    repairs: readonly { code: string; target: string }[],
  ): Promise<void>;
}

const MS_SINCE = (time: string): string => `extract(epoch FROM now() - ${time}) * 1000`;

const SELECT_LINKS = `
SELECT l.*, (${MS_SINCE('l.next_due_at')})::float8 AS "overdueMs",
  coalesce(l.live_until > now(), false) AS "isLive", coalesce(l.rests_until > now(), false) AS "isResting",
  (${MS_SINCE('l.pass_began_at')})::float8 AS "passAgeMs",
  (SELECT (${MS_SINCE('min(dirty_since)')})::float8 FROM sync_items i
   WHERE i.tenant_id = l.tenant_id AND i.link_id = l.id AND i.dirty
     AND i.remote_status <> 'faulty') AS "dirtyMs",
  (SELECT (${MS_SINCE('min(started_at)')})::float8 FROM sync_runs r
   WHERE r.tenant_id = l.tenant_id AND r.link_id = l.id AND r.status = 'running' AND NOT r.begun) AS "requestedMs",
  (SELECT count(*)::int FROM sync_runs r
   WHERE r.tenant_id = l.tenant_id AND r.link_id = l.id AND r.status = 'running' AND r.begun) AS "openRuns",
  (SELECT count(*)::int FROM sync_ops o
   WHERE o.tenant_id = l.tenant_id AND o.link_id = l.id AND o.state = 'intended') AS "openIntents",
  (SELECT count(*)::int FROM sync_conflicts c
   WHERE c.tenant_id = l.tenant_id AND c.link_id = l.id AND c.status = 'open' AND c.due_at <= now()) AS "overdueConflicts",
  (SELECT count(*)::int FROM sync_items i
   WHERE i.tenant_id = l.tenant_id AND i.link_id = l.id AND i.state = 'quarantined') AS quarantined,
  CASE WHEN l.state = 'failed' THEN (SELECT error FROM sync_runs r
   WHERE r.tenant_id = l.tenant_id AND r.link_id = l.id AND r.status = 'failed'
   ORDER BY started_at DESC, id LIMIT 1) END AS "lastError"
FROM sync_links l WHERE l.tenant_id = current_setting('app.tenant') ORDER BY l.name LIMIT $1`;

const SELECT_QUARANTINE = `
SELECT i.* FROM sync_links l CROSS JOIN LATERAL (
  SELECT link_id AS "linkId", key, fault->>'code' AS code, fault->>'detail' AS detail, attempts, retry_at
  FROM sync_items WHERE tenant_id = l.tenant_id AND link_id = l.id AND state = 'quarantined'
  ORDER BY key LIMIT $1) i
WHERE l.tenant_id = current_setting('app.tenant') ORDER BY l.name, i.key`;

// A message that was taken is hidden for a while; one that may be taken and stays has no taker.
const SELECT_OUTBOX = `
SELECT count(*)::int AS waiting,
  coalesce(${MS_SINCE('min(created_at)')}, 0)::float8 AS "oldestMs",
  coalesce(${MS_SINCE('min(not_before) FILTER (WHERE not_before <= now())')}, 0)::float8 AS "untakenMs",
  coalesce(max(attempts), 0) AS "maxAttempts"
FROM outbox`;

type ConditionRow = LinkRow & Omit<LinkCondition, 'link' | 'guard'>;
type ItemRow = Omit<QuarantineRow, 'retryAt' | 'code' | 'detail'> & {
  readonly code: string | null;
  readonly detail: string | null;
  readonly retry_at: Date | null;
};

export function createDoctorStore(database: Database): DoctorStore {
  return {
    links: (tenant, limit) =>
      database.withTenant(tenant, async (tx) =>
        (await tx.query<ConditionRow>(SELECT_LINKS, [limit])).map(conditionOf),
      ),
    quarantine: (tenant, perLink) =>
      database.withTenant(tenant, async (tx) =>
        (await tx.query<ItemRow>(SELECT_QUARANTINE, [perLink])).map(itemOf),
      ),
    outbox: () =>
      database.withSystem(async (tx) => (await tx.query<OutboxCondition>(SELECT_OUTBOX))[0]!),
    async recordRepairs(caller, repairs) {
      await database.withTenant(caller.tenant, async (tx) => {
        for (const { code, target } of repairs)
          await recordAudit(tx, caller, { action: 'doctor.repair', target, detail: { code } });
      });
    },
  };
}

function conditionOf(row: ConditionRow): LinkCondition {
  return {
    link: linkOf(row),
    guard: row.guard,
    overdueMs: row.overdueMs,
    isLive: row.isLive,
    isResting: row.isResting,
    passAgeMs: row.passAgeMs,
    dirtyMs: row.dirtyMs,
    requestedMs: row.requestedMs,
    openRuns: row.openRuns,
    openIntents: row.openIntents,
    overdueConflicts: row.overdueConflicts,
    quarantined: row.quarantined,
    lastError: row.lastError,
  };
}

function itemOf({ retry_at, code, detail, ...row }: ItemRow): QuarantineRow {
  return {
    ...row,
    code: code ?? 'INTERNAL',
    detail: detail ?? '',
    retryAt: retry_at?.toISOString() ?? null,
  };
}
