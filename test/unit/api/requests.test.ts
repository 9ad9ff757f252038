import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pino } from 'pino';
import type { ApiServer } from '../../../api/server.ts';
import { AppError } from '../../../domain/errors.ts';
import {
  callApi,
  startTestApi,
  testApiDeps,
  type TestAnswer,
  type TestRequest,
} from '../../support/api-under-test.ts';
import { createStoreDouble, runRow } from '../../support/store-double.ts';

const store = createStoreDouble();
const logged: string[] = [];
let api: ApiServer;

beforeAll(async () => {
  const log = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) });
  api = await startTestApi(testApiDeps(store, { log }));
});
afterAll(() => api.stop(1000));

const call = (target: string, request?: TestRequest): Promise<TestAnswer> =>
  callApi(api.url, target, request);
const storeText = (body: string): Promise<TestAnswer> => call('POST /api/context/store', { body });
const storeKey = (key: string, data: unknown = 1): Promise<TestAnswer> =>
  call('POST /api/context/store', { body: { key, data } });
const pointers = (answer: TestAnswer): string[] =>
  (answer.body['errors'] as { pointer: string }[]).map((error) => error.pointer);

describe('a body', () => {
  it('may not have unknown fields, at any level', async () => {
    const answer = await storeText('{"key":"a","data":1,"x":1,"options":{"ttl":5,"__proto__":1}}');
    expect(answer.status).toBe(400);
    expect(answer.body['code']).toBe('VALIDATION');
    expect(pointers(answer).toSorted()).toEqual(['/options/__proto__', '/x']);
  });

  it('must have what is required; null data is data', async () => {
    expect(pointers(await storeText('{}'))).toEqual(['/key', '/data']);
    expect((await storeText('{"key":"null-data","data":null}')).status).toBe(201);
  });

  it.each([
    ['{"key":"a","data":', 'INVALID_JSON'],
    [' ', 'INVALID_JSON'],
    ['[]', 'VALIDATION'],
    ['null', 'VALIDATION'],
    ['{"key":"a","data":9007199254740993}', 'NUMBER_PRECISION'],
    ['{"key":"a","data":"\\ud800"}', 'INVALID_JSON'],
    ['{"key":"","data":1}', 'INVALID_KEY'],
    ['{"key":"..","data":1}', 'INVALID_KEY'],
    ['{"key":"a\\u0000","data":1}', 'INVALID_KEY'],
    ['{"key":"a\\u0085","data":1}', 'INVALID_KEY'],
    [`{"key":"${'k'.repeat(513)}","data":1}`, 'INVALID_KEY'],
    ['{"key":"a","data":1,"options":{"encrypt":true}}', 'ENCRYPTION_NOT_CONFIGURED'],
    ['{"key":"a","data":1,"options":{"ttl":0}}', 'VALIDATION'],
    ['{"key":"a","data":1,"options":{"tags":["\\u0000"]}}', 'VALIDATION'],
  ])('%s answers %s', async (body, code) => {
    const answer = await storeText(body);
    expect(answer.status).toBe(400);
    expect(answer.body['code']).toBe(code);
  });

  it('may nest 200 containers in data, not 201', async () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect((await storeText(`{"key":"deep","data":${nested(200)}}`)).status).toBe(201);
    for (const depth of [201, 230, 1_000_000]) {
      const answer = await storeText(`{"key":"deep","data":${nested(depth)}}`);
      expect([answer.status, answer.body['code']]).toEqual([400, 'TOO_DEEP']);
    }
  });

  it('is refused when it is another media type, charset or encoding', async () => {
    const send = (headers: Record<string, string>): Promise<TestAnswer> =>
      call('POST /api/context/store', { body: '{"key":"a","data":1}', headers });
    for (const headers of [
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json; charset=utf-16' },
      { 'content-encoding': 'zstd-not' },
    ]) {
      expect((await send(headers)).status).toBe(415);
    }
    const utf8 = { 'content-type': 'Application/JSON; charset="UTF-8"' };
    expect((await send(utf8)).status).toBe(201);
  });

  it('is refused when it is too large, with the code that fits the call', async () => {
    const large = `{"key":"a","data":"${'x'.repeat(33 * 1024 * 1024)}"}`;
    const context = await storeText(large);
    expect([context.status, context.body['code']]).toEqual([413, 'CONTEXT_TOO_LARGE']);
    const body = `{"name":"${'x'.repeat(2 * 1024 * 1024)}"}`;
    const link = await call('POST /api/sync/links', { body });
    expect([link.status, link.body['code']]).toEqual([413, 'PAYLOAD_TOO_LARGE']);
  });

  it('on a call that takes none must be empty', async () => {
    const answer = await call('DELETE /api/context/delete/a', { body: { force: true } });
    expect(pointers(answer)).toEqual(['/force']);
  });
});

