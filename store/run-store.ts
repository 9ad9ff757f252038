/** Runs: asked for, read, approved. The engine fills them in. */
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import { isUuid, type IdSource, type LinkId, type RunId } from '../domain/ids.ts';
import {
  NO_COUNTS,
  type GuardTrip,
  type Run,
  type RunCounters,
  type RunStatus,
} from '../domain/link.ts';
import { recordAudit } from './audit.ts';
import { loadBodies } from './blobs.ts';
import type { RunOp, RunStore } from './contract.ts';
import type { Database, Transaction } from './database.ts';
import { lockLink } from './link-store.ts';
import { wakeLink } from './outbox.ts';
import { pageOf, unpackCursor } from './paging.ts';

/** How long a parked plan may be approved: the world moves on. */
const PLAN_LIFE_MS = 7 * 24 * 3_600_000;

export interface RunRow {
  id: RunId;
  link_id: LinkId;
  status: RunStatus;
  trigger: string;
  epoch: number;
  phases: Record<string, number>;
  counters: Partial<RunCounters>;
  guard: GuardTrip | null;
  error: { code: string; detail: string } | null;
  begun: boolean;
  approved_at: Date | null;
  started_at: Date;
  ended_at: Date | null;
}

export interface RunStoreDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly newId: IdSource;
  readonly onCommitted: () => void;
}

export function createRunStore({ database, clock, newId, onCommitted }: RunStoreDeps): RunStore {
  return {
    async request(caller, linkId, reason) {
      const run = await database.withTenant(caller.tenant, async (tx) => {
        const link = await lockLink(tx, linkId);
        if (link.state === 'paused')
          throw new AppError('LINK_PAUSED', `link ${link.name} is paused`);
        await wakeLink(tx, linkId);
        const [waiting] = await tx.query<RunRow>(SELECT_WAITING, [linkId]);
        if (waiting) return waiting;
        const [made] = await tx.query<RunRow>(INSERT_RUN, [newId(), linkId, reason, link.epoch]);
        return made!;
      });
      onCommitted();
      return runOf(run);
    },

    async list(caller, { linkId, limit, cursor }) {
      const after = cursor === undefined ? [null, null] : unpackCursor(cursor, ['time', 'id']);
      const rows = await database.withTenant(caller.tenant, (tx) =>
        tx.query<RunRow>(LIST_RUNS, [linkId, ...after, limit + 1]),
      );
      return pageOf(rows, limit, {
        item: runOf,
        sortValues: (row) => [row.started_at.toISOString(), row.id],
      });
    },

    async get(caller, id) {
      return runOf(await database.withTenant(caller.tenant, (tx) => selectRun(tx, id)));
    },

    async ops(caller, id, limit) {
      return database.withTenant(caller.tenant, async (tx) => {
        await selectRun(tx, id);
        const rows = await tx.query<OpViewRow>(SELECT_OPS, [id, limit]);
        const bodies = await loadBodies(tx, rows.flatMap(hashesOf));
        const body = (hash: Hash | null) => (hash ? (bodies.get(hash) ?? null) : null);
        return rows.map((row): RunOp => ({
          op: row.action,
          side: row.side,
          key: row.key,
          reason: row.detail ?? row.reason,
          state: row.state,
          before: body(row.side === 'hub' ? row.hub_hash : row.remote_hash),
          after: body(row.side === 'hub' ? row.hub_after : row.remote_after),
        }));
      });
    },

    async approve(caller, planId) {
      const run = await database.withTenant(caller.tenant, async (tx) => {
        const [row] = isUuid(planId) ? await tx.query<PlanRow>(LOCK_PLAN, [planId]) : [];
        requireApprovable(row, clock.now());
        await tx.query(APPROVE_RUN, [planId, caller.actor]);
        await tx.query(
          `UPDATE sync_links SET state = 'active', guard = NULL, updated_at = now()
           WHERE tenant_id = current_setting('app.tenant') AND id = $1 AND state = 'parked'`,
          [row.link_id],
        );
        await recordAudit(tx, caller, { action: 'plan.approve', target: planId });
        await wakeLink(tx, row.link_id);
        return selectRun(tx, planId);
      });
      onCommitted();
      return runOf(run);
    },
  };
}

