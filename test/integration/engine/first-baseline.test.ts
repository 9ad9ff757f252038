/** A link's first look at a full hub: recorded and named page by page, and no other than item by item. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { ContextKey, RunId } from '../../../domain/ids.ts';
import type { Link } from '../../../domain/link.ts';
import { createSyncStore } from '../../../store/sync/sync-store.ts';
import { encryptionWith, newMasterKey } from '../../support/encryption.ts';
import { CALLER, createTestEngine, TENANT, type TestEngine } from '../../support/engine.ts';
import { memory } from './pairs.ts';

/** More than one page. */
const ITEMS = 1_100;
const SCOPE = { prefix: 'full/' };

let engine: TestEngine;
const remotes = new Map([['none', createFakeRemote({ grade: 'A' })]]);

function remoteNamed(name: string): FakeRemote {
  const remote = createFakeRemote({ grade: 'A', kinds: ['memory'] });
  remotes.set(name, remote);
  return remote;
}

function put(tail: string, data: object | number, options: object = {}) {
  const key = `${SCOPE.prefix}${tail}` as ContextKey;
  const all = { kind: 'memory', ttl: null, ...options };
  return engine.store.contexts.store(CALLER, { key, data: data as never, options: all });
}

/** A hub with everything that may be in one. */
beforeAll(async () => {
  const encryption = encryptionWith(newMasterKey());
  engine = await createTestEngine({ types: [createFakeType(remotes)], encryption });
  const supply = remoteNamed('supply');
  for (let nth = 0; nth < ITEMS; nth += 1) supply.put(memory(`item ${nth}`));
  await engine.drain(await engine.addLink('fake', { remote: 'supply' }, { scope: SCOPE }));
  await put('aaa', memory('item 7', ['another of that name']));
  await put('zzz', memory('item 8', ['another of that name']));
  await put('odd/number', 5);
  await put('odd/document', { path: 'a.md', text: 'text' }, { kind: 'document' });
  await put('odd/secret', memory('secret'), { encrypt: true });
  await put('odd/gone', memory('gone'));
  await engine.store.contexts.delete(CALLER, { key: `${SCOPE.prefix}odd/gone` as ContextKey });
  await engine.store.contexts.store(CALLER, {
    key: 'fuller/not in scope' as ContextKey,
    data: memory('not in scope'),
    options: { kind: 'memory', ttl: null },
  });
});
afterAll(() => engine.close());

/** Items of a link with all that does not depend on when it ran. */
function itemsOf(link: Link) {
  return engine.database.withTenant(TENANT, (tx) =>
    tx.query(
      `SELECT key, kind, remote_id, state, remote_status, dirty, base_version, fault->>'code' AS fault,
         encode(base_hub_hash, 'hex') AS base, retry_at IS NULL AS rests
       FROM sync_items WHERE link_id = $1 ORDER BY key`,
      [link.id],
    ),
  );
}

it('ends as one that broke off and was taken up item by item', async () => {
  const [whole, broken] = [remoteNamed('whole'), remoteNamed('broken')];
  const straight = await engine.addLink('fake', { remote: 'whole' }, { scope: SCOPE });
  const first = await engine.drain(straight);
  const { sync } = engine.store;
  const { insertNamed } = sync;
  const resumed = await engine.addLink('fake', { remote: 'broken' }, { scope: SCOPE });
  let pages = 0;
  sync.insertNamed = (...args) => {
    pages += 1;
    return pages === 2 ? Promise.reject(new Error('died')) : insertNamed(...args);
  };
  await expect(engine.pass(resumed)).rejects.toThrow('died');
  sync.insertNamed = insertNamed;
  expect(await itemsOf(resumed)).not.toEqual([]);
  await engine.drain(resumed);
  const items = await itemsOf(straight);
  expect(await itemsOf(resumed)).toEqual(items);
  const states = items.map(({ state }) => state);
  const count = (wanted: string): number => states.filter((state) => state === wanted).length;
  expect(['synced', 'quarantined', 'excluded'].map(count)).toEqual([ITEMS, 4, 1]);
  expect(first.counters).toMatchObject({ changedHub: ITEMS + 5, applied: ITEMS });
  const values = (remote: FakeRemote) => remote.all().map(({ value }) => value);
  expect(values(whole)).toHaveLength(ITEMS);
  expect(values(broken)).toEqual(values(whole));
  expect((await engine.pass(straight)).counters.planned).toBe(0);
});

it('misses nothing that is written while it looks', async () => {
  const remote = remoteNamed('moving');
  const link = await engine.addLink('fake', { remote: 'moving' }, { scope: SCOPE });
  const { sync } = engine.store;
  const { contextsInScope } = sync;
  let pages = 0;
  sync.contextsInScope = async (...args) => {
    const page = await contextsInScope(...args);
    pages += 1;
    // Behind what is being looked at: only the feed can tell of it.
    if (pages === 2) await put('000 late', memory('late'));
    return page;
  };
  await engine.drain(link);
  sync.contextsInScope = contextsInScope;
  await engine.drain(link);
  expect(remote.get('late')).not.toBeNull();
  expect(remote.all()).toHaveLength(ITEMS + 1);
});

it('tells of items that are set aside as they are named', async () => {
  remoteNamed('told');
  const { id: linkId } = await engine.addLink('fake', { remote: 'told' }, { scope: SCOPE });
  let told = 0;
  const sync = createSyncStore(engine.database, {
    onCommitted: () => undefined,
    onSettled: () => (told += 1),
  });
  const begun = await sync.beginPass({
    tenant: TENANT,
    linkId,
    trigger: 'test',
    newRunId: randomUUID() as RunId,
  });
  if (begun.status !== 'begun') throw new Error('the pass did not begin');
  const fault = { code: 'ITEM_INVALID', detail: 'no' };
  const key = `${SCOPE.prefix}odd/number` as ContextKey;
  const unfit = { key, status: 'quarantined', contextKind: 'memory', fault } as const;
  expect(await sync.insertNamed(begun.pass.ref, [unfit])).toBe(1);
  expect(told).toBe(1);
});