describe('a path and query', () => {
  it('may not have unknown or repeated parameters', async () => {
    expect(pointers(await call('GET /api/context/list?limit=1&foo=1&__proto__=2'))).toEqual([
      '/foo',
      '/__proto__',
    ]);
    expect(pointers(await call('GET /api/context/list?limit=1&limit=2'))).toEqual(['/limit']);
  });

  it.each([
    ['/api/context/list?limit=0', 'VALIDATION'],
    ['/api/context/list?limit=1001', 'VALIDATION'],
    ['/api/context/list?limit=1e2', 'VALIDATION'],
    ['/api/context/list?prefix=%ff', 'VALIDATION'],
    ['/api/context/list?prefix=%00', 'VALIDATION'],
    ['/api/context/list?cursor=', 'INVALID_CURSOR'],
    ['/api/context/changes?wait=31', 'VALIDATION'],
    ['/api/context/get/%ff', 'INVALID_KEY'],
    ['/api/context/get/%00', 'INVALID_KEY'],
    ['/api/context/get/a?version=0', 'VALIDATION'],
    ['/api/context/get/a?version=99999999999', 'VALIDATION'],
    ['/api/sync/links/%00', 'VALIDATION'],
    ['/api/sync/links/%ff', 'VALIDATION'],
  ])('%s answers 400 %s', async (path, code) => {
    const answer = await call(`GET ${path}`);
    expect([answer.status, answer.body['code']]).toEqual([400, code]);
  });

  it('carry any key, slashes and letters of every kind', async () => {
    for (const key of [
      'a/b',
      'ключ',
      '100%',
      'a?b#c',
      '\u{1f600}',
      'é',
      'e\u0301',
      'a b+c',
      '/..',
    ]) {
      await storeKey(key, key);
      const answer = await call(`GET /api/context/get/${encodeURIComponent(key)}`);
      expect([key, answer.body['data']]).toEqual([key, key]);
    }
  });

  it('longer than 8 KiB answer 414', async () => {
    const answer = await call(`GET /api/context/get/${'a'.repeat(9000)}`);
    expect([answer.status, answer.body['status'], answer.body['code']]).toEqual([
      414,
      414,
      'VALIDATION',
    ]);
  });
});

describe('what is not there', () => {
  it('answers 404 for a path, 405 with Allow for a method', async () => {
    expect((await call('GET /api/context/nothing')).body['code']).toBe('NOT_FOUND');
    expect((await call('GET /nothing')).status).toBe(404);
    const answer = await call('PATCH /api/sync/links');
    expect(answer.body['code']).toBe('METHOD_NOT_ALLOWED');
    expect(answer.headers.get('allow')).toBe('POST, GET, HEAD, OPTIONS');
    expect((await call('POST /api/context/docs')).headers.get('allow')).toBe('GET, HEAD, OPTIONS');
    expect((await call('OPTIONS /api/sync/links')).status).toBe(204);
  });
});

