import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createConflictSteps } from '../../../activities/conflicts.ts';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import { systemClock } from '../../../domain/clock.ts';
import { AppError } from '../../../domain/errors.ts';
import { hashJson } from '../../../domain/hash.ts';
import type { ContextKey, RunId } from '../../../domain/ids.ts';
import type { Memory } from '../../../domain/item.ts';
import { NO_COUNTS, type Conflict, type FallbackStrategy } from '../../../domain/link.ts';
import { CALLER, createTestEngine, TENANT, type TestEngine } from '../../support/engine.ts';

const memory = (name: string, observations: string[], type = 'thing'): Memory => ({
  name,
  type,
  observations,
  relations: [],
});

const remotes = new Map<string, FakeRemote>();
const clock = { offsetMs: 0, now: () => systemClock.now() + clock.offsetMs };
let engine: TestEngine;
let count = 0;

beforeAll(async () => {
  remotes.set('first', createFakeRemote({ grade: 'A' }));
  engine = await createTestEngine({ types: [createFakeType(remotes)], clock });
});
afterAll(() => engine.close());

async function pair(more?: Parameters<TestEngine['addLink']>[2]) {
  count += 1;
  const name = `r${count}`;
  const remote = createFakeRemote({ grade: 'A' });
  remotes.set(name, remote);
  const prefix = `c${count}/`;
  const link = await engine.addLink('fake', { remote: name }, { scope: { prefix }, ...more });
  const at = (tail: string): ContextKey => `${prefix}${tail}` as ContextKey;
  return {
    remote,
    link,
    at,
    put: (tail: string, data: Memory) =>
      engine.store.contexts.store(CALLER, {
        key: at(tail),
        data,
        options: { kind: 'memory', ttl: null },
      }),
    get: async (tail: string) =>
      (await engine.store.contexts.get(CALLER, at(tail)))?.data as unknown as Memory | undefined,
    history: async (tail: string) => {
      const { items } = await engine.store.contexts.versions(CALLER, { key: at(tail), limit: 50 });
      return Promise.all(
        items.map(
          async ({ version }) =>
            (await engine.store.contexts.get(CALLER, at(tail), version))?.data as unknown as Memory,
        ),
      );
    },
    sync: () => engine.drain(link),
    conflicts: async (status?: Conflict['status']) =>
      (await engine.store.conflicts.list(CALLER, { linkId: link.id, status, limit: 100 })).items,
  };
}

/** A link whose items of these names are in conflict over their type. */
async function contested(names = ['Alice'], more?: Parameters<typeof pair>[0]) {
  const all = await pair(more);
  for (const name of names) all.remote.put(memory(name, ['seen']));
  await all.sync();
  for (const name of names) {
    all.remote.put(memory(name, ['seen'], 'remote type'));
    await all.put(name.toLowerCase(), memory(name, ['seen'], 'hub type'));
  }
  await all.sync();
  const conflicts = await all.conflicts('open');
  expect(conflicts).toHaveLength(names.length);
  return { ...all, conflict: conflicts[0]! };
}

async function refusal(work: Promise<unknown>): Promise<AppError> {
  const thrown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  if (thrown instanceof AppError) return thrown;
  throw new Error(`not refused: ${String(thrown)}`);
}

const offered = (error: AppError): Conflict => error.extra['conflict'] as Conflict;

async function messages(topic: string): Promise<unknown[]> {
  const rows = await engine.database.withTenant(TENANT, (tx) =>
    tx.query<{ payload: { conflictId: string } }>('SELECT payload FROM outbox WHERE topic = $1', [
      topic,
    ]),
  );
  return rows.map((row) => row.payload.conflictId);
}

