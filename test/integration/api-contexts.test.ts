import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import fc from 'fast-check';
import { ContextClient, SyncError } from '../../client/index.ts';
import { callApi, type TestAnswer, type TestRequest } from '../support/api-under-test.ts';
import { shownHead } from '../support/feed-shown.ts';
import { startRealApi, TEST_MAX_CONTEXT_BYTES, type RealApi } from '../support/real-api.ts';

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

const call = (target: string, request?: TestRequest): Promise<TestAnswer> =>
  callApi(api.url, target, request);

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SyncError) return error.code;
    throw error;
  }
  return 'none';
}

describe('data', () => {
  it('comes back equal to what was stored, whatever JSON it is', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue({ maxDepth: 4 }), async (value) => {
        await client.store('any', value);
        const context = await client.get('any');
        expect(context?.data).toStrictEqual(value);
      }),
      { numRuns: 40 },
    );
  });

  it('keeps -0, U+0000, `__proto__`, emoji and both forms of é, byte for byte', async () => {
    const data = '{"__proto__":{"a":1},"z":[-0,1e21,5e-324],"\\u0000":"\\u0000 😀 é e\\u0301"}';
    await call('POST /api/context/store', { body: `{"key":"exact","data":${data}}` });
    const { text } = await call('GET /api/context/get/exact');
    expect(JSON.parse(text.slice(text.indexOf('"data":') + 7, -1))).toStrictEqual(JSON.parse(data));
    expect(text).toContain('-0');
  });

  it('over the limit is refused, and nothing changes', async () => {
    await client.store('large', 1);
    const code = await codeOf(client.store('large', 'x'.repeat(TEST_MAX_CONTEXT_BYTES)));
    expect(code).toBe('CONTEXT_TOO_LARGE');
    expect((await client.get('large'))?.version).toBe(1);
  });

  it.each([
    ['metadata', { metadata: { n: [-0.5, 1e21, 5e-324], s: '😀\\u0000', deep: { null: null } } }],
    ['tags', { tags: ['é', 'with space', ',', '{}"'] }],
    ['the rest', { kind: 'memory', source: 's', sessionId: 'x', agentId: 'y', parentId: 'p/a' }],
  ])('has options that come back as they were: %s', async (_name, options) => {
    await client.store('options', 1, options);
    expect(await client.get('options')).toMatchObject(options);
  });
});

it('a tag given twice is kept once, in order', async () => {
  const stored = await client.store('tagged', 1, { tags: ['b', 'a', 'b'] });
  expect(stored.tags).toEqual(['b', 'a']);
  expect((await client.update('tagged', 2, { tags: ['x', 'x'] })).tags).toEqual(['x']);
});

describe('compression', () => {
  const large = (nth: number): string => `${nth}`.repeat(4000);
  it.each([
    ['left out, for a small body', undefined, 'small', false],
    ['left out, for a body over 1 KiB', undefined, large(1), true],
    ['forced', true, 'tiny', true],
    ['forbidden', false, large(2), false],
  ])('is as the writer says: %s', async (_name, compress, data, compressed) => {
    const stored = await client.store('packed', data, { compress });
    expect(stored).toMatchObject({ compressed, size: data.length + 2 });
    expect(await client.get('packed')).toMatchObject({ compressed, data });
  });

  it.each([
    ['forbidden', false, large(3), large(4)],
    ['forced', true, 'tiny', 'mini'],
  ])('stays as the writer said when an update says nothing: %s', async (_name, compress, a, b) => {
    const key = `kept-${compress}`;
    await client.store(key, a, { compress });
    expect(await client.update(key, b)).toMatchObject({ compressed: compress });
    const operation = { op: 'update', key, data: a } as const;
    const [result] = await client.batch([operation]);
    expect(result).toMatchObject({ status: 200, compressed: compress });
    expect(await client.update(key, [b], { changeType: 'append' })).toMatchObject({
      compressed: compress,
    });
    expect(await client.rollback(key, 1)).toMatchObject({ compressed: compress });
    await client.delete(key);
    expect(await client.rollback(key, 1)).toMatchObject({ compressed: compress });
    expect(await client.update(key, b, { compress: !compress })).toMatchObject({
      compressed: !compress,
    });
    expect(await client.update(key, a)).toMatchObject({ compressed: !compress });
  });

  it('is by size again after a store that says nothing', async () => {
    await client.store('by-size', large(5), { compress: false });
    expect(await client.store('by-size', large(6))).toMatchObject({ compressed: true });
    expect(await client.update('by-size', 'small')).toMatchObject({ compressed: false });
  });
});

