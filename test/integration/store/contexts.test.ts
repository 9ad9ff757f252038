import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContextOptions } from '../../../domain/context.ts';
import type { Json } from '../../../domain/json.ts';
import { CALLER } from '../../support/engine.ts';
import {
  asKey,
  codeOf,
  MAX_CONTEXT_BYTES,
  openStore,
  type StoreUnderTest,
} from './store-under-test.ts';

const DAY_MS = 86_400_000;
const ALICE = { ...CALLER, actor: 'alice' };
const BOB = { ...CALLER, actor: 'bob' };

let under: StoreUnderTest;
let count = 0;
beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());

/** A key nobody used, and the calls a test makes with it. */
function fresh() {
  count += 1;
  const key = asKey(`k${count}`);
  const { contexts } = under.store;
  return {
    key,
    store: (data: Json, options: ContextOptions = { ttl: null }, caller = ALICE) =>
      contexts.store(caller, { key, data, options }),
    update: (
      data: Json,
      changeType: 'replace' | 'merge' | 'append' = 'replace',
      options: ContextOptions = {},
      caller = ALICE,
    ) => contexts.update(caller, { key, data, changeType, options }),
    remove: (ifVersion?: number) => contexts.delete(ALICE, { key, ifVersion }),
    get: (version?: number) => contexts.get(ALICE, key, version),
    data: async (version?: number) => (await contexts.get(ALICE, key, version))?.data,
    versions: async () => (await contexts.versions(ALICE, { key, limit: 100 })).items,
  };
}

/** Runs `work` with the store's clock ahead. */
async function later<T>(ms: number, work: () => Promise<T>): Promise<T> {
  under.clock.offsetMs += ms;
  try {
    return await work();
  } finally {
    under.clock.offsetMs -= ms;
  }
}

describe('store', () => {
  it('creates a context with version 1 and says so, and replaces it with version 2', async () => {
    const { key, store, get } = fresh();
    const first = await store({ a: 1 });
    expect(first).toMatchObject({
      created: true,
      envelope: { key, version: 1, createdBy: 'alice' },
    });
    const second = await store({ a: 2 }, { ttl: null }, BOB);
    expect(second).toMatchObject({
      created: false,
      envelope: { version: 2, createdBy: 'alice', updatedBy: 'bob' },
    });
    expect(second.envelope.createdAt).toBe(first.envelope.createdAt);
    expect(await get()).toEqual({ ...second.envelope, data: { a: 2 } });
  });

  it('answers the same envelope that get gives afterwards', async () => {
    const { store, get } = fresh();
    const { envelope } = await store(['x'], {
      ttl: 60,
      kind: 'note',
      source: 's',
      parentId: 'p',
      sessionId: 'se',
      agentId: 'ag',
      tags: ['t1', 't2'],
      metadata: { m: [1, { n: null }] },
    });
    expect(await get()).toEqual({ ...envelope, data: ['x'] });
    expect(envelope).toMatchObject({ kind: 'note', parentId: 'p', tags: ['t1', 't2'], size: 5 });
  });

  it('lets a context live for a day unless told otherwise', async () => {
    const { store } = fresh();
    const { envelope } = await store(1, {});
    expect(Date.parse(envelope.expiresAt!) - Date.parse(envelope.updatedAt)).toBe(DAY_MS);
    expect((await store(2, { ttl: null })).envelope.expiresAt).toBeNull();
    const short = (await store(3, { ttl: 5 })).envelope;
    expect(Date.parse(short.expiresAt!) - Date.parse(short.updatedAt)).toBe(5_000);
  });

  it('resets every option it does not name', async () => {
    const { store } = fresh();
    await store(1, {
      kind: 'note',
      source: 's',
      tags: ['t'],
      metadata: { m: 1 },
      sessionId: 'x',
      ttl: null,
    });
    const { envelope } = await store(2, {});
    expect(envelope).toMatchObject({
      kind: 'json',
      source: null,
      tags: [],
      metadata: {},
      sessionId: null,
    });
    expect(envelope.expiresAt).not.toBeNull();
  });

  it('creates under ifVersion 0 only when nothing is there, and replaces only the version named', async () => {
    const { store, data } = fresh();
    await store('first', { ttl: null, ifVersion: 0 });
    await expect(store('second', { ifVersion: 0 })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
      extra: { currentVersion: 1 },
    });
    await expect(store('second', { ifVersion: 7 })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
    });
    expect(await data()).toBe('first');
    expect((await store('second', { ifVersion: 1, ttl: null })).envelope.version).toBe(2);
  });

  it('refuses data over the limit and changes nothing', async () => {
    const { store, data, versions } = fresh();
    await store('small');
    expect(await codeOf(store('x'.repeat(MAX_CONTEXT_BYTES)))).toBe('CONTEXT_TOO_LARGE');
    expect(await data()).toBe('small');
    expect(await versions()).toHaveLength(1);
    // Two quotes count too.
    expect((await store('x'.repeat(MAX_CONTEXT_BYTES - 2))).envelope.size).toBe(MAX_CONTEXT_BYTES);
  });

  it('says that it committed once per write, and not for one that was refused', async () => {
    const { store } = fresh();
    const before = under.commits();
    await store(1);
    await codeOf(store(2, { ifVersion: 9 }));
    expect(under.commits()).toBe(before + 1);
  });
});