describe('an open conflict', () => {
  it('keeps its row, its id and its due time while both sides go on being edited', async () => {
    const { remote, put, get, sync, conflicts, conflict } = await contested(['Alice'], {
      conflictFallback: { afterMs: 3_600_000, strategy: 'latest' },
    });
    expect(Date.parse(conflict.dueAt!) - Date.parse(conflict.createdAt)).toBe(3_600_000);
    remote.put(memory('Alice', ['seen'], 'remote again'));
    await put('alice', memory('Alice', ['seen'], 'hub again'));
    await sync();
    const [now, ...others] = await conflicts();
    expect(others).toEqual([]);
    expect(now).toMatchObject({ id: conflict.id, dueAt: conflict.dueAt, status: 'open' });
    expect(now!.revision).toBeGreaterThan(conflict.revision);
    expect(now!.hub).toMatchObject({ type: 'hub again' });
    expect(now!.remote).toMatchObject({ type: 'remote again' });
    expect(await get('alice')).toMatchObject({ type: 'hub again' });
    expect(remote.get('Alice')).toMatchObject({ type: 'remote again' });
  });

  it('is counted at the end of every pass while it is open, also of one that finds nothing new', async () => {
    const { link, put, sync } = await contested(['Alice', 'Bob']);
    const quietPass = async (): Promise<number> => {
      const newRunId = randomUUID() as RunId;
      const pass = { tenant: TENANT, linkId: link.id, trigger: 'test', newRunId };
      const begun = await engine.store.sync.beginPass(pass);
      if (begun.status !== 'begun') throw new Error(begun.why);
      const end = { status: 'settled', mode: 'look', trigger: 'test', phases: {} } as const;
      const rest = { counters: { ...NO_COUNTS }, guard: null, error: null, isNotable: false };
      const { ref } = begun.pass;
      return (await engine.store.sync.finishPass(ref, { ...end, ...rest })).openConflicts;
    };
    expect(await quietPass()).toBe(2);
    await put('alice', memory('Alice', ['seen'], 'remote type'));
    await sync();
    expect(await quietPass()).toBe(1);
  });

  it('announces itself once with its link, and its end once', async () => {
    const { link, put, sync, conflict } = await contested();
    const told = await engine.database.withTenant(TENANT, (tx) =>
      tx.query<{ link: string }>(
        `SELECT payload->>'linkId' AS link FROM outbox WHERE topic = 'conflict.opened' AND payload->>'conflictId' = $1`,
        [conflict.id],
      ),
    );
    expect(told).toEqual([{ link: link.id }]);
    await put('alice', memory('Alice', ['seen'], 'hub again'));
    await sync();
    expect((await messages('conflict.opened')).filter((id) => id === conflict.id)).toHaveLength(1);
    await put('alice', memory('Alice', ['seen'], 'remote type'));
    await sync();
    expect((await messages('conflict.ended')).filter((id) => id === conflict.id)).toHaveLength(1);
  });

  it.each([
    ['both hold the same', 'remote type', 'remote type'],
    ['both are what they were before', 'thing', 'thing'],
    ['the hub takes its edit back', 'thing', 'remote type'],
    ['the remote takes its edit back', 'hub type', 'thing'],
  ])('closes itself when %s', async (_what, hubType, remoteType) => {
    const { remote, put, get, sync, conflicts, link } = await contested();
    remote.put(memory('Alice', ['seen'], remoteType));
    await put('alice', memory('Alice', ['seen'], hubType));
    await sync();
    expect((await conflicts()).map(({ status }) => status)).toEqual(['closed']);
    expect(await get('alice')).toEqual(remote.get('Alice'));
    expect((await engine.store.links.status(CALLER, link.id)).conflicts).toBe(0);
    expect(await sync()).toMatchObject({ counters: { planned: 0, conflicts: 0 } });
  });

  it('is closed when its link is reset, and told to end when its link is removed', async () => {
    const first = await contested();
    await engine.store.links.reset(CALLER, first.link.id);
    expect((await first.conflicts()).map(({ status }) => status)).toEqual(['closed']);
    const second = await contested();
    await engine.store.links.remove(CALLER, second.link.id);
    expect(await messages('conflict.ended')).toEqual(
      expect.arrayContaining([first.conflict.id, second.conflict.id]),
    );
  });

  it('gets and loses its due time with the fallback of its link, which is no new epoch', async () => {
    const { link, conflicts, conflict } = await contested();
    expect(conflict.dueAt).toBeNull();
    const { links } = engine.store;
    const fallback = { afterMs: 60_000, strategy: 'union' } as const;
    const patched = await links.patch(CALLER, link.id, { conflictFallback: fallback });
    expect(patched).toMatchObject({ conflictFallback: fallback, epoch: link.epoch });
    const [due] = await conflicts('open');
    expect(Date.parse(due!.dueAt!) - Date.parse(due!.createdAt)).toBe(60_000);
    await links.patch(CALLER, link.id, { name: `${link.name}x` });
    expect((await links.get(CALLER, link.id)).conflictFallback).toEqual(fallback);
    await links.patch(CALLER, link.id, { conflictFallback: null });
    expect((await conflicts('open'))[0]!.dueAt).toBeNull();
  });
});