describe('a parent', () => {
  it('that would make a context its own ancestor is refused, with the place in the body', async () => {
    await client.store('family/a', 1);
    await client.store('family/b', 1, { parentId: 'family/a' });
    const options = { parentId: 'family/b' };
    for (const [target, body] of [
      ['POST /api/context/store', { key: 'family/a', data: 2, options }],
      ['PUT /api/context/update/family%2Fa', { data: 2, options }],
      ['POST /api/context/store', { key: 'family/c', data: 2, options: { parentId: 'family/c' } }],
    ] as const) {
      const { status, text } = await call(target, { body: JSON.stringify(body) });
      expect(status).toBe(400);
      expect(JSON.parse(text)).toMatchObject({
        code: 'VALIDATION',
        errors: [{ pointer: '/options/parentId' }],
      });
    }
    expect(await client.get('family/a')).toMatchObject({ version: 1, parentId: null });
    expect(await client.get('family/c')).toBeNull();
  });
});

describe('metadata', () => {
  it('with U+0000 is refused', async () => {
    expect(await codeOf(client.store('nul', 1, { metadata: { a: ['\u0000'] } }))).toBe(
      'VALIDATION',
    );
    expect(await codeOf(client.store('nul', 1, { metadata: { '\u0000': 1 } }))).toBe('VALIDATION');
  });
});

describe('versions', () => {
  it('go up, also over a delete, and stay readable', async () => {
    expect((await client.store('v', 'one')).version).toBe(1);
    expect((await client.update('v', 'two', { changedBy: 'ann' })).updatedBy).toBe('ann');
    expect((await client.get('v', { version: 1 }))?.data).toBe('one');
    expect((await client.delete('v')).version).toBe(3);
    expect(await client.get('v')).toBeNull();
    expect(await codeOf(client.update('v', 1))).toBe('CONTEXT_NOT_FOUND');
    expect((await client.get('v', { version: 2 }))?.data).toBe('two');
    expect((await client.store('v', 'again')).version).toBe(4);
    const { items } = await client.versions('v');
    expect(items.map((row) => [row.version, row.changeType])).toEqual([
      [4, 'create'],
      [3, 'delete'],
      [2, 'update'],
      [1, 'create'],
    ]);
  });

  it('page with a cursor, and a cursor of nobody is refused', async () => {
    for (const step of [1, 2, 3]) await client.store('paged', step);
    const first = await client.versions('paged', { limit: 2 });
    expect(first.nextCursor).not.toBeNull();
    const rest = await client.versions('paged', { limit: 2, cursor: first.nextCursor ?? '' });
    expect([...first.items, ...rest.items].map((row) => row.version)).toEqual([3, 2, 1]);
    expect(await codeOf(client.versions('paged', { cursor: 'xyz' }))).toBe('INVALID_CURSOR');
    expect(await codeOf(client.list({ cursor: 'xyz' }))).toBe('INVALID_CURSOR');
    expect(await codeOf(client.changes({ since: 'xyz' }))).toBe('INVALID_CURSOR');
    expect(await codeOf(client.changes({ since: '9999999999999999999.0' }))).toBe('INVALID_CURSOR');
    expect(await codeOf(client.versions('none'))).toBe('CONTEXT_NOT_FOUND');
  });

  it('guard writes: ifVersion answers 409, If-Match 412, both with the current version', async () => {
    await client.store('guarded', 1);
    const error = await client
      .store('guarded', 2, { ifVersion: 0 })
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(SyncError);
    expect((error as SyncError).status).toBe(409);
    expect((error as SyncError).currentVersion).toBe(1);
    const refused = await call('DELETE /api/context/delete/guarded', {
      headers: { 'if-match': '"2"' },
    });
    expect([refused.status, refused.body['currentVersion']]).toEqual([412, 1]);
    const byQuery = await call('DELETE /api/context/delete/guarded?ifVersion=2');
    expect(byQuery.status).toBe(409);
    expect((await call('DELETE /api/context/delete/guarded?ifVersion=1')).status).toBe(200);
  });

  it('of what is not there is a 404 for an update or delete, a conflict with 0 for a store', async () => {
    const missing = { status: 404, body: { code: 'CONTEXT_NOT_FOUND' } };
    await client.store('expires', 1, { ttl: 1 });
    api.clock.offsetMs += 2_000;
    for (const key of ['never-stored', 'expires']) {
      const target = `PUT /api/context/update/${key}`;
      const update = { data: 1, options: { ifVersion: 1 } };
      expect(await call(target, { body: update })).toMatchObject(missing);
      const headers = { 'if-match': '"1"' };
      expect(await call(target, { body: { data: 1 }, headers })).toMatchObject(missing);
      expect(await call(`DELETE /api/context/delete/${key}?ifVersion=1`)).toMatchObject(missing);
      const rollback = { body: { version: 1, ifVersion: 1 } };
      expect(await call(`POST /api/context/rollback/${key}`, rollback)).toMatchObject(missing);
      const store = { body: { key, data: 1, options: { ifVersion: 1 } } };
      expect(await call('POST /api/context/store', store)).toMatchObject({
        status: 409,
        body: { code: 'VERSION_CONFLICT', currentVersion: 0 },
      });
    }
  });

  it('of one key written by twenty callers with If-Match: * are all there', async () => {
    await client.store('many', 0);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        call('PUT /api/context/update/many', { body: { data: at }, headers: { 'if-match': '*' } }),
      ),
    );
    const versions = answers.map((answer) => Number(answer.body['version']));
    expect(versions.toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, at) => at + 2),
    );
  });
});