describe('update', () => {
  it('replaces the data and keeps every option, the expiry included', async () => {
    const { store, update, get } = fresh();
    const options = {
      kind: 'note',
      source: 's',
      tags: ['t'],
      metadata: { m: 1 },
      agentId: 'a',
      ttl: 900,
    };
    const { envelope } = await store({ a: 1, b: 2 }, options);
    const after = await later(5_000, () => update({ c: 3 }, 'replace', {}, BOB));
    expect(after).toMatchObject({
      version: 2,
      kind: 'note',
      source: 's',
      tags: ['t'],
      metadata: { m: 1 },
      agentId: 'a',
      createdBy: 'alice',
      updatedBy: 'bob',
      expiresAt: envelope.expiresAt,
    });
    expect((await get())?.data).toEqual({ c: 3 });
  });

  it('changes the options it names, to null and to empty too', async () => {
    const { store, update } = fresh();
    await store(1, { kind: 'note', source: 's', tags: ['t'], metadata: { m: 1 }, ttl: 900 });
    const after = await update(2, 'replace', { source: null, tags: [], metadata: {}, ttl: null });
    expect(after).toMatchObject({
      kind: 'note',
      source: null,
      tags: [],
      metadata: {},
      expiresAt: null,
    });
  });

  it('merges per RFC 7396', async () => {
    const { store, update, data } = fresh();
    await store({ a: 'b', c: { d: 'e', f: 'g' }, list: [1, 2] });
    await update({ a: 'z', c: { f: null }, list: [3], fresh: { x: null, y: 1 } }, 'merge');
    expect(await data()).toEqual({ a: 'z', c: { d: 'e' }, list: [3], fresh: { y: 1 } });
  });

  it('appends: arrays concatenate, objects recurse, anything else replaces', async () => {
    const { store, update, data } = fresh();
    await store({ log: [1], deep: { log: ['a'], n: 1 }, gone: 'x' });
    await update({ log: [2, [3]], deep: { log: ['b'], n: null }, gone: ['y'], more: 1 }, 'append');
    expect(await data()).toEqual({
      log: [1, 2, [3]],
      deep: { log: ['a', 'b'], n: null },
      gone: ['y'],
      more: 1,
    });
    await update([9], 'append');
    expect(await data()).toEqual([9]);
  });

  it('records what kind of change it was', async () => {
    const { store, update, remove, versions } = fresh();
    await store({});
    await update({}, 'merge');
    await update({}, 'append');
    await update({}, 'replace');
    await remove();
    await store({});
    const types = (await versions()).map((row) => row.changeType);
    expect(types).toEqual(['create', 'delete', 'update', 'append', 'merge', 'create']);
  });

  it('refuses a context that is not there and a version that is not current', async () => {
    const { store, update } = fresh();
    expect(await codeOf(update(1))).toBe('CONTEXT_NOT_FOUND');
    await store(1);
    expect(await codeOf(update(2, 'replace', { ifVersion: 0 }))).toBe('VERSION_CONFLICT');
    expect(await codeOf(update(2, 'replace', { ifVersion: 2 }))).toBe('VERSION_CONFLICT');
    expect((await update(2, 'replace', { ifVersion: 1 })).version).toBe(2);
  });

  it('refuses to grow a context over the limit', async () => {
    const { store, update, data } = fresh();
    await store(['x'.repeat(MAX_CONTEXT_BYTES - 100)]);
    expect(await codeOf(update(['y'.repeat(200)], 'append'))).toBe('CONTEXT_TOO_LARGE');
    expect(await data()).toHaveLength(1);
  });
});

