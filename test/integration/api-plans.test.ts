/** Plans and undo over REST and the client, with a real store; a pass stands in for the workflow. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callApi } from '../support/api-under-test.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

let api: RealApi;
beforeAll(async () => {
  api = await startRealApi();
  const link = {
    name: 'plans',
    connector: 'files',
    config: { root: '/allowed/a' },
    scope: { prefix: 'p/' },
  };
  expect((await callApi(api.url, 'POST /api/sync/links', { body: link })).status).toBe(201);
});
afterAll(() => api.stop());

const UNKNOWN = '00000000-0000-7000-8000-000000000000';

describe('bad input to the calls about plans', () => {
  it.each([
    ['POST /api/sync/links/nope/plans', {}, 404, 'LINK_NOT_FOUND'],
    ['POST /api/sync/links/plans/plans', { force: true }, 400, 'VALIDATION'],
    ['POST /api/sync/links/plans/plans', { reason: '' }, 400, 'VALIDATION'],
    ['POST /api/sync/links/plans/plans', { reason: 'x'.repeat(257) }, 400, 'VALIDATION'],
    ['POST /api/sync/links/plans/plans?wait=1', {}, 400, 'VALIDATION'],
    ['POST /api/sync/links/plans/plans', [], 400, 'VALIDATION'],
    ['POST /api/sync/runs/nope/undo', {}, 404, 'RUN_NOT_FOUND'],
    [`POST /api/sync/runs/${UNKNOWN}/undo`, {}, 404, 'RUN_NOT_FOUND'],
    [`POST /api/sync/runs/${UNKNOWN}/undo`, { force: true }, 400, 'VALIDATION'],
    [`POST /api/sync/runs/${UNKNOWN}/undo`, { reason: 7 }, 400, 'VALIDATION'],
    [`POST /api/sync/plans/${UNKNOWN}/approve`, undefined, 404, 'PLAN_NOT_FOUND'],
    [`POST /api/sync/plans/${UNKNOWN}/approve`, { ops: [] }, 400, 'VALIDATION'],
    ['GET /api/sync/plans/nope', undefined, 404, 'PLAN_NOT_FOUND'],
    [`GET /api/sync/plans/${UNKNOWN}`, undefined, 404, 'PLAN_NOT_FOUND'],
    [`GET /api/sync/plans/${UNKNOWN}?limit=0`, undefined, 400, 'VALIDATION'],
    [`GET /api/sync/plans/${UNKNOWN}?limit=1001`, undefined, 400, 'VALIDATION'],
    [`GET /api/sync/plans/${UNKNOWN}?diff=yes`, undefined, 400, 'VALIDATION'],
    [`GET /api/sync/plans/${UNKNOWN}?foo=1`, undefined, 400, 'VALIDATION'],
    [`GET /api/sync/runs/${UNKNOWN}/ops?diff=1`, undefined, 400, 'VALIDATION'],
  ])('%s with %j answers %i %s', async (target, body, status, code) => {
    const answer = await callApi(api.url, target, body === undefined ? {} : { body });
    expect([answer.status, answer.body['code']]).toEqual([status, code]);
  });

  it('leaves no run behind', async () => {
    const { body } = await callApi(api.url, 'GET /api/sync/links/plans/runs');
    expect(body['items']).toEqual([]);
  });

  it.each([
    { maxOverwritePercent: 101 },
    { maxOverwriteCount: -1 },
    { maxConflictPercent: '50' },
    { maxConflictCount: 1.5 },
    { maxRenames: 1 },
  ])('refuses the guards %j whole', async (guards) => {
    const before = await callApi(api.url, 'GET /api/sync/links/plans');
    const patch = { guards: { maxDeleteCount: 3, ...guards } };
    const answer = await callApi(api.url, 'PATCH /api/sync/links/plans', { body: patch });
    expect([answer.status, answer.body['code']]).toEqual([400, 'VALIDATION']);
    expect((await callApi(api.url, 'GET /api/sync/links/plans')).body).toEqual(before.body);
  });
});

describe('a run that waits', () => {
  it('is no plan, cannot be approved and cannot be undone', async () => {
    const started = await callApi(api.url, 'POST /api/sync/links/plans/runs', { body: {} });
    const id = String(started.body['runId']);
    for (const [target, status, code] of [
      [`GET /api/sync/plans/${id}`, 404, 'PLAN_NOT_FOUND'],
      [`POST /api/sync/plans/${id}/approve`, 404, 'PLAN_NOT_FOUND'],
      [`POST /api/sync/runs/${id}/undo`, 409, 'RUN_NOT_FINISHED'],
      [`GET /api/sync/runs/${id}/ops?cursor=x`, 400, 'INVALID_CURSOR'],
    ] as const) {
      const answer = await callApi(api.url, target);
      expect([target, answer.status, answer.body['code']]).toEqual([target, status, code]);
    }
    const { body } = await callApi(api.url, `GET /api/sync/runs/${id}`);
    expect(body).toMatchObject({ mode: 'look', undoes: null, expiresAt: null, dropped: [] });
  });
});