describe('pages and documents', () => {
  it.each(['/api/context/docs', '/api/context/openapi.json', '/metrics'])(
    '%s take GET without a query, as the calls do',
    async (path) => {
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
        const refused = await call(`${method} ${path}`);
        expect([refused.status, refused.body['code']]).toEqual([405, 'METHOD_NOT_ALLOWED']);
        expect(refused.headers.get('allow')).toBe('GET, HEAD, OPTIONS');
      }
      const options = await call(`OPTIONS ${path}`);
      expect([options.status, options.headers.get('allow')]).toEqual([204, 'GET, HEAD, OPTIONS']);
      const query = await call(`GET ${path}?x=1`);
      expect(query).toMatchObject({ status: 400, body: { errors: [{ pointer: '/x' }] } });
      expect((await fetch(api.url + path)).status).toBe(200);
    },
  );

  it('the WebSocket says what it is to who comes without an upgrade', async () => {
    const answer = await call('GET /context-ws');
    expect([answer.status, answer.headers.get('upgrade')]).toEqual([426, 'websocket']);
  });
});

describe('a refusal says', () => {
  it('how to write a key with a slash', async () => {
    const cut = await call('GET /api/context/get/proj/notes');
    expect(cut).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
    expect(cut.body['detail']).toContain('%2F');
    expect((await call('GET /api/context/nothing')).body['detail']).not.toContain('%2F');
  });

  it.each([
    ['{"key":"a","data":[1,2', 'ends too early'],
    ['{"key":"a" "data":1}', 'at character 12'],
    ['{"key":"secret","data":}', '"}" is not expected'],
  ])('where JSON is broken, and quotes none of it: %s', async (body, where) => {
    const { status, body: problem } = await call('POST /api/context/store', { body });
    expect([status, problem['code']]).toEqual([400, 'INVALID_JSON']);
    expect(problem['detail']).toContain(where);
    expect(problem['detail']).not.toContain('secret');
  });

  it.each([
    ['GET /api/context/list?prefix=a&prefix=b', undefined, '/prefix', 'must not be repeated'],
    ['POST /api/context/store', { key: 1, data: 1 }, '/key', 'must be a string'],
    ['POST /api/context/store', { data: 1 }, '/key', 'is required'],
    ['POST /api/context/store', [], '', 'must be an object'],
  ])('in plain words what is wrong: %s %j', async (target, body, pointer, detail) => {
    const answer = await call(target, body === undefined ? {} : { body });
    expect(answer.body['errors']).toContainEqual({ pointer, detail });
  });
});

