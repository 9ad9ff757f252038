/** Runs: asked for, read, approved. The engine fills them in. */
import type { Clock } from '../domain/clock.ts';
import type { Caller } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import { isUuid, type IdSource, type LinkId, type RunId } from '../domain/ids.ts';
import {
  NO_COUNTS,
  type DroppedOp,
  type GuardTrip,
  type PlannedDecision,
  type Run,
  type RunCounters,
  type RunMode,
  type RunStatus,
} from '../domain/link.ts';
import { recordAudit } from './audit.ts';
import type { RunStore } from './contract.ts';
import type { Database, Transaction } from './database.ts';
import { lockLink, type LinkRow } from './link-store.ts';
import { wakeLink } from './outbox.ts';
import { pageOf, unpackCursor } from './paging.ts';
import { readOps } from './run-ops.ts';

/** How long a plan stored before plans had a time of their own may be approved. */
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
  mode: RunMode;
  undoes: RunId | null;
  expires_at: Date | null;
  decisions: PlannedDecision[];
  /** Read with the run, not where it was just written. */
  dropped?: DroppedOp[];
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
  /** Records that somebody wants a run and wakes its link; joins one of its kind that waits. */
  async function ask(caller: Caller, linkId: LinkId, wanted: WantedRun): Promise<Run> {
    const { mode, undoes = null, reason } = wanted;
    const run = await database.withTenant(caller.tenant, async (tx) => {
      const link = await lockLink(tx, linkId);
      wanted.check?.(link);
      await wakeLink(tx, linkId);
      const [waiting] = await tx.query<RunRow>(SELECT_WAITING, [linkId, mode, undoes]);
      if (waiting) return waiting;
      if (mode === 'undo') await recordAudit(tx, caller, { action: 'run.undo', target: undoes! });
      const values = [newId(), linkId, reason, link.epoch, mode, undoes];
      const [made] = await tx.query<RunRow>(INSERT_RUN, values);
      return made!;
    });
    onCommitted();
    return runOf(run);
  }

  return {
    request: (caller, linkId, reason) =>
      ask(caller, linkId, {
        mode: 'look',
        reason,
        check(link) {
          if (link.state === 'paused')
            throw new AppError('LINK_PAUSED', `link ${link.name} is paused`);
        },
      }),

    requestPlan: (caller, linkId, reason) => ask(caller, linkId, { mode: 'plan', reason }),

    async requestUndo(caller, id, reason) {
      const undone = await database.withTenant(caller.tenant, (tx) => selectRun(tx, id));
      if (undone.status === 'running')
        throw new AppError('RUN_NOT_FINISHED', `run ${id} is still under way`);
      return ask(caller, undone.link_id, { mode: 'undo', undoes: id, reason });
    },

    async plan(caller, id) {
      const run = await database.withTenant(caller.tenant, (tx) => findRun(tx, id));
      if (!run || !hasPlan(run)) throw new AppError('PLAN_NOT_FOUND', `there is no plan ${id}`);
      return { run: runOf(run), decisions: run.decisions };
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

    async ops(caller, id, { limit, cursor }) {
      const [after] = cursor === undefined ? [0] : unpackCursor(cursor, ['integer']);
      return database.withTenant(caller.tenant, async (tx) => {
        await selectRun(tx, id);
        return readOps(tx, id, { after: Number(after), limit });
      });
    },

    async approve(caller, planId) {
      const run = await database.withTenant(caller.tenant, async (tx) => {
        const [row] = isUuid(planId) ? await tx.query<PlanRow>(LOCK_PLAN, [planId]) : [];
        requireApprovable(row, clock.now());
        await tx.query(APPROVE_RUN, [planId, caller.actor]);
        await tx.query(UNPARK, [row.link_id, acceptedConflicts(row)]);
        await recordAudit(tx, caller, { action: 'plan.approve', target: planId });
        await wakeLink(tx, row.link_id);
        return selectRun(tx, planId);
      });
      onCommitted();
      return runOf(run);
    },
  };
}

interface WantedRun {
  readonly mode: RunMode;
  readonly reason: string;
  readonly undoes?: RunId;
  /** @throws AppError where the link takes no such run now */
  readonly check?: (link: LinkRow) => void;
}

/** Most dropped ops a run lists. */
const MAX_DROPPED = 1_000;

const RUN_COLUMNS = `r.*, (SELECT coalesce(json_agg(json_build_object('key', o.key, 'side', o.side,
    'reason', coalesce(o.detail, o.reason)) ORDER BY o.seq), '[]')
  FROM (SELECT * FROM sync_ops WHERE tenant_id = r.tenant_id AND run_id = r.id
    AND state IN ('stale', 'failed') ORDER BY seq LIMIT ${MAX_DROPPED}) AS o) AS dropped`;

const SELECT_RUN = `
SELECT ${RUN_COLUMNS} FROM sync_runs r WHERE tenant_id = current_setting('app.tenant')`;

