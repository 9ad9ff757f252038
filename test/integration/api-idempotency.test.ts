import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ContextStore } from '../../store/contract.ts';
import {
  callApi,
  startTestApi,
  testApiDeps,
  type TestAnswer,
  type TestRequest,
} from '../support/api-under-test.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

let api: RealApi;
beforeAll(async () => {
  api = await startRealApi();
});
afterAll(() => api.stop());

const call = (target: string, request?: TestRequest, url = api.url): Promise<TestAnswer> =>
  callApi(url, target, request);
const keyed = (key: string): { headers: Record<string, string> } => ({
  headers: { 'idempotency-key': key },
});
const STORE = 'POST /api/context/store';
const versionsOf = async (key: string): Promise<unknown[]> =>
  (await call(`GET /api/context/versions/${encodeURIComponent(key)}`)).body['items'] as unknown[];

describe('an Idempotency-Key', () => {
  it('gives the first answer again, whole, and does the work once', async () => {
    const request = { ...keyed('a'), body: { key: 'i/a', data: { x: -0 } } };
    const [first, again] = [await call(STORE, request), await call(STORE, request)];
    expect(first.status).toBe(201);
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again).toMatchObject({ status: 201, text: first.text });
    for (const name of ['etag', 'location', 'content-type']) {
      expect(again.headers.get(name)).toBe(first.headers.get(name));
    }
    expect(await versionsOf('i/a')).toHaveLength(1);
  });

  it('knows the same request by its content, not by its spelling', async () => {
    const first = { ...keyed('b'), body: '{"key":"i/b","data":{"x":1,"y":2}}' };
    const respelled = { ...keyed('b'), body: '{ "data": {"y":2,"x":1}, "key": "i\\u002fb" }' };
    await call(STORE, first);
    const again = await call(STORE, respelled);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
  });

  it.each([
    ['body', STORE, { body: { key: 'i/c', data: 2 } }],
    ['precondition', STORE, { body: { key: 'i/c', data: 1 }, headers: { 'if-match': '"9"' } }],
  ] as const)('is refused for another %s', async (_what, target, other) => {
    await call(STORE, { ...keyed('c'), body: { key: 'i/c', data: 1 } });
    const headers = { ...keyed('c').headers, ...('headers' in other ? other.headers : {}) };
    const answer = await call(target, { ...other, headers });
    expect(answer).toMatchObject({ status: 409, body: { code: 'IDEMPOTENCY_MISMATCH' } });
    expect(answer.headers.get('idempotency-replayed')).toBeNull();
  });

  it('is another key on another path or with another method', async () => {
    const body = { data: { x: 1 } };
    await call(STORE, { body: { key: 'i/d', data: 0 } });
    await call(STORE, { body: { key: 'i/e', data: 0 } });
    const put = { ...keyed('d'), body };
    expect((await call('PUT /api/context/update/i%2Fd', put)).status).toBe(200);
    expect((await call('PUT /api/context/update/i%2Fe', put)).body['version']).toBe(2);
    const gone = await call('DELETE /api/context/delete/i%2Fe', keyed('d'));
    expect(gone).toMatchObject({ status: 200, body: { deleted: true } });
    const again = await call('DELETE /api/context/delete/i%2Fe', keyed('d'));
    expect(again).toMatchObject({ status: 200, text: gone.text });
    expect(again.headers.get('idempotency-replayed')).toBe('true');
  });

  it('remembers a 409, with its problem', async () => {
    const body = { key: 'i/f', data: 1, options: { ifVersion: 3 } };
    const first = await call(STORE, { ...keyed('f'), body });
    expect(first).toMatchObject({ status: 409, body: { code: 'VERSION_CONFLICT' } });
    await call(STORE, { body: { key: 'i/f', data: 1 } });
    const again = await call(STORE, { ...keyed('f'), body });
    expect(again).toMatchObject({ status: 409, text: first.text });
    for (const each of [first, again])
      expect(each.headers.get('content-type')).toBe('application/problem+json');
    expect(again.headers.get('idempotency-replayed')).toBe('true');
  });

  it('does not remember other refusals', async () => {
    const target = 'PUT /api/context/update/i%2Fg';
    const request = { ...keyed('g'), body: { data: 1 } };
    expect((await call(target, request)).status).toBe(404);
    await call(STORE, { body: { key: 'i/g', data: 0 } });
    expect((await call(target, request)).status).toBe(200);
    const condition = { 'if-match': '"99"', 'idempotency-key': 'g2' };
    const failed = await call(target, { body: { data: 2 }, headers: condition });
    expect(failed.status).toBe(412);
    const retried = await call(target, { body: { data: 2 }, headers: condition });
    expect(retried.headers.get('idempotency-replayed')).toBeNull();
  });

  it.each([
    ['empty', ''],
    ['too long', 'x'.repeat(256)],
  ])('that is %s is refused', async (_what, key) => {
    const answer = await call(STORE, { ...keyed(key), body: { key: 'i/h', data: 1 } });
    expect(answer).toMatchObject({ status: 400, body: { code: 'VALIDATION' } });
    expect((await call('GET /api/context/get/i%2Fh')).status).toBe(404);
  });

  it('of 255 characters is taken, and a read does not care', async () => {
    const key = keyed('y'.repeat(255));
    expect((await call(STORE, { ...key, body: { key: 'i/j', data: 1 } })).status).toBe(201);
    const read = await call('GET /api/context/get/i%2Fj', key);
    expect(read.headers.get('idempotency-replayed')).toBeNull();
  });

  it('works for links too', async () => {
    const body = {
      name: 'once',
      connector: 'files',
      config: { root: '/allowed' },
      scope: { prefix: 'p/' },
    };
    const first = await call('POST /api/sync/links', { ...keyed('link'), body });
    expect(first.status).toBe(201);
    const again = await call('POST /api/sync/links', { ...keyed('link'), body });
    expect(again).toMatchObject({ status: 201, text: first.text });
    expect(again.headers.get('idempotency-replayed')).toBe('true');
  });

  it('is forgotten after a day', async () => {
    const request = { ...keyed('day'), body: { key: 'i/k', data: 1 } };
    await call(STORE, request);
    api.clock.offsetMs = 24 * 3600 * 1000 + 1000;
    const later = await call(STORE, request);
    api.clock.offsetMs = 0;
    expect(later.headers.get('idempotency-replayed')).toBeNull();
  });
});

