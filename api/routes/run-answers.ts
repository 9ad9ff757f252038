/** How a run is answered: by name, with its workflow. */
import type { TenantId } from '../../domain/ids.ts';
import type { Run } from '../../domain/link.ts';
import type { ApiDeps } from '../ports.ts';
import type { Answer } from './route.ts';

export interface RunAnswerDeps {
  readonly temporalUrl: ApiDeps['temporalUrl'];
}

/** Id of a link's workflow (03-sync: one per link). */
const workflowIdOf = (tenant: TenantId, run: Run): string => `sync/${tenant}/${run.linkId}`;

/** The answer to a run that was asked for. */
export function started(deps: RunAnswerDeps, tenant: TenantId, run: Run): Answer {
  const workflowId = workflowIdOf(tenant, run);
  const body = { runId: run.id, workflowId, temporalUrl: deps.temporalUrl(workflowId) };
  return { status: 202, body, headers: { Location: `/api/sync/runs/${run.id}` } };
}

/** A run with where an operator sees its workflow. */
export function shownRun(deps: RunAnswerDeps, tenant: TenantId, run: Run): object {
  return { ...run, temporalUrl: deps.temporalUrl(workflowIdOf(tenant, run)) };
}