describe('preconditions', () => {
  it('If-Match answers 412, ifVersion 409, both with the current version', async () => {
    await storeKey('pre');
    const put = (headers: Record<string, string>, options?: object): Promise<TestAnswer> =>
      call('PUT /api/context/update/pre', { body: { data: 2, options }, headers });
    const byHeader = await put({ 'if-match': '"9"' });
    expect([byHeader.status, byHeader.body['status'], byHeader.body['code']]).toEqual([
      412,
      412,
      'VERSION_CONFLICT',
    ]);
    expect(byHeader.body['currentVersion']).toBe(1);
    const byOption = await put({}, { ifVersion: 9 });
    expect([byOption.status, byOption.body['currentVersion']]).toEqual([409, 1]);
    expect((await put({ 'if-match': '"1"' })).headers.get('etag')).toBe('"2"');
    expect((await put({ 'if-match': '"7", "2"' })).body['version']).toBe(3);
    expect((await put({ 'if-match': '*' })).body['version']).toBe(4);
    for (const header of ['W/"4"', '"x"', '"7", "8"']) {
      expect([header, (await put({ 'if-match': header })).status]).toEqual([header, 412]);
    }
    expect((await put({ 'if-match': '4' })).status).toBe(400);
    expect((await put({ 'if-match': '"4"' }, { ifVersion: 3 })).status).toBe(400);
  });

  it('If-Match: * and If-None-Match: * speak about being there', async () => {
    const send = (name: string, tag: string): Promise<TestAnswer> =>
      call('POST /api/context/store', {
        body: { key: 'fresh', data: 1 },
        headers: { [name]: tag },
      });
    expect((await send('if-match', '*')).status).toBe(412);
    expect((await send('if-none-match', '*')).status).toBe(201);
    const there = await send('if-none-match', '*');
    expect([there.status, there.body['code'], there.body['currentVersion']]).toEqual([
      412,
      'VERSION_CONFLICT',
      1,
    ]);
    expect((await send('if-match', '*')).status).toBe(200);
  });

  it('If-None-Match refuses a write over the versions it names, weak tags included', async () => {
    await storeKey('none');
    const send = (target: string, headers: Record<string, string>, body?: object) =>
      call(target, { headers, ...(body && { body }) });
    const update = (tag: string) =>
      send('PUT /api/context/update/none', { 'if-none-match': tag }, { data: 2 });
    for (const tag of ['*', '"1"', 'W/"1"', '"7", "1"']) {
      const refused = await update(tag);
      expect([tag, refused.status, refused.body['currentVersion']]).toEqual([tag, 412, 1]);
    }
    expect((await update('"7"')).body['version']).toBe(2);
    expect((await update('"x"')).body['version']).toBe(3);
    expect((await update('3')).status).toBe(400);
    const remove = (tag: string) =>
      send('DELETE /api/context/delete/none', { 'if-none-match': tag });
    expect((await remove('"3"')).status).toBe(412);
    const both = { 'if-match': '"3"', 'if-none-match': '"3"' };
    expect((await send('PUT /api/context/update/none', both, { data: 4 })).status).toBe(412);
    expect((await remove('"4"')).status).toBe(200);
  });

  it('goes with ifVersion: a mismatch of that answers 409', async () => {
    await storeKey('both');
    const put = (tag: string, ifVersion: number): Promise<TestAnswer> =>
      call('PUT /api/context/update/both', {
        body: { data: 2, options: { ifVersion } },
        headers: { 'if-none-match': tag },
      });
    const other = await put('"7"', 3);
    expect([other.status, other.body['currentVersion']]).toEqual([409, 1]);
    expect((await put('"7"', 1)).status).toBe(200);
    const create = (ifVersion: number): Promise<TestAnswer> =>
      call('POST /api/context/store', {
        body: { key: 'not-yet', data: 1, options: { ifVersion } },
        headers: { 'if-none-match': '*' },
      });
    const absent = await create(3);
    expect([absent.status, absent.body['currentVersion']]).toEqual([409, 0]);
    expect((await create(0)).status).toBe(201);
    expect((await create(1)).status).toBe(412);
  });

  it('tags are compared as text: "05" is not 5, and "0" is nothing', async () => {
    await storeKey('text');
    for (const tag of ['"01"', '"1.0"', '"0"', '"+1"']) {
      const update = { body: { data: 2 }, headers: { 'if-match': tag } };
      const refused = await call('PUT /api/context/update/text', update);
      expect([tag, refused.status, refused.body['currentVersion']]).toEqual([tag, 412, 1]);
    }
    const store = { body: { key: 'absent', data: 1 }, headers: { 'if-match': '"0"' } };
    const absent = await call('POST /api/context/store', store);
    expect([absent.status, absent.body['currentVersion']]).toEqual([412, 0]);
    expect((await call('GET /api/context/get/absent')).status).toBe(404);
  });

  it('If-None-Match answers 304 with the tag and no body', async () => {
    await storeKey('cached');
    for (const tag of ['"1"', 'W/"1"', '"7", "1"', '*']) {
      const answer = await call('GET /api/context/get/cached', {
        headers: { 'if-none-match': tag },
      });
      expect([answer.status, answer.text, answer.headers.get('etag')]).toEqual([304, '', '"1"']);
    }
    const changed = await call('GET /api/context/get/cached', {
      headers: { 'if-none-match': '"2"' },
    });
    expect(changed.status).toBe(200);
  });
});

