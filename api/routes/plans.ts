/** Plans: dry runs, what a parked run would do, approval, undo. */
import type { Response } from 'express';
import type { Clock } from '../../domain/clock.ts';
import type { Caller } from '../../domain/context.ts';
import { AppError, isErrorCode } from '../../domain/errors.ts';
import type { RunId } from '../../domain/ids.ts';
import { diffJson } from '../../domain/json-patch.ts';
import type { Run } from '../../domain/link.ts';
import type { LinkStore, RunOp, RunStore } from '../../store/contract.ts';
import { SYNC_CALLS } from '../contract.ts';
import { longPoll } from '../long-poll.ts';
import { DEFAULT_OPS } from '../schemas/plans.ts';
import type { ApiDeps } from '../ports.ts';
import { route, type Answer, type Route } from './route.ts';
import { started, type RunAnswerDeps } from './run-answers.ts';

export interface PlanDeps extends RunAnswerDeps {
  readonly links: LinkStore;
  readonly runs: RunStore;
  readonly clock: Clock;
  readonly waitForSettling: ApiDeps['waitForSettling'];
}

/** A caller waits no longer than this for its dry run. */
const MAX_WAIT_MS = 30_000;
const FIRST_OPS = { limit: DEFAULT_OPS } as const;
/** Above so many characters of JSON a side is not compared: it is not for people to read. */
const MAX_DIFF_CHARS = 64 * 1024;
const DRY_REASON = 'dry run';

/** Make, show, approve, undo. */
export function planRoutes(deps: PlanDeps): readonly Route[] {
  return [
    route(SYNC_CALLS.makePlan, async ({ params, body, caller, res }) => {
      const link = await deps.links.get(caller, params.id);
      const { id } = await deps.runs.requestPlan(caller, link.id, body.reason ?? DRY_REASON);
      const headers = { Location: `/api/sync/plans/${id}` };
      const run = await ended(deps, { caller, id, res });
      if (!run) return { status: 202, body: { planId: id }, headers };
      if (run.error) throw faultOf(run.error);
      return { status: 201, body: await shown(deps, caller, { id, ...FIRST_OPS }), headers };
    }),
    route(SYNC_CALLS.getPlan, async ({ params, query, caller }) => {
      const { limit, cursor, diff } = query;
      const wanted = { id: params.id as RunId, limit, cursor, withDiff: diff === 'true' };
      return { status: 200, body: await shown(deps, caller, wanted) };
    }),
    route(SYNC_CALLS.approvePlan, async ({ params, caller }) => {
      const run = await deps.runs.approve(caller, params.id as RunId);
      return started(deps, caller.tenant, run);
    }),
    route(SYNC_CALLS.undoRun, async ({ params, body, caller }): Promise<Answer> => {
      const id = params.id as RunId;
      const run = await deps.runs.requestUndo(caller, id, body.reason ?? `undo of ${id}`);
      return started(deps, caller.tenant, run);
    }),
  ];
}

/** The dry run once it has ended; null when that takes too long. */
async function ended(
  { runs, clock, waitForSettling }: PlanDeps,
  { caller, id, res }: { caller: Caller; id: RunId; res: Response },
): Promise<Run | null> {
  const look = async (): Promise<Run | null> => {
    const run = await runs.get(caller, id);
    return run.status === 'running' ? null : run;
  };
  const first = await look();
  if (first) return first;
  const untilMs = clock.now() + MAX_WAIT_MS;
  return longPoll({ clock, res, tenant: caller.tenant, untilMs, wait: waitForSettling, look });
}

function faultOf({ code, detail }: NonNullable<Run['error']>): AppError {
  return new AppError(isErrorCode(code) ? code : 'INTERNAL', detail);
}

interface WantedPlan {
  readonly id: RunId;
  readonly limit: number;
  readonly cursor?: string | undefined;
  readonly withDiff?: boolean;
}

async function shown({ runs }: PlanDeps, caller: Caller, wanted: WantedPlan): Promise<object> {
  const { run, decisions } = await runs.plan(caller, wanted.id);
  const { items, nextCursor } = await runs.ops(caller, wanted.id, wanted);
  return {
    planId: run.id,
    linkId: run.linkId,
    status: run.status,
    ops: wanted.withDiff ? items.map(withDiff) : items,
    nextCursor,
    opCount: run.counters.planned,
    decisions,
    guards: run.guard ? [run.guard] : [],
    expiresAt: run.expiresAt,
  };
}

/** An op with what it changes, where that is short enough to be read; an absent side is null. */
export function withDiff(op: RunOp): object {
  const isLarge = [op.before, op.after].some(
    (side) => JSON.stringify(side).length > MAX_DIFF_CHARS,
  );
  if (op.isCut || isLarge) return op;
  return { ...op, diff: diffJson(op.before, op.after) };
}