describe('twins of a request', () => {
  /** An API whose writes wait until they are let go. */
  async function slowApi() {
    let letGo: () => void = () => undefined;
    let hasBegun = false;
    const gate = new Promise<void>((resolve) => (letGo = resolve));
    const contexts: ContextStore = {
      ...api.store.contexts,
      async store(caller, write) {
        hasBegun = true;
        await gate;
        return api.store.contexts.store(caller, write);
      },
    };
    const server = await startTestApi(testApiDeps({ ...api.store, contexts }));
    return { server, letGo, hasBegun: () => hasBegun };
  }

  it('wait for the first one and get its answer', async () => {
    const { server, letGo, hasBegun } = await slowApi();
    const request = { ...keyed('twin'), body: { key: 'i/twin', data: 1 } };
    const first = call(STORE, request, server.url);
    await vi.waitFor(() => expect(hasBegun()).toBe(true));
    const twins = [1, 2, 3].map(() => call(STORE, request, server.url));
    letGo();
    const answers = await Promise.all([first, ...twins]);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers.map(({ headers }) => headers.get('idempotency-replayed'))).toEqual([
      null,
      'true',
      'true',
      'true',
    ]);
    expect(await versionsOf('i/twin')).toHaveLength(1);
    await server.stop(1000);
  });

  it('are told after ten seconds that it is still running', { timeout: 20_000 }, async () => {
    const { server, letGo, hasBegun } = await slowApi();
    const request = { ...keyed('slow'), body: { key: 'i/slow', data: 1 } };
    const first = call(STORE, request, server.url);
    await vi.waitFor(() => expect(hasBegun()).toBe(true));
    const begun = performance.now();
    const twin = await call(STORE, request, server.url);
    expect(performance.now() - begun).toBeGreaterThan(9_500);
    expect(twin).toMatchObject({ status: 409, body: { code: 'IDEMPOTENCY_IN_PROGRESS' } });
    letGo();
    expect((await first).status).toBe(201);
    expect(await call(STORE, request, server.url)).toMatchObject({ status: 201 });
    await server.stop(1000);
  });
});
