/** `POST /batch` on the real store: order, atomicity, isolation of faults, bounds, idempotency. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ContextClient, SyncError, type BatchOperation } from '../../client/index.ts';
import { callApi, type TestAnswer, type TestRequest } from '../support/api-under-test.ts';
import { systemClock } from '../../domain/clock.ts';
import { createStore } from '../../store/create-store.ts';
import { encryptionWith, newMasterKey } from '../support/encryption.ts';
import { CALLER } from '../support/engine.ts';
import { hasRealPostgres } from '../support/servers.ts';
import { startRealApi, TEST_MAX_CONTEXT_BYTES, type RealApi } from '../support/real-api.ts';
import { asKey, openStore } from './store/store-under-test.ts';

let api: RealApi;
let client: ContextClient;
beforeAll(async () => {
  api = await startRealApi();
  client = new ContextClient({ url: api.url, timeoutMs: 120_000 });
});
afterAll(async () => {
  client.close();
  await api.stop();
});

const post = (body: unknown, headers: TestRequest['headers'] = {}): Promise<TestAnswer> =>
  callApi(api.url, 'POST /api/context/batch', { body, headers });
const statuses = (answer: TestAnswer) =>
  (answer.body['results'] as { status: number }[]).map(({ status }) => status);
const refusal = async (work: Promise<unknown>): Promise<SyncError> => {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(SyncError);
  return error as SyncError;
};
const head = async (): Promise<string> => (await client.changes({ since: 'now' })).cursor;
/** The changes of keys with a prefix as `key@version`, once the feed shows as many. */
const changesSince = (cursor: string, count: number, prefix: string) =>
  vi.waitFor(async () => {
    // What others wrote before may only be shown now: any transaction on this server holds it back.
    const told: string[] = [];
    let since = cursor;
    for (let page = await client.changes({ since }); page.changes.length > 0;) {
      const mine = page.changes.filter(({ key }) => key.startsWith(prefix));
      told.push(...mine.map(({ key, version }) => `${key}@${version}`));
      since = page.cursor;
      page = await client.changes({ since, limit: 1000 });
    }
    expect(told).toHaveLength(count);
    return told;
  }, 20_000);

describe.each([true, false])('a batch (atomic: %s)', (atomic) => {
  const name = `b-${String(atomic)}/`;

  it('does each operation in order, several on one key too, and each sees those before it', async () => {
    const key = `${name}k`;
    const cursor = await head();
    const results = await client.batch(
      [
        { op: 'get', key },
        { op: 'store', key, data: { a: 1, list: [1] }, options: { tags: ['t'], ifVersion: 0 } },
        { op: 'update', key, data: { b: 2 }, options: { changeType: 'merge', ifVersion: 1 } },
        {
          op: 'update',
          key,
          data: { list: [2] },
          options: { changeType: 'append', changedBy: 'ann' },
        },
        { op: 'get', key },
        { op: 'get', key, version: 2, fields: 'version,/b' },
        { op: 'delete', key, ifVersion: 3 },
        { op: 'get', key },
        { op: 'store', key, data: 'again', options: { ttl: null } },
        { op: 'get', key, fields: 'data' },
        { op: 'store', key: `${name}other`, data: null },
      ],
      { atomic },
    );
    expect(results.map(({ status }) => status)).toEqual([
      404, 201, 200, 200, 200, 200, 200, 404, 201, 200, 201,
    ]);
    expect(results[0]).toMatchObject({ op: 'get', key, code: 'CONTEXT_NOT_FOUND' });
    expect(results[1]).toMatchObject({ op: 'store', key, version: 1, tags: ['t'] });
    expect(results[3]).toMatchObject({ op: 'update', version: 3, updatedBy: 'ann', tags: ['t'] });
    expect(results[4]).toMatchObject({ version: 3, data: { a: 1, b: 2, list: [1, 2] } });
    expect(results[5]).toEqual({ op: 'get', key, status: 200, version: 2, data: { b: 2 } });
    expect(results[6]).toEqual({ op: 'delete', key, status: 200, version: 4, deleted: true });
    expect(results[8]).toMatchObject({ version: 5, createdAt: results[8]?.updatedAt });
    expect(results[9]).toEqual({ op: 'get', key, status: 200, data: 'again' });
    expect(await client.get(key)).toMatchObject({ version: 5, data: 'again', expiresAt: null });
    expect((await client.get(key, { version: 1 }))?.data).toEqual({ a: 1, list: [1] });
    const history = (await client.versions(key)).items.map((row) => [row.version, row.changeType]);
    expect(history).toEqual([
      [5, 'create'],
      [4, 'delete'],
      [3, 'append'],
      [2, 'merge'],
      [1, 'create'],
    ]);
    expect(await changesSince(cursor, 6, name)).toEqual(
      [1, 2, 3, 4, 5].map((version) => `${key}@${version}`).concat(`${name}other@1`),
    );
  });

  it('stores a thousand in one go, and reads them back', async () => {
    const keys = Array.from({ length: 1000 }, (_, nth) => `${name}many/${nth}`);
    const stores = keys.map((key, nth): BatchOperation => ({
      op: 'store',
      key,
      data: { nth, text: 'x'.repeat(100) },
      options: { tags: ['many'], sessionId: 's' },
    }));
    const cursor = await head();
    const stored = await client.batch(stores, { atomic });
    expect(new Set(stored.map(({ status, version }) => `${status} ${version}`))).toEqual(
      new Set(['201 1']),
    );
    const gets = keys.map((key): BatchOperation => ({ op: 'get', key }));
    const read = await client.batch(gets, { atomic });
    expect(read.map(({ data }) => data)).toEqual(stores.map((each) => 'data' in each && each.data));
    const told = await changesSince(cursor, 1000, `${name}many/`);
    expect(told).toEqual(keys.map((key) => `${key}@1`));
  });

  it('refuses a family that would be a cycle, whichever operation closes it', async () => {
    const parent = (of: string, to: string): BatchOperation => ({
      op: 'store',
      key: `${name}f/${of}`,
      data: 1,
      options: { parentId: `${name}f/${to}` },
    });
    const work = client.batch([parent('a', 'b'), parent('b', 'c'), parent('c', 'a')], { atomic });
    if (atomic) {
      const { code, problem } = await refusal(work);
      expect([code, problem?.['failedIndex']]).toEqual(['VALIDATION', 2]);
      expect(problem?.errors?.[0]?.pointer).toBe('/operations/2/options/parentId');
      expect(await client.get(`${name}f/a`)).toBeNull();
    } else {
      const results = await work;
      expect(results.map(({ status }) => status)).toEqual([201, 201, 400]);
      expect(results[2]?.errors?.[0]?.pointer).toBe('/operations/2/options/parentId');
    }
  });
});