describe('resolving', () => {
  it.each([
    ['hub', 'hub type'],
    ['remote', 'remote type'],
    ['base', 'thing'],
    ['merged', 'thing'],
  ] as const)('with "%s" reaches both sides and keeps the losers', async (choice, type) => {
    const { remote, get, sync, history, conflict, conflicts } = await contested();
    await engine.store.conflicts.resolve(CALLER, conflict.id, { choice, by: 'ann' });
    expect(await sync()).toMatchObject({ status: 'settled', counters: { conflicts: 0 } });
    expect(await get('alice')).toMatchObject({ type });
    expect(remote.get('Alice')).toMatchObject({ type });
    const types = (await history('alice')).map((old) => old.type);
    expect(types).toEqual(expect.arrayContaining(['hub type', 'remote type', type]));
    expect(await conflicts()).toMatchObject([{ status: 'resolved', resolvedBy: 'ann' }]);
    expect(await sync()).toMatchObject({ counters: { planned: 0 } });
  });

  it('takes another value, given or named by the hash it is stored under', async () => {
    const other = memory('Alice', ['seen'], 'decided');
    const first = await contested();
    await engine.store.conflicts.resolve(CALLER, first.conflict.id, {
      choice: 'value',
      value: other,
      by: 'ann',
    });
    await first.sync();
    expect(first.remote.get('Alice')).toMatchObject({ type: 'decided' });
    const second = await contested();
    const valueHash = hashJson(other);
    await engine.store.conflicts.resolve(CALLER, second.conflict.id, {
      choice: 'value',
      valueHash,
      by: 'ann',
    });
    await second.sync();
    expect(second.remote.get('Alice')).toMatchObject({ type: 'decided' });
  });

  it('refuses what the conflict does not have, and changes nothing', async () => {
    const { remote, put, sync, conflicts } = await pair();
    remote.put(memory('Zoe', [], 'remote type'));
    await put('zoe', memory('Zoe', [], 'hub type'));
    await sync();
    const [conflict] = await conflicts('open');
    expect(conflict).toMatchObject({ reason: 'create/create', base: null });
    const resolve = (resolution: object) =>
      refusal(
        engine.store.conflicts.resolve(CALLER, conflict!.id, {
          by: null,
          ...resolution,
        } as never),
      );
    expect(await resolve({ choice: 'base' })).toMatchObject({ code: 'VALIDATION' });
    expect(await resolve({ choice: 'value' })).toMatchObject({ code: 'VALIDATION' });
    const unknown = { choice: 'value', valueHash: 'f'.repeat(64) };
    expect(await resolve(unknown)).toMatchObject({ code: 'VALIDATION' });
    const wrong = { choice: 'value', value: { name: 'Zoe' } };
    expect((await resolve(wrong)).errors[0]?.pointer).toBe('/value/type');
    const large = memory('Zoe', ['x'.repeat(11 * 1024 * 1024)]);
    expect(await resolve({ choice: 'value', value: large })).toMatchObject({
      code: 'CONTEXT_TOO_LARGE',
    });
    expect(await conflicts('open')).toEqual([conflict]);
  });

  it('offers the conflict again when the hub has changed since', async () => {
    const { put, get, conflict } = await contested();
    await put('alice', memory('Alice', ['seen'], 'hub again'));
    const resolve = { choice: 'remote', by: null } as const;
    const error = await refusal(engine.store.conflicts.resolve(CALLER, conflict.id, resolve));
    expect(error.code).toBe('CONFLICT_MOVED');
    expect(offered(error)).toMatchObject({
      id: conflict.id,
      status: 'open',
      hub: { type: 'hub again' },
      remote: { type: 'remote type' },
      proposal: null,
    });
    expect(await get('alice')).toMatchObject({ type: 'hub again' });
  });

  it('offers it again when it is at another revision than the one that was read', async () => {
    const { remote, sync, conflict } = await contested();
    remote.put(memory('Alice', ['seen'], 'remote again'));
    await sync();
    const stale = { choice: 'hub', by: null, ifRevision: conflict.revision } as const;
    const error = await refusal(engine.store.conflicts.resolve(CALLER, conflict.id, stale));
    expect(error.code).toBe('CONFLICT_MOVED');
    const now = offered(error);
    expect(now).toMatchObject({ id: conflict.id, remote: { type: 'remote again' } });
    await engine.store.conflicts.resolve(CALLER, now.id, { ...stale, ifRevision: now.revision });
    await sync();
    expect(remote.get('Alice')).toMatchObject({ type: 'hub type' });
  });

  it('never overwrites a remote that moved before anybody looked: it is offered again', async () => {
    const { remote, get, sync, history, conflicts, conflict } = await contested();
    remote.put(memory('Alice', ['seen'], 'remote, unseen'));
    await engine.store.conflicts.resolve(CALLER, conflict.id, { choice: 'hub', by: 'ann' });
    await sync();
    expect(remote.get('Alice')).toMatchObject({ type: 'remote, unseen' });
    const [again] = await conflicts('open');
    expect(again).toMatchObject({
      hub: { type: 'hub type' },
      remote: { type: 'remote, unseen' },
    });
    const late = await refusal(
      engine.store.conflicts.resolve(CALLER, conflict.id, { choice: 'hub', by: 'bob' }),
    );
    expect(late.code).toBe('CONFLICT_MOVED');
    expect(offered(late).id).toBe(again!.id);
    await engine.store.conflicts.resolve(CALLER, again!.id, { choice: 'remote', by: 'ann' });
    await sync();
    expect(await get('alice')).toMatchObject({ type: 'remote, unseen' });
    const types = (await history('alice')).map((old) => old.type);
    expect(types).toEqual(expect.arrayContaining(['hub type', 'remote type', 'remote, unseen']));
  });

  it('an edit against a delete decides for the one or the other', async () => {
    for (const choice of ['hub', 'remote'] as const) {
      const { remote, put, get, sync, conflicts } = await pair({ strategy: 'manual' });
      for (const name of ['Alice', 'Bob']) remote.put(memory(name, ['seen']));
      await sync();
      remote.remove('Alice');
      await put('alice', memory('Alice', ['seen'], 'hub type'));
      await sync();
      const [conflict] = await conflicts('open');
      expect(conflict).toMatchObject({ reason: 'edit/delete', remote: null });
      await engine.store.conflicts.resolve(CALLER, conflict!.id, { choice, by: 'ann' });
      await sync();
      const left = choice === 'hub' ? memory('Alice', ['seen'], 'hub type') : null;
      expect((await get('alice')) ?? null).toEqual(left);
      expect(remote.get('Alice')).toEqual(left);
    }
  });
});

