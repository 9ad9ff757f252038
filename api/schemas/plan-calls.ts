/** The calls about plans and undo. */
import { defineCall } from '../call.ts';
import * as p from './plans.ts';
import * as s from './sync.ts';

const started = {
  202: { description: 'Accepted; it runs in a workflow.', schema: s.startedRunSchema },
};

export const PLAN_CALLS = {
  makePlan: defineCall({
    id: 'makePlan',
    method: 'post',
    path: '/api/sync/links/{id}/plans',
    group: 'Runs',
    summary: 'Make a plan without writing anything',
    description:
      'A dry run: looks at both sides and stores what a run would do, op for op. Works on a paused or parked link. Answers 202 if it takes longer than 30 seconds: fetch the plan then.',
    scope: 'sync',
    params: s.idParams,
    body: p.reasonBodySchema,
    bodyIs: 'optional',
    answers: {
      201: { description: 'The plan.', schema: p.planSchema },
      202: { description: 'It is still being made.', schema: p.pendingPlanSchema },
    },
    errors: ['VALIDATION', 'LINK_NOT_FOUND', 'CONNECTOR_UNREACHABLE', 'SCAN_INCOMPLETE'],
    example: { path: '/api/sync/links/my-project/plans' },
  }),
  getPlan: defineCall({
    id: 'getPlan',
    method: 'get',
    path: '/api/sync/plans/{id}',
    group: 'Runs',
    summary: 'One plan',
    description: 'Of a dry run, or of a run that a guard parked.',
    scope: 'read',
    orScope: 'sync',
    params: s.idParams,
    query: p.opsQuery,
    answers: { 200: { description: 'The plan.', schema: p.planSchema } },
    errors: ['VALIDATION', 'PLAN_NOT_FOUND', 'INVALID_CURSOR'],
    example: { path: '/api/sync/plans/PLAN?diff=true' },
  }),
  approvePlan: defineCall({
    id: 'approvePlan',
    method: 'post',
    path: '/api/sync/plans/{id}/approve',
    group: 'Runs',
    summary: 'Execute a plan',
    description:
      'Executes exactly the stored plan of a dry run or of a parked run (`guard.planId`). Every op is checked again; what no longer fits is dropped and listed in the run’s `dropped`.',
    scope: 'sync',
    params: s.idParams,
    answers: started,
    errors: ['VALIDATION', 'PLAN_NOT_FOUND', 'PLAN_ALREADY_EXECUTED', 'PLAN_EXPIRED'],
    example: { path: '/api/sync/plans/PLAN/approve' },
  }),
  undoRun: defineCall({
    id: 'undoRun',
    method: 'post',
    path: '/api/sync/runs/{id}/undo',
    group: 'Runs',
    summary: 'Undo a run',
    description:
      'A new run that puts back what the run wrote, op by op. What no longer holds what the run wrote is left alone and listed in the new run’s `dropped`. The items rest as `held` until a new edit or a reset. An undo can be undone.',
    scope: 'sync',
    params: s.idParams,
    body: p.reasonBodySchema,
    bodyIs: 'optional',
    answers: started,
    errors: ['VALIDATION', 'RUN_NOT_FOUND', 'RUN_NOT_FINISHED'],
    example: { path: '/api/sync/runs/RUN/undo' },
  }),
} as const;