/** Each fails in its own way; `b/there` is at version 1. */
const FAULTS: readonly [string, unknown, number, string][] = [
  [
    'a version that moved on',
    { op: 'store', key: 'b/there', data: 1, options: { ifVersion: 7 } },
    409,
    'VERSION_CONFLICT',
  ],
  ['an update of nothing', { op: 'update', key: 'b/none', data: 1 }, 404, 'CONTEXT_NOT_FOUND'],
  ['a delete of nothing', { op: 'delete', key: 'b/none' }, 404, 'CONTEXT_NOT_FOUND'],
  [
    'a delete of another version',
    { op: 'delete', key: 'b/there', options: { ifVersion: 2 } },
    409,
    'VERSION_CONFLICT',
  ],
  [
    'two versions in one delete',
    { op: 'delete', key: 'b/there', ifVersion: 1, options: { ifVersion: 2 } },
    400,
    'VALIDATION',
  ],
  ['a bad key', { op: 'store', key: 'a\u0007', data: 1 }, 400, 'INVALID_KEY'],
  ['an unknown field', { op: 'get', key: 'b/there', colour: 'red' }, 400, 'VALIDATION'],
  [
    'an unknown member in fields',
    { op: 'get', key: 'b/there', fields: 'colour' },
    400,
    'VALIDATION',
  ],
  ['an unknown operation', { op: 'rename', key: 'b/there' }, 400, 'VALIDATION'],
  ['no operation at all', 7, 400, 'VALIDATION'],
  ['missing data', { op: 'store', key: 'b/x' }, 400, 'VALIDATION'],
  [
    'data that is too large',
    { op: 'store', key: 'b/x', data: 'x'.repeat(TEST_MAX_CONTEXT_BYTES) },
    413,
    'CONTEXT_TOO_LARGE',
  ],
  ['data that is too deep', { op: 'store', key: 'b/x', data: nested(201) }, 400, 'TOO_DEEP'],
  [
    'encryption without a key',
    { op: 'store', key: 'b/x', data: 1, options: { encrypt: true } },
    400,
    'ENCRYPTION_NOT_CONFIGURED',
  ],
];

function nested(depth: number): unknown {
  return Array.from({ length: depth }).reduce<unknown>((inner) => [inner], 1);
}