describe('many at once', () => {
  const query = { filter: {}, choice: 'remote', by: 'ann', limit: 100 } as const;

  it('are previewed without changing anything, then resolved one by one', async () => {
    const { link, remote, get, sync, conflicts } = await contested(['Alice', 'Bob', 'Cleo']);
    const preview = await engine.store.conflicts.previewMany(CALLER, link.id, query);
    expect(preview.count).toBe(3);
    expect(preview.items).toHaveLength(3);
    expect(preview.items[0]).toMatchObject({
      status: 'resolvable',
      hub: { before: { type: 'hub type' }, after: { type: 'remote type' } },
      remote: { before: { type: 'remote type' }, after: { type: 'remote type' } },
    });
    expect(await conflicts('open')).toHaveLength(3);
    const done = await engine.store.conflicts.resolveMany(CALLER, link.id, query);
    expect(done.items.map(({ status }) => status)).toEqual(['resolved', 'resolved', 'resolved']);
    await sync();
    for (const name of ['Alice', 'Bob', 'Cleo']) {
      expect(remote.get(name)).toMatchObject({ type: 'remote type' });
      expect(await get(name.toLowerCase())).toMatchObject({ type: 'remote type' });
    }
  });

  it('that cannot be resolved are listed with the reason and do not hold up the rest', async () => {
    const { link, put, conflicts } = await contested(['Alice', 'Bob', 'Cleo']);
    await put('bob', memory('Bob', ['seen'], 'hub again'));
    for (const run of ['previewMany', 'resolveMany'] as const) {
      const { items } = await engine.store.conflicts[run](CALLER, link.id, query);
      expect(items.filter(({ status }) => status === 'refused')).toMatchObject([
        { key: expect.stringMatching(/bob$/) as string, code: 'CONFLICT_MOVED' },
      ]);
    }
    expect(await conflicts('open')).toHaveLength(1);
  });

  it('are chosen by reason, prefix and key, and paged', async () => {
    const { link, at } = await contested(['Alice', 'Bob', 'Cleo']);
    const keysOf = async (filter: object, limit = 100) =>
      (
        await engine.store.conflicts.previewMany(CALLER, link.id, { ...query, filter, limit })
      ).items.map(({ key }) => key);
    expect(await keysOf({ prefix: at('a') })).toEqual([at('alice')]);
    expect(await keysOf({ key: at('bob') })).toEqual([at('bob')]);
    expect(await keysOf({ reason: 'edit/delete' })).toEqual([]);
    expect(await keysOf({ reason: 'edit/edit' })).toHaveLength(3);
    const first = await engine.store.conflicts.previewMany(CALLER, link.id, { ...query, limit: 2 });
    expect([first.count, first.items.length]).toEqual([3, 2]);
    const rest = await engine.store.conflicts.previewMany(CALLER, link.id, {
      ...query,
      limit: 2,
      cursor: first.nextCursor!,
    });
    expect([rest.items.length, rest.nextCursor]).toEqual([1, null]);
  });
});

