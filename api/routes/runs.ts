/** Runs and plans. */
import type { RunId, TenantId } from '../../domain/ids.ts';
import type { Run } from '../../domain/link.ts';
import type { LinkStore, RunStore } from '../../store/contract.ts';
import { SYNC_CALLS } from '../contract.ts';
import type { ApiDeps } from '../ports.ts';
import { route, type Answer, type Route } from './route.ts';

interface RunDeps {
  readonly links: LinkStore;
  readonly runs: RunStore;
  readonly temporalUrl: ApiDeps['temporalUrl'];
}

const DEFAULT_REASON = 'asked for';

/** Start, list, show, ops, approve. */
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
      const items = page.items.map((run) => shown(deps, caller.tenant, run));
      return { status: 200, body: { items, nextCursor: page.nextCursor } };
    }),
    route(SYNC_CALLS.getRun, async ({ params, caller }) => {
      const run = await deps.runs.get(caller, asRunId(params.id));
      return { status: 200, body: shown(deps, caller.tenant, run) };
    }),
    route(SYNC_CALLS.runOps, async ({ params, query, caller }) => {
      const items = await deps.runs.ops(caller, asRunId(params.id), query.limit);
      return { status: 200, body: { items, nextCursor: null } };
    }),
    route(SYNC_CALLS.approvePlan, async ({ params, caller }) => {
      const run = await deps.runs.approve(caller, asRunId(params.id));
      return started(deps, caller.tenant, run);
    }),
  ];
}

/** Id of a link's workflow (03-sync: one per link). */
const workflowIdOf = (tenant: TenantId, run: Run): string => `sync/${tenant}/${run.linkId}`;

function started(deps: RunDeps, tenant: TenantId, run: Run): Answer {
  const workflowId = workflowIdOf(tenant, run);
  const body = { runId: run.id, workflowId, temporalUrl: deps.temporalUrl(workflowId) };
  return { status: 202, body, headers: { Location: `/api/sync/runs/${run.id}` } };
}

function shown(deps: RunDeps, tenant: TenantId, run: Run): object {
  return { ...run, temporalUrl: deps.temporalUrl(workflowIdOf(tenant, run)) };
}

const asRunId = (id: string): RunId => id as RunId;