describe('an operation that fails', () => {
  beforeAll(async () => {
    await client.store('b/there', 1);
  });

  it.each(FAULTS)(
    'fails alone in a batch that is not atomic: %s',
    async (_name, fault, status, code) => {
      const answer = await post({
        operations: [
          { op: 'get', key: 'b/there' },
          fault,
          { op: 'store', key: 'b/after', data: 2 },
        ],
      });
      expect(answer.status).toBe(200);
      const results = answer.body['results'] as Record<string, unknown>[];
      expect(results).toHaveLength(3);
      expect(results[0]).toMatchObject({ status: 200, version: 1 });
      expect(results[1]).toMatchObject({ status, code });
      expect([200, 201]).toContain(results[2]?.['status']);
      if (code === 'VERSION_CONFLICT') expect(results[1]).toMatchObject({ currentVersion: 1 });
    },
  );

  it.each(FAULTS)(
    'is the answer of an atomic batch, which changes nothing: %s',
    async (_name, fault, status, code) => {
      const answer = await post({
        atomic: true,
        operations: [{ op: 'store', key: 'b/first', data: 1 }, { op: 'get', key: 'b/none' }, fault],
      });
      expect([answer.status, answer.body['code'], answer.body['failedIndex']]).toEqual([
        status,
        code,
        2,
      ]);
      if (code === 'VERSION_CONFLICT') expect(answer.body).toMatchObject({ currentVersion: 1 });
      expect(await client.get('b/first')).toBeNull();
      expect((await client.get('b/there'))?.version).toBe(1);
    },
  );
});

describe('a request that is no batch', () => {
  it.each([
    ['nothing to do', { operations: [] }],
    [
      'too much to do',
      { operations: Array.from({ length: 1001 }, () => ({ op: 'get', key: 'a' })) },
    ],
    ['an unknown field', { operations: [{ op: 'get', key: 'a' }], mode: 'fast' }],
    ['operations that are no list', { operations: { op: 'get', key: 'a' } }],
    ['atomic that is no yes or no', { atomic: 1, operations: [{ op: 'get', key: 'a' }] }],
  ])('is refused whole: %s', async (_name, body) => {
    const answer = await post(body);
    expect([answer.status, answer.body['code']]).toEqual([400, 'VALIDATION']);
  });

  it('over 32 MiB is refused with a code of its own, and one of 32 MiB is not', async () => {
    const operation = JSON.stringify({ op: 'get', key: 'a' });
    const room = 32 * 1024 * 1024 - `{"operations":[${operation}]}`.length;
    const body = (spaces: number) => `{"operations":[${operation}${' '.repeat(spaces)}]}`;
    expect(statuses(await post(body(room)))).toEqual([404]);
    const answer = await post(body(room + 1));
    expect([answer.status, answer.body['code']]).toEqual([413, 'BATCH_TOO_LARGE']);
  });
});

describe('an Idempotency-Key', () => {
  it.each([true, false])('does a batch once (atomic: %s)', async (atomic) => {
    const key = `b/once-${String(atomic)}`;
    const body = { atomic, operations: [{ op: 'store', key, data: 1 }] };
    const first = await post(body, { 'idempotency-key': key });
    const again = await post(body, { 'idempotency-key': key });
    expect(again.text).toBe(first.text);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect((await client.get(key))?.version).toBe(1);
    const other = await post({ ...body, atomic: !atomic }, { 'idempotency-key': key });
    expect(other.body['code']).toBe('IDEMPOTENCY_MISMATCH');
  });

  it('replays the conflict of an atomic batch, failedIndex included', async () => {
    await client.store('b/conflict', 1);
    const operations = [{ op: 'delete', key: 'b/conflict', ifVersion: 9 }];
    const headers = { 'idempotency-key': 'conflicting' };
    const first = await post({ atomic: true, operations }, headers);
    const again = await post({ atomic: true, operations }, headers);
    expect([again.status, again.body['failedIndex']]).toEqual([409, 0]);
    expect(again.body).toEqual(first.body);
  });
});

