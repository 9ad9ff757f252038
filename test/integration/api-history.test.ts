/** Diff and rollback over REST, and the client's calls for them. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContextClient, SyncError, type Json } from '../../client/index.ts';
import { callApi, type TestAnswer, type TestRequest } from '../support/api-under-test.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

let api: RealApi;
let client: ContextClient;
let count = 0;
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
const fresh = (): string => `h/${(count += 1)}`;
const path = (what: string, key: string): string =>
  `/api/context/${what}/${encodeURIComponent(key)}`;

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return error instanceof SyncError ? error.code : 'none';
}

describe('a diff', () => {
  it('tells what led from one version to another, in both notations', async () => {
    const key = fresh();
    await client.store(key, { step: 1, list: ['a', 'b'], gone: true });
    await client.update(key, { step: 2, list: ['a', 'x', 'b'], come: null });
    expect(await client.diff(key)).toEqual({
      from: 1,
      to: 2,
      patch: [
        { op: 'remove', path: '/gone' },
        { op: 'add', path: '/come', value: null },
        { op: 'add', path: '/list/1', value: 'x' },
        { op: 'replace', path: '/step', value: 2 },
      ],
      delta: { gone: [true, 0, 0], step: [1, 2], list: { _t: 'a', 1: ['x'] }, come: [null] },
    });
    expect(await client.diff(key, { from: 2, to: 1 })).toMatchObject({ from: 2, to: 1 });
    expect(await client.diff(key, { from: 1, to: 1 })).toEqual({
      from: 1,
      to: 1,
      patch: [],
      delta: null,
    });
  });

  it('steps over deletes, works on what was deleted, and says what cannot be compared', async () => {
    const key = fresh();
    await client.store(key, 'one');
    expect(await codeOf(client.diff(key))).toBe('VERSION_NOT_FOUND');
    await client.delete(key);
    expect(await codeOf(client.diff(key))).toBe('CONTEXT_NOT_FOUND');
    await client.store(key, 'three');
    expect(await client.diff(key)).toMatchObject({ from: 1, to: 3 });
    expect(await client.diff(key, { from: 1 })).toMatchObject({ from: 1, to: 3 });
    await client.delete(key);
    expect(await client.diff(key, { to: 3 })).toMatchObject({ from: 1, to: 3 });
    for (const query of [{ from: 2, to: 3 }, { to: 4 }, { from: 1, to: 9 }, { from: 9, to: 1 }]) {
      expect(await codeOf(client.diff(key, query))).toBe('VERSION_NOT_FOUND');
    }
    expect(await codeOf(client.diff(fresh()))).toBe('CONTEXT_NOT_FOUND');
  });

  it('has a patch that leads there for any two values', async () => {
    const key = fresh();
    await fc.assert(
      fc.asyncProperty(fc.jsonValue({ maxDepth: 4 }), async (value) => {
        const { version } = await client.store(key, value);
        if (version === 1) return;
        const { patch, from, to } = await client.diff(key);
        const before = (await client.get(key, { version: from }))?.data as Json;
        expect(apply(before, patch)).toStrictEqual((await client.get(key, { version: to }))?.data);
      }),
      { numRuns: 25 },
    );
  });

  it.each(['from=0', 'to=x', 'from=1&from=2', 'version=1', 'from=-1'])(
    'refuses a query it does not understand: %s',
    async (query) => {
      const answer = await call(`GET ${path('diff', 'k')}?${query}`);
      expect([answer.status, answer.body['code']]).toEqual([400, 'VALIDATION']);
    },
  );
});

type Op = Awaited<ReturnType<ContextClient['diff']>>['patch'][number];

/** RFC 6902, as far as our patches use it. */
function apply(before: Json, patch: readonly Op[]): Json {
  const root = { value: structuredClone(before) };
  for (const { op, path: pointer, value } of patch) {
    const parts = pointer.split('/').slice(1);
    const names = parts.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
    let holder: Record<string, Json> = root;
    let name = 'value';
    for (const next of names) {
      holder = holder[name] as Record<string, Json>;
      name = next;
    }
    if (Array.isArray(holder) && op !== 'replace') {
      if (op === 'add') holder.splice(Number(name), 0, value as Json);
      else holder.splice(Number(name), 1);
    } else if (op === 'remove') Reflect.deleteProperty(holder, name);
    else {
      Object.defineProperty(holder, name, {
        value,
        enumerable: true,
        configurable: true,
        writable: true,
      });
    }
  }
  return root.value;
}

