/** `GET /analytics`: every number counted by hand. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContextClient } from '../../client/index.ts';
import { callApi } from '../support/api-under-test.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

let api: RealApi;
let client: ContextClient;
beforeAll(async () => {
  api = await startRealApi();
  client = new ContextClient({ url: api.url });
});
afterAll(async () => {
  client.close();
  await api.stop();
});

const NOTHING = { create: 0, update: 0, merge: 0, append: 0, rollback: 0, delete: 0 };

describe('analytics', () => {
  it('of nothing are zeros', async () => {
    expect(await client.analytics()).toEqual({
      contexts: 0,
      versions: 0,
      bytes: 0,
      sessions: 0,
      agents: 0,
      operations: NOTHING,
      cache: { enabled: false, hits: 0, misses: 0, hitRatio: 0 },
      topKeys: [],
      activity: [],
    });
  });

  it('count what is there, what was done, by whom and when', async () => {
    await client.store('a', { x: 1 }, { sessionId: 's1', agentId: 'g1', ttl: null });
    await client.update('a', { y: 2 }, { changeType: 'merge' });
    await client.update('a', { z: [1] }, { changeType: 'append' });
    await client.rollback('a', 1);
    await client.store('b', 'text', { sessionId: 's1', ttl: null });
    await client.store('c', 'text', { sessionId: 's2', agentId: 'g1', ttl: null });
    await client.delete('c');
    await client.store('d', 'gone soon', { sessionId: 's3', ttl: 3600 });
    api.clock.offsetMs += 86_400_000;
    await client.update('b', 'later');
    const all = await client.analytics();
    expect(all).toMatchObject({
      contexts: 2,
      versions: 9,
      bytes: '{"x":1}'.length + '"later"'.length,
      sessions: 1,
      agents: 1,
      operations: { create: 4, update: 1, merge: 1, append: 1, rollback: 1, delete: 1 },
    });
    expect(all.topKeys.map(({ key, version }) => [key, version])).toEqual([
      ['a', 4],
      ['b', 2],
    ]);
    expect(all.activity.map(({ operations }) => operations)).toEqual([8, 1]);
    const today = new Date(Date.now() + api.clock.offsetMs).toISOString().slice(0, 10);
    expect(all.activity.at(-1)?.day).toBe(today);

    expect(await client.analytics({ sessionId: 's1' })).toMatchObject({ contexts: 2, versions: 6 });
    const ofAgent = await client.analytics({ agentId: 'g1' });
    expect(ofAgent).toMatchObject({ contexts: 1, versions: 6 });
    expect(ofAgent.operations).toEqual({
      create: 2,
      update: 0,
      merge: 1,
      append: 1,
      rollback: 1,
      delete: 1,
    });
    const both = await client.analytics({ sessionId: 's2', agentId: 'g1' });
    expect(both).toMatchObject({ contexts: 0, versions: 2, topKeys: [] });
  });

  it('leave out days longer ago than thirty', async () => {
    api.clock.offsetMs += 40 * 86_400_000;
    const { activity, operations } = await client.analytics();
    expect([activity, operations.create]).toEqual([[], 4]);
  });

  it.each(['sessionId=', 'session=s', 'agentId=a&agentId=b'])(
    'refuse the query %s',
    async (query) => {
      const answer = await callApi(api.url, `GET /api/context/analytics?${query}`);
      expect([answer.status, answer.body['code']]).toEqual([400, 'VALIDATION']);
    },
  );
});