describe('update', () => {
  it('changes options alone where no data is given, which then stays', async () => {
    const target = 'PUT /api/context/update/options-only';
    await client.store('options-only', { a: [1] }, { tags: ['old'], sessionId: 's' });
    const { body } = await call(target, { body: { options: { tags: ['new'] } } });
    expect(body).toMatchObject({ version: 2, tags: ['new'], sessionId: 's' });
    const compressed = await call(target, { body: { options: { compress: true, ttl: 60 } } });
    expect(compressed.body).toMatchObject({ version: 3, tags: ['new'], compressed: true });
    expect((await client.get('options-only'))?.data).toEqual({ a: [1] });
    const operation = { op: 'update', key: 'options-only', options: { source: 'batch' } };
    const operations = [operation, { op: 'get', key: 'options-only' }];
    const batch = await call('POST /api/context/batch', { body: { operations } });
    expect(batch.body['results']).toMatchObject([
      { status: 200, source: 'batch', tags: ['new'] },
      { status: 200, version: 4, data: { a: [1] } },
    ]);
  });

  it.each([
    ['nothing at all', {}],
    ['options that change nothing', { options: { changedBy: 'ann', ifVersion: 1 } }],
    ['a way to change data', { options: { tags: ['x'], changeType: 'merge' } }],
  ])('without data is refused with %s', async (_what, body) => {
    const { version } = await client.store('no-data', 1);
    const answer = await call('PUT /api/context/update/no-data', { body });
    expect(answer).toMatchObject({ status: 400, body: { code: 'VALIDATION' } });
    expect(answer.body['errors']).toMatchObject([{ pointer: '/data' }]);
    expect((await client.get('no-data'))?.version).toBe(version);
  });

  it('merges per RFC 7396, appends, and keeps what it does not name', async () => {
    await client.store('u', { a: { b: 1, c: 2 }, list: [1] }, { tags: ['t'], ttl: null });
    await client.update('u', { a: { b: null, d: 3 } }, { changeType: 'merge' });
    await client.update('u', { list: [2], a: { c: 9 } }, { changeType: 'append' });
    const context = await client.get('u');
    expect(context?.data).toEqual({ a: { c: 9, d: 3 }, list: [1, 2] });
    expect([context?.tags, context?.expiresAt]).toEqual([['t'], null]);
  });
});

