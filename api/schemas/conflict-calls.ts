/** The calls about conflicts, and waiting for a write. */
import { defineCall } from '../call.ts';
import * as s from './conflicts.ts';
import { idParams } from './sync.ts';

export const CONFLICT_CALLS = {
  listConflicts: defineCall({
    id: 'listConflicts',
    method: 'get',
    path: '/api/sync/conflicts',
    group: 'Conflicts',
    summary: 'Conflicts',
    scope: 'read',
    orScope: 'sync',
    query: s.conflictsQuery,
    answers: { 200: { description: 'A page of conflicts.', schema: s.conflictPageSchema } },
    errors: ['VALIDATION', 'LINK_NOT_FOUND', 'INVALID_CURSOR'],
    example: { path: '/api/sync/conflicts?status=open' },
  }),
  // Before the calls with an id in their path: `resolve` must not be taken for one.
  resolveConflicts: defineCall({
    id: 'resolveConflicts',
    method: 'post',
    path: '/api/sync/conflicts/resolve',
    group: 'Conflicts',
    summary: 'Decide many conflicts of a link at once',
    description:
      'Each in a transaction of its own, with a result per conflict: what cannot be resolved is listed with the reason and holds up no other. With `preview`, shows per conflict what both sides hold before and after, and changes nothing. Go on with `cursor` until `nextCursor` is null.',
    scope: 'sync',
    body: s.bulkResolveSchema,
    answers: { 200: { description: 'A page of results.', schema: s.bulkResultSchema } },
    errors: ['VALIDATION', 'INVALID_KEY', 'LINK_NOT_FOUND', 'INVALID_CURSOR'],
    example: {
      body: { linkId: 'my-project', filter: { prefix: 'proj/' }, choice: 'hub', preview: true },
    },
  }),
  getConflict: defineCall({
    id: 'getConflict',
    method: 'get',
    path: '/api/sync/conflicts/{id}',
    group: 'Conflicts',
    summary: 'One conflict, with all its values',
    scope: 'read',
    orScope: 'sync',
    params: idParams,
    answers: { 200: { description: 'The conflict.', schema: s.conflictSchema } },
    errors: ['VALIDATION', 'CONFLICT_NOT_FOUND'],
    example: { path: '/api/sync/conflicts/CONFLICT' },
  }),
  resolveConflict: defineCall({
    id: 'resolveConflict',
    method: 'post',
    path: '/api/sync/conflicts/{id}/resolve',
    group: 'Conflicts',
    summary: 'Decide a conflict',
    description:
      'Written to both sides as an ordinary version; the other values stay in the history. If a side changed since, nothing is written and the answer is CONFLICT_MOVED with the conflict as it is now in the member `conflict`.',
    scope: 'sync',
    params: idParams,
    body: s.resolveSchema,
    takesData: true,
    answers: { 200: { description: 'The conflict as it is now.', schema: s.conflictSchema } },
    errors: ['VALIDATION', 'CONFLICT_NOT_FOUND', 'CONFLICT_MOVED', 'TOO_DEEP', 'CONTEXT_TOO_LARGE'],
    example: { path: '/api/sync/conflicts/CONFLICT/resolve', body: { choice: 'merged' } },
  }),
  waitForWrite: defineCall({
    id: 'waitForWrite',
    method: 'post',
    path: '/api/sync/wait',
    group: 'Runs',
    summary: 'Wait for exactly this write',
    description:
      'Answers as soon as it is known what became of a version of a context on a link, or `timeout` after `timeoutMs` (at most 30 s; 0 only looks). It waits; it starts no run.',
    scope: 'read',
    orScope: 'sync',
    body: s.waitSchema,
    answers: { 200: { description: 'What became of it.', schema: s.waitedSchema } },
    errors: [
      'VALIDATION',
      'INVALID_KEY',
      'LINK_NOT_FOUND',
      'CONTEXT_NOT_FOUND',
      'VERSION_NOT_FOUND',
    ],
    example: { body: { key: 'proj/alice', version: 3, linkId: 'my-project', timeoutMs: 5000 } },
  }),
} as const;