const SELECT_RUN = `SELECT * FROM sync_runs WHERE tenant_id = current_setting('app.tenant')`;

const LOCK_PLAN = `
SELECT r.*, l.epoch AS link_epoch FROM sync_runs r
JOIN sync_links l ON l.tenant_id = r.tenant_id AND l.id = r.link_id
WHERE r.tenant_id = current_setting('app.tenant') AND r.id = $1 FOR UPDATE`;

type PlanRow = RunRow & { link_epoch: number };

const SELECT_WAITING = `
SELECT * FROM sync_runs WHERE tenant_id = current_setting('app.tenant') AND link_id = $1
  AND status = 'running' AND NOT begun LIMIT 1`;

const INSERT_RUN = `
INSERT INTO sync_runs (tenant_id, id, link_id, status, trigger, epoch)
VALUES (current_setting('app.tenant'), $1, $2, 'running', $3, $4) RETURNING *`;

const LIST_RUNS = `
SELECT * FROM sync_runs
WHERE tenant_id = current_setting('app.tenant') AND link_id = $1
  AND ($2::timestamptz IS NULL OR date_trunc('milliseconds', started_at) < $2
    OR (date_trunc('milliseconds', started_at) = $2 AND id > $3::uuid))
ORDER BY date_trunc('milliseconds', started_at) DESC, id LIMIT $4`;

const SELECT_OPS = `
SELECT action, side, key, reason, state, detail, encode(hub_hash, 'hex') AS hub_hash,
  encode(remote_hash, 'hex') AS remote_hash, encode(hub_after, 'hex') AS hub_after,
  encode(remote_after, 'hex') AS remote_after
FROM sync_ops WHERE tenant_id = current_setting('app.tenant') AND run_id = $1 ORDER BY seq LIMIT $2`;

const APPROVE_RUN = `
UPDATE sync_runs SET status = 'running', approved_at = now(), approved_by = $2, guard = NULL, ended_at = NULL
WHERE tenant_id = current_setting('app.tenant') AND id = $1`;

interface OpViewRow {
  action: string;
  side: RunOp['side'];
  key: string;
  reason: string;
  state: string;
  detail: string | null;
  hub_hash: Hash | null;
  remote_hash: Hash | null;
  hub_after: Hash | null;
  remote_after: Hash | null;
}

function hashesOf(row: OpViewRow): Hash[] {
  return [row.hub_hash, row.remote_hash, row.hub_after, row.remote_after].filter((h) => h !== null);
}

async function selectRun(tx: Transaction, id: RunId): Promise<RunRow> {
  const [row] = isUuid(id) ? await tx.query<RunRow>(`${SELECT_RUN} AND id = $1`, [id]) : [];
  if (!row) throw new AppError('RUN_NOT_FOUND', `there is no run ${id}`);
  return row;
}

function requireApprovable(row: PlanRow | undefined, nowMs: number): asserts row is PlanRow {
  if (!row) throw new AppError('PLAN_NOT_FOUND', 'there is no such plan');
  if (row.approved_at) throw new AppError('PLAN_ALREADY_EXECUTED', 'the plan was approved before');
  if (row.status !== 'parked')
    throw new AppError('PLAN_NOT_FOUND', 'that run is not parked; it has no plan to approve');
  if (nowMs - row.started_at.getTime() > PLAN_LIFE_MS) {
    throw new AppError('PLAN_EXPIRED', 'the plan is older than 7 days');
  }
  // A new epoch promised to delete nothing before its baseline; an older plan may not break that.
  if (row.epoch !== row.link_epoch) {
    throw new AppError('PLAN_EXPIRED', 'the link was changed or reset since the plan was made');
  }
}

/** A run as other rooms see it. */
export function runOf(row: RunRow): Run {
  return {
    id: row.id,
    linkId: row.link_id,
    status: row.status,
    trigger: row.trigger,
    phases: row.phases,
    counters: { ...NO_COUNTS, ...row.counters },
    guard: row.guard,
    error: row.error,
    startedAt: row.started_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}