describe('an old version', () => {
  it('that is not there says whether the context is, and whether it is a delete', async () => {
    const key = fresh();
    const look = async (version: number) => {
      const { status, body } = await call(`GET ${path('get', key)}?version=${version}`);
      const [inBatch] = await client.batch([{ op: 'get', key, version }]);
      expect(inBatch).toMatchObject({ status, code: body['code'], detail: body['detail'] });
      return [status, body['code'], body['detail']];
    };
    const never = [404, 'CONTEXT_NOT_FOUND', `There is no context \`${key}\`.`];
    expect(await look(1)).toEqual(never);
    await client.store(key, 1);
    await client.delete(key);
    const code = 'VERSION_NOT_FOUND';
    expect(await look(2)).toEqual([
      404,
      code,
      `\`${key}\` has no version 2 with data: it is a delete.`,
    ]);
    expect(await look(3)).toEqual([404, code, `\`${key}\` has no version 3.`]);
    await client.store(key, 3, { ttl: 1 });
    api.clock.offsetMs += 2_000;
    expect(await look(3)).toEqual(never);
  });

  it('says when and by whom its own life of the context began', async () => {
    const key = fresh();
    const pass = (): number => (api.clock.offsetMs += 60_000);
    const facts = async (version: number) => {
      const { createdAt, createdBy, updatedAt } = (await client.get(key, { version }))!;
      return { createdAt, createdBy, updatedAt };
    };
    const one = await client.store(key, 1);
    pass();
    const two = await client.update(key, 2, { changedBy: 'ann' });
    expect(two.createdAt).toBe(one.createdAt);
    const live = [await facts(1), await facts(2)];
    pass();
    await client.delete(key);
    pass();
    await client.store(key, 4, { ttl: 1 });
    const first = await client.get(key);
    pass();
    // The one before has expired: this is a third life, without a delete before it.
    await client.store(key, 5);
    expect([await facts(1), await facts(2)]).toEqual(live);
    expect((await facts(4)).createdAt).toBe(first!.createdAt);
    const last = await facts(5);
    expect(last.createdAt).toBe(last.updatedAt);
    const exported = await fetch(`${api.url}/api/context/export?prefix=${encodeURIComponent(key)}`);
    const lines = (await exported.text()).trim().split('\n').slice(1);
    const rows = lines.map((line) => JSON.parse(line) as Record<string, string>);
    expect(rows.map((row) => row['createdAt'])).toEqual([
      one.createdAt,
      one.createdAt,
      one.createdAt,
      first!.createdAt,
      last.createdAt,
    ]);
  });
});

describe('a rollback', () => {
  it('writes a new version with the old content, under the options of now', async () => {
    const key = fresh();
    await client.store(key, { step: 1 }, { tags: ['old'], ttl: null, metadata: { a: 1 } });
    const stored = await client.store(key, { step: 2 }, { tags: ['new'], ttl: 1000, kind: 'note' });
    const envelope = await client.rollback(key, 1, { changedBy: 'ann' });
    expect(envelope).toMatchObject({
      version: 3,
      updatedBy: 'ann',
      tags: ['new'],
      kind: 'note',
      metadata: {},
      expiresAt: stored.expiresAt,
      createdAt: stored.createdAt,
    });
    expect(await client.get(key)).toEqual({ ...envelope, data: { step: 1 } });
    const [newest] = (await client.versions(key)).items;
    expect(newest).toMatchObject({ version: 3, changeType: 'rollback', changedBy: 'ann' });
    expect((await client.rollback(key, 3)).version).toBe(4);
  });

  it('brings a deleted context back, with a life of its own where its time had passed', async () => {
    const key = fresh();
    const first = await client.store(key, 'mine', { ttl: 60, tags: ['t'] });
    await client.delete(key);
    api.clock.offsetMs += 60_000;
    expect(await codeOf(client.rollback(key, 2))).toBe('VERSION_NOT_FOUND');
    const back = await client.rollback(key, 1, { ifVersion: 0 });
    expect(back).toMatchObject({ version: 3, tags: ['t'], createdAt: first.createdAt });
    const lifeMs = Date.parse(back.expiresAt ?? '') - Date.parse(back.updatedAt);
    expect(lifeMs).toBe(86_400_000);
    expect((await client.get(key))?.data).toBe('mine');
  });

  it('does not bring an expired context back, swept or not', async () => {
    const key = fresh();
    await client.store(key, 'mine', { ttl: 60 });
    api.clock.offsetMs += 60_000;
    expect(await codeOf(client.rollback(key, 1))).toBe('CONTEXT_NOT_FOUND');
    expect(await codeOf(client.diff(key, { from: 1, to: 1 }))).toBe('CONTEXT_NOT_FOUND');
    await api.store.sweeps.expireContexts(100);
    expect(await codeOf(client.rollback(key, 1))).toBe('CONTEXT_NOT_FOUND');
  });

  it('goes by ifVersion and If-Match', async () => {
    const key = fresh();
    await client.store(key, 1);
    await client.store(key, 2);
    expect(await codeOf(client.rollback(key, 1, { ifVersion: 1 }))).toBe('VERSION_CONFLICT');
    const send = (match: string) =>
      call(`POST ${path('rollback', key)}`, {
        body: { version: 1 },
        headers: { 'if-match': match },
      });
    const refused = await send('"1"');
    expect([refused.status, refused.body['currentVersion']]).toEqual([412, 2]);
    const done = await send('"2"');
    expect([done.status, done.headers.get('etag')]).toEqual([200, '"3"']);
  });

  it('is done once under one Idempotency-Key', async () => {
    const key = fresh();
    await client.store(key, 1);
    const request = { body: { version: 1 }, headers: { 'idempotency-key': 'roll' } };
    const first = await call(`POST ${path('rollback', key)}`, request);
    const again = await call(`POST ${path('rollback', key)}`, request);
    expect([again.text, again.body['version']]).toEqual([first.text, 2]);
  });

  it.each([
    ['no body', undefined],
    ['no version', {}],
    ['a version that is none', { version: 0 }],
    ['a version as text', { version: '1' }],
    ['a version beyond all', { version: 2 ** 31 }],
    ['an unknown field', { version: 1, force: true }],
    ['an empty name', { version: 1, changedBy: '' }],
  ])('refuses what it does not understand: %s', async (_name, body) => {
    const answer = await call(`POST ${path('rollback', 'k')}`, { body });
    expect([answer.status, answer.body['code']]).toEqual([400, 'VALIDATION']);
  });

  it('says that a context or version is not there', async () => {
    const key = fresh();
    expect(await codeOf(client.rollback(key, 1))).toBe('CONTEXT_NOT_FOUND');
    await client.store(key, 1);
    expect(await codeOf(client.rollback(key, 9))).toBe('VERSION_NOT_FOUND');
  });
});