const UNPARK = `
UPDATE sync_links SET state = CASE WHEN state = 'parked' THEN 'active' ELSE state END,
  guard = NULL, conflicts_accepted = greatest(conflicts_accepted, $2), updated_at = now()
WHERE tenant_id = current_setting('app.tenant') AND id = $1`;

const LOCK_PLAN = `
SELECT r.*, l.epoch AS link_epoch FROM sync_runs r
JOIN sync_links l ON l.tenant_id = r.tenant_id AND l.id = r.link_id
WHERE r.tenant_id = current_setting('app.tenant') AND r.id = $1 FOR UPDATE`;

type PlanRow = RunRow & { link_epoch: number };

const SELECT_WAITING = `
SELECT * FROM sync_runs WHERE tenant_id = current_setting('app.tenant') AND link_id = $1
  AND status = 'running' AND mode = $2 AND (NOT begun OR mode = 'undo')
  AND undoes IS NOT DISTINCT FROM $3 LIMIT 1`;

const INSERT_RUN = `
INSERT INTO sync_runs (tenant_id, id, link_id, status, trigger, epoch, mode, undoes)
VALUES (current_setting('app.tenant'), $1, $2, 'running', $3, $4, $5, $6) RETURNING *`;

const LIST_RUNS = `
SELECT ${RUN_COLUMNS} FROM sync_runs r
WHERE tenant_id = current_setting('app.tenant') AND link_id = $1
  AND ($2::timestamptz IS NULL OR date_trunc('milliseconds', started_at) < $2
    OR (date_trunc('milliseconds', started_at) = $2 AND id > $3::uuid))
ORDER BY date_trunc('milliseconds', started_at) DESC, id LIMIT $4`;

const APPROVE_RUN = `
UPDATE sync_runs SET status = 'running', approved_at = now(), approved_by = $2, guard = NULL, error = NULL, ended_at = NULL
WHERE tenant_id = current_setting('app.tenant') AND id = $1`;

async function findRun(tx: Transaction, id: RunId): Promise<RunRow | null> {
  const [row] = isUuid(id) ? await tx.query<RunRow>(`${SELECT_RUN} AND id = $1`, [id]) : [];
  return row ?? null;
}

async function selectRun(tx: Transaction, id: RunId): Promise<RunRow> {
  const row = await findRun(tx, id);
  if (!row) throw new AppError('RUN_NOT_FOUND', `there is no run ${id}`);
  return row;
}

/** Whether a run is, or was, a plan: a dry run, or one that a guard parked. */
function hasPlan(run: RunRow): boolean {
  return run.mode === 'plan' || run.status === 'parked' || run.approved_at !== null;
}

function requireApprovable(row: PlanRow | undefined, nowMs: number): asserts row is PlanRow {
  if (!row) throw new AppError('PLAN_NOT_FOUND', 'there is no such plan');
  // One that failed (the remote was out, say) still has the ops it did not come to.
  const isToBeRetried = row.approved_at !== null && row.status === 'failed';
  if (row.approved_at && !isToBeRetried)
    throw new AppError('PLAN_ALREADY_EXECUTED', 'the plan was approved before');
  if (row.status !== 'parked' && row.status !== 'planned' && !isToBeRetried)
    throw new AppError('PLAN_NOT_FOUND', 'that run has no plan that waits for approval');
  const untilMs = row.expires_at?.getTime() ?? row.started_at.getTime() + PLAN_LIFE_MS;
  if (nowMs > untilMs) {
    throw new AppError('PLAN_EXPIRED', `the plan expired at ${new Date(untilMs).toISOString()}`);
  }
  // A new epoch promised to delete nothing before its baseline; an older plan may not break that.
  if (row.epoch !== row.link_epoch) {
    throw new AppError('PLAN_EXPIRED', 'the link was changed or reset since the plan was made');
  }
}

/** A plan parked for its conflicts has them let through by the next run, too. */
function acceptedConflicts({ guard, counters }: RunRow): number {
  return guard?.code === 'CONFLICT_BUDGET' ? (counters.conflicts ?? 0) : 0;
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
    mode: row.mode,
    undoes: row.undoes,
    expiresAt: row.expires_at?.toISOString() ?? null,
    dropped: row.dropped ?? [],
    startedAt: row.started_at.toISOString(),
    approvedAt: row.approved_at?.toISOString() ?? null,
    endedAt: row.ended_at?.toISOString() ?? null,
    tookMs: tookMs(row),
  };
}

/** A plan that was approved worked from then on; how long it waited for that is nobody's work. */
function tookMs({ started_at: startedAt, approved_at: approvedAt, ended_at: endedAt }: RunRow) {
  return endedAt === null
    ? null
    : Math.max(0, endedAt.getTime() - (approvedAt ?? startedAt).getTime());
}