describe('errors', () => {
  it('never show what broke inside', async () => {
    const broken = { ...store, contexts: { ...store.contexts } };
    broken.contexts.get = async () => {
      throw new Error('select * from secret_table');
    };
    const other = await startTestApi(testApiDeps(broken));
    const answer = await callApi(other.url, 'GET /api/context/get/a');
    await other.stop(1000);
    expect(answer.status).toBe(500);
    expect(answer.body['code']).toBe('INTERNAL');
    expect(answer.text).not.toMatch(/secret_table|\.ts|at /);
  });

  it('carry the request id, which callers may choose when it is sane', async () => {
    const sane = await call('GET /nope', { headers: { 'x-request-id': 'abc-123' } });
    expect([sane.body['requestId'], sane.headers.get('x-request-id')]).toEqual([
      'abc-123',
      'abc-123',
    ]);
    const wild = await call('GET /nope', { headers: { 'x-request-id': 'a b"<' } });
    expect(wild.body['requestId']).not.toBe('a b"<');
  });

  it('and answers are logged without bodies, queries or headers', async () => {
    logged.length = 0;
    await call('POST /api/context/store?zz=query-secret', {
      body: { key: 'a', data: 'body-secret' },
      headers: { authorization: 'Bearer header-secret' },
    });
    await expect.poll(() => logged.join('')).toMatch(/"path":"\/api\/context\/store"/);
    expect(logged.join('')).not.toMatch(/secret/);
  });
});

describe('a server with keys off', () => {
  it.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '10.0.0.1',
    '[::2]',
  ])('refuses the origin %s', async (host) => {
    const origin = `http://${host}`;
    const answer = await call('GET /api/context/list', { headers: { origin } });
    expect([answer.status, answer.body['code']]).toEqual([403, 'ORIGIN_REFUSED']);
  });

  it('refuses the origin null, and takes loopback ones', async () => {
    const from = async (origin: string): Promise<number> =>
      (await call('GET /api/context/list', { headers: { origin } })).status;
    expect(await from('null')).toBe(403);
    expect(await from('http://localhost:5173')).toBe(200);
    expect(await from('http://[::1]:80')).toBe(200);
  });
});

describe('a server with keys', () => {
  it('asks for a key, knows its scopes, and lets health and docs pass', async () => {
    const lookup = async (key: string) =>
      key === 'reader'
        ? ({ tenant: 'tenant1' as never, name: 'r', scopes: ['read'] } as const)
        : null;
    const other = await startTestApi(testApiDeps(store, { auth: { mode: 'keys', lookup } }));
    const ask = (target: string, key?: string): Promise<TestAnswer> =>
      callApi(other.url, target, key ? { headers: { authorization: `Bearer ${key}` } } : {});
    const anonymous = await ask('GET /api/context/list');
    expect([anonymous.status, anonymous.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    expect((await ask('GET /api/context/list', 'wrong')).status).toBe(401);
    expect((await ask('GET /api/context/list', 'reader')).status).toBe(200);
    const write = await ask('DELETE /api/context/delete/a', 'reader');
    expect([write.status, write.body['code']]).toEqual([403, 'FORBIDDEN']);
    for (const path of ['health', 'health/live', 'health/ready', 'docs', 'openapi.json']) {
      expect((await ask(`GET /api/context/${path}`)).status).toBe(200);
    }
    await other.stop(1000);
  });
});

describe('the rate limit', () => {
  it('answers 429 with Retry-After, and never to probes', async () => {
    const limits = {
      maxContextBytes: 1024,
      rateLimit: { enabled: true, max: 2, windowMs: 60_000 },
    };
    const other = await startTestApi(testApiDeps(store, { limits }));
    const ask = (): Promise<TestAnswer> => callApi(other.url, 'GET /api/sync/links');
    expect((await ask()).headers.get('ratelimit-remaining')).toBe('1');
    await ask();
    const answer = await ask();
    expect([answer.status, answer.body['code']]).toEqual([429, 'RATE_LIMITED']);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await callApi(other.url, 'GET /api/context/health')).status).toBe(200);
    await other.stop(1000);
  });
});

