/**
 * Compaction changes no outcome (P20) and brings nothing back (P5): the same edits end the same with
 * and without it between any two steps; a link that slept beyond the horizon deletes nothing; a lost
 * base is a conflict and never a guess (P18).
 */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { ContextKey, RunId } from '../../../domain/ids.ts';
import type { Memory } from '../../../domain/item.ts';
import { DEFAULT_GUARDS } from '../../../domain/link.ts';
import type { RetentionPolicy } from '../../../store/contract.ts';
import { CALLER, createTestEngine, TENANT, type TestEngine } from '../../support/engine.ts';

const NAMES = ['Alice', 'Bob', 'Carol'] as const;
type Name = (typeof NAMES)[number];

/** Everything that may go goes at once. */
const AT_ONCE: RetentionPolicy = {
  keepDeletedMs: 0,
  horizonMs: 1e12,
  maxVersions: 1,
  keepRunsMs: 0,
  keepRunsPerLink: 0,
  keepAuditMs: 0,
  blobGraceMs: 0,
};
const NO_GUARDS = { ...DEFAULT_GUARDS, maxDeleteCount: 1000, emptySide: false, allChanged: false };

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom('add', 'type', 'delete'),
      side: fc.constantFrom('hub', 'remote'),
      name: fc.constantFrom(...NAMES),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ do: 'pass' as const }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