describe('a fallback', () => {
  const steps = () =>
    createConflictSteps({
      watch: engine.store.conflictWatch,
      conflicts: engine.store.conflicts,
      clock,
    });
  const due = (strategy: FallbackStrategy) => ({
    conflictFallback: { afterMs: 60_000, strategy },
  });
  async function later<T>(work: () => Promise<T>): Promise<T> {
    clock.offsetMs = 61_000;
    try {
      return await work();
    } finally {
      clock.offsetMs = 0;
    }
  }

  it.each([
    ['prefer-hub', 'hub type'],
    ['prefer-remote', 'remote type'],
    ['union', null],
    ['intersection', null],
    ['latest', null],
  ] as const)('%s decides what is due, through the path of a person', async (strategy, type) => {
    const { remote, get, sync, history, conflicts, conflict } = await contested(
      ['Alice'],
      due(strategy),
    );
    const ref = { tenant: TENANT, conflictId: conflict.id };
    expect(await steps().applyFallback(ref)).toEqual({ status: 'not-yet' });
    expect(await later(() => steps().applyFallback(ref))).toEqual({ status: 'resolved' });
    await sync();
    expect(await conflicts()).toMatchObject([
      { status: 'resolved', resolvedBy: `fallback:${strategy}` },
    ]);
    expect(await get('alice')).toEqual(remote.get('Alice'));
    if (type !== null) expect(await get('alice')).toMatchObject({ type });
    const types = (await history('alice')).map((old) => old.type);
    expect(types).toEqual(expect.arrayContaining(['hub type', 'remote type']));
    expect(await later(() => steps().applyFallback(ref))).toEqual({ status: 'ended' });
  });

  it('decides nothing while the link is paused, or after the sides have moved', async () => {
    const { link, put, conflict } = await contested(['Alice'], due('prefer-hub'));
    const ref = { tenant: TENANT, conflictId: conflict.id };
    await engine.store.links.pause(CALLER, link.id);
    expect(await later(() => steps().applyFallback(ref))).toEqual({ status: 'not-yet' });
    expect(await steps().lookAtConflict(ref)).toMatchObject({
      isHeld: true,
      fallback: 'prefer-hub',
    });
    await engine.store.links.resume(CALLER, link.id);
    await put('alice', memory('Alice', ['seen'], 'hub again'));
    expect(await later(() => steps().applyFallback(ref))).toEqual({ status: 'moved' });
  });

  it('is looked after when its workflow may be missing: once per while, overdue ones first', async () => {
    const { link, conflict } = await contested(['Alice'], due('latest'));
    const mine = async () =>
      (await engine.store.conflictWatch.takeUnwatched(1000)).filter(
        ({ conflictId }) => conflictId === conflict.id,
      );
    expect(await mine()).toEqual([]);
    const age = (set: string) =>
      engine.database.withTenant(TENANT, (tx) =>
        tx.query(`UPDATE sync_conflicts SET ${set} WHERE id = $1`, [conflict.id]),
      );
    await age(`watched_at = now() - interval '11 minutes'`);
    expect(await mine()).toEqual([
      { tenant: TENANT, conflictId: conflict.id, linkId: link.id, isOverdue: false },
    ]);
    expect(await mine()).toEqual([]);
    await age(`watched_at = now() - interval '2 minutes', due_at = now() - interval '1 minute'`);
    expect(await mine()).toMatchObject([{ isOverdue: true }]);
    expect(await mine()).toEqual([]);
  });
});