describe('health', () => {
  it('is degraded without Redis, and 503 only without Postgres', async () => {
    const up = async (): Promise<void> => undefined;
    const down = async (): Promise<void> => {
      throw new AppError('UNAVAILABLE', 'It is out.');
    };
    const checks = { postgres: up, redis: down, temporal: up, queues: up };
    const one = await startTestApi(testApiDeps(store, { checks }));
    const degraded = await callApi(one.url, 'GET /api/context/health');
    expect([degraded.status, degraded.body['status']]).toEqual([200, 'degraded']);
    await one.stop(1000);
    const two = await startTestApi(testApiDeps(store, { checks: { ...checks, postgres: down } }));
    expect((await callApi(two.url, 'GET /api/context/health')).status).toBe(503);
    expect((await callApi(two.url, 'GET /api/context/health/ready')).status).toBe(503);
    expect((await callApi(two.url, 'GET /api/context/health/live')).status).toBe(200);
    await two.stop(1000);
  });
});

describe('sync calls', () => {
  const link = {
    name: 'one',
    connector: 'files',
    config: { root: '/allowed/a' },
    scope: { prefix: 'p/' },
  };

  it('create links with defaults, refuse doubled names and what connectors refuse', async () => {
    const created = await call('POST /api/sync/links', { body: link });
    expect([created.status, created.body['grade']]).toEqual([201, 'C']);
    expect(created.body['guards']).toMatchObject({ maxDeletePercent: 50, maxDeleteCount: 10 });
    expect(pointers(await call('POST /api/sync/links', { body: link }))).toEqual(['/name']);
    const unknown = await call('POST /api/sync/links', { body: { ...link, connector: 'x' } });
    expect(pointers(unknown)).toEqual(['/connector']);
    const outside = await call('POST /api/sync/links', {
      body: { ...link, config: { root: '/' } },
    });
    expect([outside.status, outside.body['code']]).toEqual([403, 'CONNECTOR_NOT_ALLOWED']);
  });

  it('say in plain words what their remote lets us guarantee', async () => {
    const { body } = await call('GET /api/sync/links/one/status');
    expect([body['grade'], body['guarantee']]).toEqual([
      'C',
      'Writes of others between our read and our write may be lost.',
    ]);
  });

  it('patch only what is named, guards included', async () => {
    const body = { strategy: 'latest', guards: { maxDeleteCount: 3 } };
    const answer = await call('PATCH /api/sync/links/one', { body });
    expect(answer.body).toMatchObject({
      strategy: 'latest',
      direction: 'both',
      guards: { maxDeletePercent: 50, maxDeleteCount: 3 },
    });
    expect((await call('PATCH /api/sync/links/one', { body: { connector: 'x' } })).status).toBe(
      400,
    );
  });

  it('start runs without a body, and name their workflow', async () => {
    const answer = await call('POST /api/sync/links/one/runs');
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({
      workflowId: 'sync/default/link-1',
      temporalUrl: 'http://temporal.test/sync/default/link-1',
    });
    const run = await call(`GET /api/sync/runs/${String(answer.body['runId'])}`);
    expect(run.body['status']).toBe('settled');
  });

  it('show the ops of a parked run, with -0 as it is', async () => {
    store.runRows.set('parked', runRow('parked', { status: 'parked' }));
    expect((await call('GET /api/sync/runs/parked/ops')).text).toContain('{"x":-0}');
    expect((await call('POST /api/sync/plans/parked/approve')).status).toBe(202);
    expect((await call('POST /api/sync/plans/nope/approve')).body['code']).toBe('PLAN_NOT_FOUND');
  });

  it('ask for a value exactly when the choice is `value`', async () => {
    const resolve = async (body: object): Promise<string[]> =>
      pointers(await call('POST /api/sync/conflicts/c/resolve', { body }));
    expect(await resolve({ choice: 'value' })).toEqual(['/value']);
    expect(await resolve({ choice: 'hub', value: 1 })).toEqual(['/value']);
    expect(await resolve({ choice: 'theirs' })).toEqual(['/choice']);
  });
});