describe('expiry', () => {
  it('makes a context gone at its second, for every call, and free for ifVersion: 0', async () => {
    await client.store('brief', 1, { ttl: 60 });
    api.clock.offsetMs += 60_001;
    expect(await client.get('brief')).toBeNull();
    expect(await client.get('brief', { version: 1 })).toBeNull();
    expect(await codeOf(client.versions('brief'))).toBe('CONTEXT_NOT_FOUND');
    expect(await codeOf(client.update('brief', 1))).toBe('CONTEXT_NOT_FOUND');
    const { items } = await client.list({ prefix: 'brief' });
    expect(items).toEqual([]);
    expect((await client.store('brief', 2, { ifVersion: 0 })).version).toBeGreaterThan(1);
  });
});

describe('list', () => {
  it('pages by key, filters, and takes letters that mean something to LIKE', async () => {
    const keys = ['l/a', 'l/b', 'l/c', 'l_x', 'l%y'];
    for (const key of keys) {
      await client.store(key, 1, { tags: key === 'l/b' ? ['x', 'y'] : ['x'], sessionId: 's-l' });
    }
    const first = await client.list({ prefix: 'l/', limit: 2 });
    expect(first.items.map((row) => row.key)).toEqual(['l/a', 'l/b']);
    expect(first.items[0]).not.toHaveProperty('data');
    const rest = await client.list({ prefix: 'l/', limit: 2, cursor: first.nextCursor ?? '' });
    expect([rest.items.map((row) => row.key), rest.nextCursor]).toEqual([['l/c'], null]);
    expect((await client.list({ prefix: 'l_' })).items.map((row) => row.key)).toEqual(['l_x']);
    expect((await client.list({ prefix: 'l%' })).items.map((row) => row.key)).toEqual(['l%y']);
    expect((await client.list({ tag: ['x', 'y'] })).items.map((row) => row.key)).toEqual(['l/b']);
    expect((await client.list({ sessionId: 's-l' })).items).toHaveLength(5);
  });
});

describe('the change feed', () => {
  it('gives every change after a cursor, in order, and the same cursor when there is none', async () => {
    const cursor = await shownHead(client);
    expect(await client.changes({ since: cursor })).toEqual({ changes: [], cursor });
    await client.store('feed/a', 1);
    await client.update('feed/a', 2);
    await client.delete('feed/a');
    const page = await vi.waitFor(async () => {
      const seen = await client.changes({ since: cursor });
      expect(seen.changes).toHaveLength(3);
      return seen;
    });
    expect(page.changes.map((row) => [row.key, row.version, row.changeType, row.deleted])).toEqual([
      ['feed/a', 1, 'create', undefined],
      ['feed/a', 2, 'update', undefined],
      ['feed/a', 3, 'delete', true],
    ]);
    expect(page.cursor).toBe(page.changes.at(-1)?.cursor);
    const second = await client.changes({ since: page.changes[0]?.cursor ?? '', limit: 1 });
    expect(second.changes.map((row) => row.version)).toEqual([2]);
  });

  it('holds a long poll until there is a change', async () => {
    const cursor = await shownHead(client);
    const waiting = client.changes({ since: cursor, wait: 20 });
    await client.store('feed/late', 1);
    const page = await waiting;
    expect(page.changes.map((row) => row.key)).toEqual(['feed/late']);
  });

  it('answers a long poll without a change at its deadline', async () => {
    const cursor = await shownHead(client);
    expect(await client.changes({ since: cursor, wait: 0.2 })).toEqual({ changes: [], cursor });
  });
});

describe('health', () => {
  it('says what is up, since when and which version', async () => {
    const health = await client.health();
    expect([health.status, health.version]).toEqual(['ok', '0.0.0-test']);
    await client.initialize();
  });
});