describe.each(['A', 'B', 'C'] as const)('compaction with a grade-%s remote', (grade) => {
  const remotes = new Map<string, FakeRemote>([['none', createFakeRemote({ grade })]]);
  let engine: TestEngine;
  let worlds = 0;
  beforeAll(async () => {
    engine = await createTestEngine({ types: [createFakeType(remotes)] });
  });
  afterAll(() => engine.close());
  afterEach(async () => {
    for (const { id } of (await engine.store.links.list(CALLER, { limit: 100 })).items)
      await engine.store.links.remove(CALLER, id);
  });

  async function createWorld() {
    worlds += 1;
    const id = `w${worlds}`;
    const remote = createFakeRemote({ grade });
    remotes.set(id, remote);
    const prefix = `${id}/`;
    const link = await engine.addLink(
      'fake',
      { remote: id },
      { scope: { prefix }, guards: NO_GUARDS },
    );
    const keyOf = (who: Name): ContextKey => `${prefix}${who.toLowerCase()}` as ContextKey;
    const hubValue = async (who: Name) =>
      ((await engine.store.contexts.get(CALLER, keyOf(who)))?.data ?? null) as Memory | null;
    const remoteValue = (who: Name) => remote.get(who) as Memory | null;
    const put = async (side: 'hub' | 'remote', value: Memory) => {
      if (side === 'remote') remote.put(value);
      else
        await engine.store.contexts.store(CALLER, {
          key: keyOf(value.name as Name),
          data: value,
          options: { kind: 'memory', ttl: null },
        });
    };
    const sql = (text: string, values: unknown[] = []) =>
      engine.database.withTenant(TENANT, (tx) => tx.query(text, [link.id, ...values]));
    return { remote, link, keyOf, hubValue, remoteValue, put, sql };
  }
  type World = Awaited<ReturnType<typeof createWorld>>;

  async function take(world: World, one: Step, nth: number): Promise<void> {
    if (one.do === 'pass') {
      await engine.drain(world.link);
      return;
    }
    const before =
      one.side === 'hub' ? await world.hubValue(one.name) : world.remoteValue(one.name);
    if (one.do === 'delete') {
      if (!before) return;
      if (one.side === 'remote') world.remote.remove(one.name);
      else await engine.store.contexts.delete(CALLER, { key: world.keyOf(one.name) });
      return;
    }
    const value = before ?? { name: one.name, type: 'person', observations: [], relations: [] };
    const more = `fact ${nth}`;
    await world.put(
      one.side,
      one.do === 'type'
        ? { ...value, type: more }
        : { ...value, observations: [...value.observations, more] },
    );
  }

  /** Both sides and the open conflicts, after the steps. */
  async function live(steps: readonly Step[], between: () => Promise<unknown>) {
    const world = await createWorld();
    for (const [nth, one] of steps.entries()) {
      await take(world, one, nth);
      await between();
    }
    await engine.drain(world.link);
    await between();
    await engine.drain(world.link);
    const { items } = await engine.store.conflicts.list(CALLER, {
      linkId: world.link.id,
      status: 'open',
      limit: 10,
    });
    const end = {
      hub: await Promise.all(NAMES.map(world.hubValue)),
      remote: NAMES.map(world.remoteValue),
      conflicts: items
        .map(({ key, reason, hub, remote, base, proposal }) => ({
          name: key.split('/')[1],
          reason,
          hub,
          remote,
          base,
          proposal,
        }))
        .sort((a, b) => (a.name! < b.name! ? -1 : 1)),
    };
    // A link that looks no more would hold back the feed, and so the compaction of other worlds.
    await engine.store.links.remove(CALLER, world.link.id);
    return end;
  }

  it('at any moment ends the same as none', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), async (steps) => {
        const plain = await live(steps, async () => undefined);
        const compacted = await live(steps, () => engine.store.retention.collect(TENANT, AT_ONCE));
        expect(compacted).toEqual(plain);
      }),
      { numRuns: Number(process.env['SYNCLINE_RUNS'] ?? 6), endOnFailure: false },
    );
  }, 300_000);

  it('leaves of what is gone on both sides only that it was deleted, and so it stays', async () => {
    const world = await createWorld();
    await world.put('hub', { name: 'Alice', type: 't', observations: ['a'], relations: [] });
    await engine.drain(world.link);
    world.remote.remove('Alice');
    await engine.drain(world.link);
    expect(await world.hubValue('Alice')).toBeNull();
    // One more change, because the newest of the feed always stays.
    await world.put('hub', { name: 'Bob', type: 't', observations: ['b'], relations: [] });
    await engine.drain(world.link);
    await engine.store.retention.collect(TENANT, AT_ONCE);
    const left = await world.sql(
      `SELECT version, hash FROM contexts WHERE key = $2 AND $1::uuid IS NOT NULL
       UNION ALL SELECT version, hash FROM context_versions WHERE key = $2
       UNION ALL SELECT 0, NULL FROM sync_items WHERE key = $2`,
      [world.keyOf('Alice')],
    );
    expect(left).toEqual(Array(2).fill({ version: 2, hash: null }));
    await engine.drain(world.link);
    expect([await world.hubValue('Alice'), world.remoteValue('Alice')]).toEqual([null, null]);
  });

  it('compares a link anew that slept beyond the horizon, and deletes nothing', async () => {
    const world = await createWorld();
    for (const name of NAMES)
      await world.put('hub', { name, type: 't', observations: [name], relations: [] });
    await engine.drain(world.link);
    await engine.store.links.pause(CALLER, world.link.id);
    await engine.store.contexts.delete(CALLER, { key: world.keyOf('Alice') });
    await world.put('hub', { name: 'Bob', type: 't', observations: ['Bob', 'b'], relations: [] });
    await world.put('hub', { name: 'Carol', type: 't', observations: ['Carol'], relations: [] });
    await engine.store.retention.collect(TENANT, { ...AT_ONCE, horizonMs: 0 });
    await engine.store.links.resume(CALLER, world.link.id);
    const before = (await engine.store.links.get(CALLER, world.link.id)).epoch;
    const result = await engine.drain(world.link);
    expect(result).toMatchObject({ status: 'settled', counters: { deletedRemote: 0 } });
    expect((await engine.store.links.get(CALLER, world.link.id)).epoch).toBe(before + 1);
    expect(world.remoteValue('Bob')?.observations).toEqual(['Bob', 'b']);
    expect((await world.hubValue('Alice'))?.observations).toEqual(['Alice']);
    await engine.drain(world.link);
    expect((await engine.store.links.get(CALLER, world.link.id)).epoch).toBe(before + 1);
  });

  it('says so to a pass whose cursor went beyond the horizon after it began', async () => {
    const world = await createWorld();
    const alice = { name: 'Alice', type: 't', observations: ['a'], relations: [] };
    await world.put('hub', alice);
    await engine.drain(world.link);
    const { id: linkId } = world.link;
    const begun = await engine.store.sync.beginPass({
      tenant: TENANT,
      linkId,
      trigger: 'test',
      newRunId: randomUUID() as RunId,
    });
    if (begun.status !== 'begun') throw new Error('the pass did not begin');
    await world.put('hub', { ...alice, observations: ['a', 'b'] });
    // Of the feed the newest change always stays.
    await world.put('hub', { ...alice, observations: ['a', 'b', 'c'] });
    await engine.shown();
    await engine.store.retention.collect(TENANT, { ...AT_ONCE, horizonMs: 0 });
    const looking = engine.store.sync.observeHub(begun.pass.ref, 100);
    await expect(looking).rejects.toMatchObject({ code: 'CURSOR_EXPIRED' });
    const { epoch } = world.link;
    expect(await engine.drain(world.link)).toMatchObject({ status: 'settled' });
    expect((await engine.store.links.get(CALLER, linkId)).epoch).toBe(epoch + 1);
    expect(world.remoteValue('Alice')?.observations).toEqual(['a', 'b', 'c']);
  });

  it('makes an item whose base is lost a conflict, and guesses nothing', async () => {
    const world = await createWorld();
    const alice = { name: 'Alice', type: 't', observations: ['a', 'b'], relations: [] };
    await world.put('hub', alice);
    await engine.drain(world.link);
    await world.put('hub', { ...alice, observations: ['b'] });
    await world.put('remote', { ...alice, observations: ['a', 'b', 'c'] });
    await world.sql(
      `DELETE FROM blobs b USING sync_items i WHERE i.link_id = $1 AND b.hash IN (i.base_hub_hash, i.base_remote_hash)`,
    );
    await engine.drain(world.link);
    const { items } = await engine.store.conflicts.list(CALLER, {
      linkId: world.link.id,
      limit: 10,
    });
    expect(items).toMatchObject([{ reason: 'base-lost', status: 'open', base: null }]);
    expect((await world.hubValue('Alice'))?.observations).toEqual(['b']);
    expect(world.remoteValue('Alice')?.observations).toEqual(['a', 'b', 'c']);
  });
});