describe('batches at once', () => {
  it.skipIf(!hasRealPostgres())(
    'over the same new keys in other orders all succeed, and no version repeats',
    async () => {
      const keys = Array.from({ length: 40 }, (_, nth) => `b/race/${nth}`);
      const cursor = await head();
      const work = Array.from({ length: 8 }, (_, who) => {
        const mine = who % 2 === 0 ? keys : keys.toReversed();
        const operations = mine.map((key): BatchOperation => ({ op: 'store', key, data: who }));
        return client.batch(operations, { atomic: who < 4 });
      });
      const results = (await Promise.all(work)).flat();
      for (const key of keys) {
        const versions = results.filter((each) => each.key === key).map(({ version }) => version);
        expect(versions.toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      }
      const told = await changesSince(cursor, 320, 'b/race/');
      expect(new Set(told).size).toBe(320);
    },
  );
});

describe('a get whose time is over', () => {
  it('misses, and a store of it begins anew', async () => {
    await client.store('b/brief', 1, { ttl: 60 });
    api.clock.offsetMs += 60_000;
    const results = await client.batch([
      { op: 'get', key: 'b/brief' },
      { op: 'get', key: 'b/brief', version: 1 },
      { op: 'update', key: 'b/brief', data: 1 },
      { op: 'delete', key: 'b/brief' },
      { op: 'store', key: 'b/brief', data: 2, options: { ifVersion: 0 } },
    ]);
    expect(results.map(({ status }) => status)).toEqual([404, 404, 404, 404, 201]);
  });
});

describe('encrypted contexts', () => {
  it('are read, built on, compared and gone back to like others, and stay encrypted', async () => {
    const sealed = await startRealApi({}, {}, { encryption: encryptionWith(newMasterKey()) });
    const its = new ContextClient({ url: sealed.url });
    try {
      const results = await its.batch([
        { op: 'store', key: 'e/a', data: { a: 1 }, options: { encrypt: true } },
        { op: 'update', key: 'e/a', data: { b: 2 }, options: { changeType: 'merge' } },
        { op: 'get', key: 'e/a' },
        { op: 'get', key: 'e/a', version: 1 },
        { op: 'store', key: 'e/plain', data: 1 },
      ]);
      expect(results.map(({ encrypted }) => encrypted)).toEqual([true, true, true, true, false]);
      expect(results[2]?.data).toEqual({ a: 1, b: 2 });
      expect(results[3]?.data).toEqual({ a: 1 });
      await its.update('e/a', 'in clear', { encrypt: false });
      expect(await its.rollback('e/a', 1)).toMatchObject({ version: 4, encrypted: true });
      expect((await its.get('e/a'))?.data).toEqual({ a: 1 });
      expect(await its.diff('e/a', { from: 1, to: 2 })).toMatchObject({ delta: { b: [2] } });
    } finally {
      its.close();
      await sealed.stop();
    }
  });

  it('that nobody can open fail their own operation only', async () => {
    const under = await openStore({ encryption: encryptionWith(newMasterKey()) });
    const other = createStore({
      database: under.database,
      clock: systemClock,
      newId: randomUUID,
      maxContextBytes: TEST_MAX_CONTEXT_BYTES,
      onCommitted: () => undefined,
      encryption: encryptionWith(newMasterKey()),
    });
    try {
      const put = (key: string, encrypt: boolean) =>
        under.store.contexts.store(CALLER, { key: asKey(key), data: 1, options: { encrypt } });
      await put('e/lost', true);
      await put('e/there', false);
      const operations = ['e/lost', 'e/there'].map(
        (key) => ({ op: 'get', key: asKey(key) }) as const,
      );
      const outcomes = await other.contexts.batch(CALLER, { atomic: false, operations });
      expect(outcomes).toMatchObject([
        { status: 'failed', error: { code: 'ENCRYPTION_NOT_CONFIGURED' } },
        { status: 'found', context: { data: 1 } },
      ]);
      const whole = other.contexts.batch(CALLER, { atomic: true, operations });
      await expect(whole).rejects.toMatchObject({
        code: 'ENCRYPTION_NOT_CONFIGURED',
        extra: { failedIndex: 0 },
      });
    } finally {
      await under.close();
    }
  });
});

describe('a key that may only read', () => {
  it('may get in a batch, and nothing else', async () => {
    const readOnly = await startRealApi({
      auth: {
        mode: 'keys',
        lookup: async () => ({ tenant: 'default' as never, name: 'reader', scopes: ['read'] }),
      } as never,
    });
    try {
      const headers = { authorization: 'Bearer some-key-of-a-reader' };
      const send = (operations: unknown[]) =>
        callApi(readOnly.url, 'POST /api/context/batch', { body: { operations }, headers });
      expect((await send([{ op: 'get', key: 'a' }])).status).toBe(200);
      const refused = await send([
        { op: 'get', key: 'a' },
        { op: 'store', key: 'a', data: 1 },
      ]);
      expect([refused.status, refused.body['code']]).toEqual([403, 'FORBIDDEN']);
      expect((await send([{ op: 'store' }])).status).toBe(403);
    } finally {
      await readOnly.stop();
    }
  });
});
