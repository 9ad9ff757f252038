import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import type { Memory } from '../../../domain/item.ts';
import { DEFAULT_GUARDS } from '../../../domain/link.ts';
import { CALLER, createTestEngine, type TestEngine } from '../../support/engine.ts';

const memory = (name: string, observations: string[], type = 'thing'): Memory => ({
  name,
  type,
  observations,
  relations: [],
});

describe.each(['A', 'B', 'C'] as const)('a link with a grade-%s remote', (grade) => {
  const remotes = new Map<string, FakeRemote>();
  let engine: TestEngine;
  let count = 0;

  beforeAll(async () => {
    remotes.set('first', createFakeRemote({ grade }));
    engine = await createTestEngine({ types: [createFakeType(remotes)] });
  });
  afterAll(() => engine.close());

  /** A fresh remote and link under a prefix of its own. */
  async function pair(more?: Parameters<TestEngine['addLink']>[2]) {
    count += 1;
    const name = `r${count}`;
    const remote = createFakeRemote({ grade });
    remotes.set(name, remote);
    const prefix = `p${count}/`;
    const link = await engine.addLink('fake', { remote: name }, { scope: { prefix }, ...more });
    const at = (tail: string): ContextKey => `${prefix}${tail}` as ContextKey;
    const put = (tail: string, data: Memory) =>
      engine.store.contexts.store(CALLER, {
        key: at(tail),
        data,
        options: { kind: 'memory', ttl: null },
      });
    const get = async (tail: string) =>
      (await engine.store.contexts.get(CALLER, at(tail)))?.data ?? null;
    const sync = (): ReturnType<TestEngine['drain']> => engine.drain(link);
    return { remote, link, at, put, get, sync };
  }

  async function seeded(
    link: { remote: FakeRemote; sync: () => Promise<unknown> },
    names: string[],
  ) {
    for (const name of names) link.remote.put(memory(name, [`about ${name}`]));
    await link.sync();
  }

  it('brings what the remote has into the hub and what the hub has to the remote', async () => {
    const { remote, put, get, sync } = await pair();
    remote.put(memory('Alice', ['likes tea']));
    await put('bob', memory('Bob', ['likes milk']));
    const result = await sync();
    expect(result).toMatchObject({ status: 'settled', counters: { applied: 2, conflicts: 0 } });
    expect(await get('alice')).toEqual(memory('Alice', ['likes tea']));
    expect(remote.get('Bob')).toEqual(memory('Bob', ['likes milk']));
  });

  it('writes nothing when nothing has changed, pass after pass', async () => {
    const { remote, link, put, sync } = await pair();
    remote.put(memory('Alice', ['likes tea']));
    await put('bob', memory('Bob', ['likes milk']));
    await sync();
    await sync();
    const head = await engine.store.contexts.changes(CALLER, { since: 'now', limit: 1 });
    const writes = remote.counters.writes;
    for (let nth = 0; nth < 10; nth += 1) {
      expect(await engine.pass(link)).toMatchObject({
        status: 'settled',
        counters: { planned: 0 },
      });
    }
    expect(remote.counters.writes).toBe(writes);
    expect(
      (await engine.store.contexts.changes(CALLER, { since: head.cursor, limit: 1 })).changes,
    ).toEqual([]);
  });

  it('merges what both sides changed in different places', async () => {
    const { remote, put, get, sync } = await pair();
    await seeded({ remote, sync }, ['Alice']);
    remote.put(memory('Alice', ['about Alice', 'from the remote']));
    await put('alice', memory('Alice', ['about Alice', 'from the hub']));
    expect(await sync()).toMatchObject({ counters: { merged: 1, conflicts: 0 } });
    const merged = memory('Alice', ['about Alice', 'from the hub', 'from the remote']);
    expect(await get('alice')).toEqual(merged);
    expect(remote.get('Alice')).toEqual(merged);
  });

  it('keeps a value that lost in the history of the context', async () => {
    const { remote, at, put, sync } = await pair({ strategy: 'prefer-hub' });
    await seeded({ remote, sync }, ['Alice']);
    remote.put(memory('Alice', ['about Alice'], 'from the remote'));
    await put('alice', memory('Alice', ['about Alice'], 'from the hub'));
    await sync();
    expect(remote.get('Alice')).toMatchObject({ type: 'from the hub' });
    const { items } = await engine.store.contexts.versions(CALLER, { key: at('alice'), limit: 10 });
    const bodies = await Promise.all(
      items.map(
        async (row) => (await engine.store.contexts.get(CALLER, at('alice'), row.version))?.data,
      ),
    );
    expect(bodies).toContainEqual(memory('Alice', ['about Alice'], 'from the remote'));
  });

  it('opens one conflict where both changed one value, and lets everything else flow', async () => {
    const { remote, link, put, get, sync } = await pair();
    await seeded({ remote, sync }, ['Alice', 'Bob']);
    remote.put(memory('Alice', ['about Alice'], 'remote type'));
    await put('alice', memory('Alice', ['about Alice'], 'hub type'));
    remote.put(memory('Bob', ['about Bob', 'more']));
    expect(await sync()).toMatchObject({ status: 'settled', counters: { conflicts: 1 } });
    expect(await get('bob')).toEqual(memory('Bob', ['about Bob', 'more']));

    const { items } = await engine.store.conflicts.list(CALLER, {
      linkId: link.id,
      status: 'open',
      limit: 10,
    });
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({
      base: memory('Alice', ['about Alice']),
      hub: memory('Alice', ['about Alice'], 'hub type'),
      remote: memory('Alice', ['about Alice'], 'remote type'),
      pointers: ['/type'],
      reason: 'edit/edit',
    });
    expect(await get('alice')).toMatchObject({ type: 'hub type' });
    expect(remote.get('Alice')).toMatchObject({ type: 'remote type' });
  });

  async function contested(more?: Parameters<typeof pair>[0]) {
    const all = await pair(more);
    await seeded(all, ['Alice']);
    all.remote.put(memory('Alice', ['about Alice'], 'remote type'));
    await all.put('alice', memory('Alice', ['about Alice'], 'hub type'));
    await all.sync();
    const { items } = await engine.store.conflicts.list(CALLER, { linkId: all.link.id, limit: 10 });
    return { ...all, conflict: items[0]! };
  }

  it.each([
    ['hub', 'hub type'],
    ['remote', 'remote type'],
    ['base', 'thing'],
  ] as const)('resolving a conflict with "%s" writes both sides', async (choice, type) => {
    const { remote, get, sync, conflict } = await contested();
    const resolved = await engine.store.conflicts.resolve(CALLER, conflict.id, {
      choice,
      by: 'ann',
    });
    expect(resolved).toMatchObject({ status: 'resolved', resolvedBy: 'ann' });
    expect(await sync()).toMatchObject({ status: 'settled', counters: { conflicts: 0 } });
    expect(await get('alice')).toMatchObject({ type });
    expect(remote.get('Alice')).toMatchObject({ type });
  });

  it('keeps both contested values in the history when a conflict is resolved', async () => {
    const { at, sync, conflict } = await contested();
    await engine.store.conflicts.resolve(CALLER, conflict.id, { choice: 'base', by: 'ann' });
    await sync();
    const { items } = await engine.store.contexts.versions(CALLER, { key: at('alice'), limit: 10 });
    const types = await Promise.all(
      items.map(async ({ version }) => {
        const old = await engine.store.contexts.get(CALLER, at('alice'), version);
        return (old?.data as unknown as Memory).type;
      }),
    );
    expect(types).toEqual(expect.arrayContaining(['hub type', 'remote type', 'thing']));
  });

  it('refuses to resolve a conflict that has moved on', async () => {
    const { remote, sync, conflict } = await contested();
    remote.put(memory('Alice', ['about Alice'], 'newer remote type'));
    await sync();
    const [current] = (
      await engine.store.conflicts.list(CALLER, {
        linkId: conflict.linkId,
        status: 'open',
        limit: 9,
      })
    ).items;
    expect(current).toMatchObject({ id: conflict.id, remote: { type: 'newer remote type' } });
    await engine.store.contexts.update(CALLER, {
      key: conflict.key,
      data: { type: 'newer hub type' },
      changeType: 'merge',
      options: {},
    });
    await expect(
      engine.store.conflicts.resolve(CALLER, conflict.id, { choice: 'hub', by: null }),
    ).rejects.toMatchObject({ code: 'CONFLICT_MOVED' });
  });

  it('offers the decision again when the remote moved between decision and run', async () => {
    const { remote, link, sync, conflict } = await contested();
    await engine.store.conflicts.resolve(CALLER, conflict.id, { choice: 'hub', by: 'ann' });
    remote.put(memory('Alice', ['about Alice'], 'moved on'));
    await sync();
    const { items } = await engine.store.conflicts.list(CALLER, {
      linkId: link.id,
      status: 'open',
      limit: 9,
    });
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({ hub: { type: 'hub type' }, remote: { type: 'moved on' } });
  });

  it('closes a conflict by itself when the sides come to agree', async () => {
    const { remote, link, sync } = await contested();
    remote.put(memory('Alice', ['about Alice'], 'hub type'));
    await sync();
    const { items } = await engine.store.conflicts.list(CALLER, { linkId: link.id, limit: 9 });
    expect(items.map((conflict) => conflict.status)).toEqual(['closed']);
    expect((await engine.store.links.status(CALLER, link.id)).conflicts).toBe(0);
  });

  it('carries deletes both ways, and an edit beats a delete', async () => {
    const { remote, at, put, get, sync } = await pair();
    await seeded({ remote, sync }, ['A1', 'A2', 'A3', 'A4']);
    const tails = ['a1', 'a2', 'a3', 'a4'];
    remote.remove('A1');
    await engine.store.contexts.delete(CALLER, { key: at(tails[1]!) });
    remote.remove('A3');
    await put(tails[2]!, memory('A3', ['edited']));
    await engine.store.contexts.delete(CALLER, { key: at(tails[3]!) });
    remote.put(memory('A4', ['edited']));
    await sync();
    expect(await get(tails[0]!)).toBeNull();
    expect(remote.get('A2')).toBeNull();
    expect(remote.get('A3')).toEqual(memory('A3', ['edited']));
    expect(await get(tails[3]!)).toEqual(memory('A4', ['edited']));
    expect(await sync()).toMatchObject({ counters: { planned: 0 } });
  });

  it('parks instead of emptying the hub, and goes on when the remote is back', async () => {
    const { remote, link, get, sync } = await pair();
    await seeded({ remote, sync }, ['Alice', 'Bob']);
    remote.remove('Alice');
    remote.remove('Bob');
    const parked = await sync();
    expect(parked).toMatchObject({ status: 'parked', guard: { code: 'EMPTY_SIDE' } });
    expect(await get('alice')).toEqual(memory('Alice', ['about Alice']));
    expect(await engine.pass(link)).toMatchObject({ status: 'refused' });
    remote.put(memory('Alice', ['about Alice']));
    remote.put(memory('Bob', ['about Bob']));
    await engine.store.runs.request(CALLER, link.id, 'operator');
    expect(await sync()).toMatchObject({ status: 'settled' });
    expect((await engine.store.links.get(CALLER, link.id)).state).toBe('active');
  });

  it('executes exactly the parked plan once it is approved', async () => {
    const { remote, link, get, sync } = await pair();
    await seeded({ remote, sync }, ['Alice', 'Bob']);
    remote.remove('Alice');
    remote.remove('Bob');
    await sync();
    const planId = (await engine.store.links.get(CALLER, link.id)).guard!.planId!;
    const { items: ops } = await engine.store.runs.ops(CALLER, planId as never, { limit: 10 });
    expect(ops.map((op) => [op.op, op.side])).toEqual([
      ['delete', 'hub'],
      ['delete', 'hub'],
    ]);
    await engine.store.runs.approve(CALLER, planId as never);
    await sync();
    expect(await get('alice')).toBeNull();
    expect(await get('bob')).toBeNull();
    expect(await engine.store.runs.get(CALLER, planId as never)).toMatchObject({
      status: 'settled',
    });
  });

  it('quarantines a context of another shape with the reason and goes on with the rest', async () => {
    const { remote, link, at, put, sync } = await pair();
    await engine.store.contexts.store(CALLER, {
      key: at('odd'),
      data: { any: 1 },
      options: { ttl: null },
    });
    await put('bob', memory('Bob', ['fine']));
    expect(await sync()).toMatchObject({ status: 'settled' });
    expect(remote.get('Bob')).toEqual(memory('Bob', ['fine']));
    expect(await engine.store.links.quarantined(CALLER, link.id)).toMatchObject([
      { key: at('odd'), code: 'ITEM_INVALID' },
    ]);
    await put('odd', memory('Odd', ['mended']));
    await sync();
    expect(remote.get('Odd')).toEqual(memory('Odd', ['mended']));
  });

  it('finds the item again under whatever key its context has', async () => {
    const { remote, put, get, sync } = await pair();
    remote.put(memory('Alice', ['from the remote']));
    await put('somebody', memory('Alice', ['from the hub']));
    await sync();
    expect(await get('somebody')).toEqual(memory('Alice', ['from the hub', 'from the remote']));
    expect(await get('alice')).toBeNull();
  });

  it('sees a change made while it wrote, and loses neither', async () => {
    const { remote, at, get, put, sync } = await pair();
    await seeded({ remote, sync }, ['Alice']);
    await put('alice', memory('Alice', ['about Alice', 'hub 1']));
    let isDone = false;
    remote.hooks.afterCall = async ({ method }) => {
      if (method !== 'apply' || isDone) return;
      isDone = true;
      remote.put(memory('Alice', ['about Alice', 'hub 1', 'remote 2']));
      await engine.store.contexts.update(CALLER, {
        key: at('alice'),
        data: { observations: ['hub 2'] },
        changeType: 'append',
        options: {},
      });
    };
    await sync();
    await sync();
    const both = memory('Alice', ['about Alice', 'hub 1', 'hub 2', 'remote 2']);
    expect(await get('alice')).toEqual(both);
    expect(remote.get('Alice')).toEqual(both);
  });

  it('finishes what a crash left open, once', async () => {
    const { remote, link, put, get, sync } = await pair();
    await seeded({ remote, sync }, ['Alice', 'Bob']);
    await put('alice', memory('Alice', ['about Alice', 'new']));
    await put('carol', memory('Carol', ['created']));
    remote.inject({ kind: 'lost-answer', on: 'apply' });
    expect(await engine.pass(link)).toMatchObject({ status: 'failed' });
    remote.clearFaults();
    await sync();
    expect(remote.get('Alice')).toEqual(memory('Alice', ['about Alice', 'new']));
    expect(await get('alice')).toEqual(memory('Alice', ['about Alice', 'new']));
    expect(remote.get('Carol')).toEqual(memory('Carol', ['created']));
    expect(await sync()).toMatchObject({ counters: { planned: 0 } });
  });

  it('deletes nothing after a reset, and finds both sides equal', async () => {
    const { remote, link, sync } = await pair();
    await seeded({ remote, sync }, ['Alice', 'Bob']);
    await engine.store.links.reset(CALLER, link.id);
    const writes = remote.counters.writes;
    expect(await sync()).toMatchObject({ status: 'settled', counters: { planned: 0 } });
    expect(remote.counters.writes).toBe(writes);
    expect((await engine.store.links.status(CALLER, link.id)).items).toBe(2);
  });

  it('keeps the hub unwritten on a push link until asked', async () => {
    const { remote, put, get, sync } = await pair({ direction: 'push', guards: DEFAULT_GUARDS });
    await put('alice', memory('Alice', ['from the hub']));
    await sync();
    remote.put(memory('Alice', ['edited there']));
    remote.put(memory('Zoe', ['only there']));
    await sync();
    expect(await get('alice')).toEqual(memory('Alice', ['from the hub']));
    expect(await get('zoe')).toBeNull();
    expect(remote.get('Zoe')).toEqual(memory('Zoe', ['only there']));
  });
});
