/** Runs. */
import type { RunId } from '../../domain/ids.ts';
import type { LinkStore, RunStore } from '../../store/contract.ts';
import { SYNC_CALLS } from '../contract.ts';
import { withDiff } from './plans.ts';
import { route, type Route } from './route.ts';
import { shownRun, started, type RunAnswerDeps } from './run-answers.ts';

interface RunDeps extends RunAnswerDeps {
  readonly links: LinkStore;
  readonly runs: RunStore;
}

const DEFAULT_REASON = 'asked for';

/** Start, list, show, ops. */
export function runRoutes(deps: RunDeps): readonly Route[] {
  return [
    route(SYNC_CALLS.startRun, async ({ params, body, caller }) => {
      const link = await deps.links.get(caller, params.id);
      const run = await deps.runs.request(caller, link.id, body.reason ?? DEFAULT_REASON);
      return started(deps, caller.tenant, run);
    }),
    route(SYNC_CALLS.listRuns, async ({ params, query, caller }) => {
      const link = await deps.links.get(caller, params.id);
      const page = await deps.runs.list(caller, { linkId: link.id, ...query });
      const items = page.items.map((run) => shownRun(deps, caller.tenant, run));
      return { status: 200, body: { items, nextCursor: page.nextCursor } };
    }),
    route(SYNC_CALLS.getRun, async ({ params, caller }) => {
      const run = await deps.runs.get(caller, asRunId(params.id));
      return { status: 200, body: shownRun(deps, caller.tenant, run) };
    }),
    route(SYNC_CALLS.runOps, async ({ params, query, caller }) => {
      const { diff, ...page } = query;
      const { items, nextCursor } = await deps.runs.ops(caller, asRunId(params.id), page);
      const shown = diff === 'true' ? items.map(withDiff) : items;
      return { status: 200, body: { items: shown, nextCursor } };
    }),
  ];
}

const asRunId = (id: string): RunId => id as RunId;
