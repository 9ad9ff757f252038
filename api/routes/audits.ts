/** Audits: asked for here, followed as runs. */
import type { AuditStore, LinkStore, RunStore } from '../../store/contract.ts';
import { SYNC_CALLS } from '../contract.ts';
import { route, type Route } from './route.ts';
import { started, type RunAnswerDeps } from './run-answers.ts';

interface AuditDeps extends RunAnswerDeps {
  readonly links: LinkStore;
  readonly runs: RunStore;
  readonly audits: AuditStore;
}

export function auditRoutes(deps: AuditDeps): readonly Route[] {
  return [
    route(SYNC_CALLS.startAudit, async ({ params, caller }) => {
      const link = await deps.links.get(caller, params.id);
      const runId = await deps.audits.request(caller, link.id);
      return started(deps, caller.tenant, await deps.runs.get(caller, runId));
    }),
  ];
}