describe('delete and history', () => {
  it('takes a version number, and a later store goes on counting', async () => {
    const { key, store, remove, versions, data } = fresh();
    await store('one');
    expect(await remove()).toEqual({ key, version: 2 });
    expect(await data()).toBeUndefined();
    expect(await codeOf(remove())).toBe('CONTEXT_NOT_FOUND');
    const again = await store('three', { ttl: null, ifVersion: 0 });
    expect(again).toMatchObject({ created: true, envelope: { version: 3 } });
    expect((await versions()).map((row) => [row.version, row.changeType, row.reason])).toEqual([
      [3, 'create', null],
      [2, 'delete', 'user'],
      [1, 'create', null],
    ]);
  });

  it('keeps the history of a deleted context readable', async () => {
    const { store, remove, data, versions } = fresh();
    await store('one');
    await store('two');
    await remove();
    expect(await data(1)).toBe('one');
    expect(await data(2)).toBe('two');
    expect(await data(3)).toBeUndefined();
    expect((await versions())[0]).toMatchObject({
      version: 3,
      hash: null,
      size: 0,
      changedBy: 'alice',
    });
  });

  it('deletes only the version named', async () => {
    const { store, remove } = fresh();
    await store(1);
    expect(await codeOf(remove(2))).toBe('VERSION_CONFLICT');
    expect(await codeOf(remove(0))).toBe('VERSION_CONFLICT');
    expect((await remove(1)).version).toBe(2);
  });

  it('answers an old version with the facts it had then', async () => {
    const { store, get } = fresh();
    await store('old', { tags: ['then'], kind: 'note', ttl: null });
    await store('new', { tags: ['now'], ttl: null }, BOB);
    expect(await get(1)).toMatchObject({
      version: 1,
      data: 'old',
      tags: ['then'],
      kind: 'note',
      updatedBy: 'alice',
    });
    expect(await get(99)).toBeNull();
  });
});

describe('a context whose time is over', () => {
  it('is gone at its second on every path, swept or not', async () => {
    const { key, store, update, remove, get, versions } = fresh();
    await store('short', { ttl: 10 });
    expect(await later(9_000, () => get())).not.toBeNull();
    await later(10_500, async () => {
      expect(await get()).toBeNull();
      expect(await get(1)).toBeNull();
      expect(await codeOf(versions())).toBe('CONTEXT_NOT_FOUND');
      expect(await codeOf(update('x'))).toBe('CONTEXT_NOT_FOUND');
      expect(await codeOf(remove())).toBe('CONTEXT_NOT_FOUND');
      const { items } = await under.store.contexts.list(ALICE, { prefix: key, limit: 10 });
      expect(items).toEqual([]);
      const again = await store('again', { ttl: null, ifVersion: 0 });
      expect(again).toMatchObject({ created: true, envelope: { version: 2, createdBy: 'alice' } });
    });
  });

  it('gets a delete row with reason ttl from the sweep, and stays gone', async () => {
    const { store, get, versions } = fresh();
    await store('short', { ttl: 10 });
    await later(10_500, async () => {
      expect(await under.store.sweeps.expireContexts(100)).toBeGreaterThan(0);
      expect(await under.store.sweeps.expireContexts(100)).toBe(0);
      expect(await get(1)).toBeNull();
      expect(await codeOf(versions())).toBe('CONTEXT_NOT_FOUND');
      await store('again', { ttl: null, ifVersion: 0 });
      expect((await versions()).map((row) => [row.version, row.changeType, row.reason])).toEqual([
        [3, 'create', null],
        [2, 'delete', 'ttl'],
        [1, 'create', null],
      ]);
    });
  });
});
