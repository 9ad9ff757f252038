/**
 * Random edits on both sides, at any moment, under faults: when edits stop, both sides are equal and
 * no fact anybody wrote and nobody deleted is gone. Seeds that failed once are kept below.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FakeFault } from '../../../connectors/fake/fake-faults.ts';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import type { Memory } from '../../../domain/item.ts';
import { DEFAULT_GUARDS, type Link } from '../../../domain/link.ts';
import { CALLER, createTestEngine, type TestEngine } from '../../support/engine.ts';

const NAMES = ['Alice', 'Bob', 'Carol'] as const;
type Name = (typeof NAMES)[number];
/** Nothing parks here: what the guards do has tests of its own. */
const NO_GUARDS = { ...DEFAULT_GUARDS, maxDeleteCount: 1000, emptySide: false, allChanged: false };

type Step =
  | { readonly do: 'hub-add' | 'hub-delete' | 'remote-add' | 'remote-delete'; readonly name: Name }
  | { readonly do: 'pass' }
  | { readonly do: 'pass-with'; readonly fault: FakeFault }
  /** An edit while the pass talks to the remote. */
  | {
      readonly do: 'pass-while';
      readonly side: 'hub' | 'remote';
      readonly name: Name;
      readonly at: 'before' | 'after';
    };

const name = fc.constantFrom(...NAMES);
const fault: fc.Arbitrary<FakeFault> = fc.oneof(
  fc.record({ kind: fc.constant('lost-answer' as const), on: fc.constant('apply' as const) }),
  fc.record({
    kind: fc.constant('lost-answer' as const),
    on: fc.constant('apply' as const),
    afterOps: fc.constantFrom(0, 1),
  }),
  fc.record({
    kind: fc.constant('unreachable' as const),
    on: fc.constantFrom('observe', 'apply', 'read'),
  }),
  fc.record({
    kind: fc.constantFrom('truncated', 'doubled', 'reordered'),
    on: fc.constant('observe' as const),
  }),
  fc.record({
    kind: fc.constant('refuse-op' as const),
    on: fc.constant('apply' as const),
    index: fc.constant(0),
  }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('hub-add', 'remote-add'), name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('hub-delete', 'remote-delete'), name }) },
  { weight: 3, arbitrary: fc.constant({ do: 'pass' as const }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass-with' as const), fault }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('pass-while' as const),
      side: fc.constantFrom('hub', 'remote'),
      name,
      at: fc.constantFrom('before', 'after'),
    }),
  },
);

describe.each(['A', 'B', 'C'] as const)('random edits against a grade-%s remote', (grade) => {
  const remotes = new Map<string, FakeRemote>([['none', createFakeRemote({ grade })]]);
  let engine: TestEngine;
  let worlds = 0;
  beforeAll(async () => {
    engine = await createTestEngine({ types: [createFakeType(remotes)] });
  });
  afterAll(() => engine.close());

  it('converge, lose no fact and then fall silent', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
        await live(steps);
      }),
      { numRuns: Number(process.env['SYNCLINE_RUNS'] ?? 25), endOnFailure: false },
    );
  });

  async function live(steps: readonly Step[]): Promise<void> {
    const world = await createWorld();
    for (const one of steps) await world.take(one);
    await world.settleDown();
    await world.check();
  }

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
    return worldOf({ engine, remote, link, prefix });
  }
});

function worldOf(at: { engine: TestEngine; remote: FakeRemote; link: Link; prefix: string }) {
  const { engine, remote, link, prefix } = at;
  let facts = 0;
  /** Fact → where it was written; a deletion by the user of that side takes it off the list. */
  const written = new Map<string, { side: 'hub' | 'remote'; name: Name }>();
  const keyOf = (who: Name): ContextKey => `${prefix}${who.toLowerCase()}` as ContextKey;

  async function hubValue(who: Name): Promise<Memory | null> {
    return ((await engine.store.contexts.get(CALLER, keyOf(who)))?.data ?? null) as Memory | null;
  }
  const remoteValue = (who: Name): Memory | null => remote.get(who) as Memory | null;

  async function add(side: 'hub' | 'remote', who: Name): Promise<void> {
    facts += 1;
    const fact = `${side} fact ${facts}`;
    const before = (side === 'hub' ? await hubValue(who) : remoteValue(who)) ?? {
      name: who,
      type: 'person',
      observations: [],
      relations: [],
    };
    const after = { ...before, observations: [...before.observations, fact] };
    if (side === 'remote') remote.put(after);
    else
      await engine.store.contexts.store(CALLER, {
        key: keyOf(who),
        data: after,
        options: { kind: 'memory', ttl: null },
      });
    written.set(fact, { side, name: who });
  }

  async function remove(side: 'hub' | 'remote', who: Name): Promise<void> {
    const before = side === 'hub' ? await hubValue(who) : remoteValue(who);
    if (!before) return;
    // Whoever deletes an item deletes the facts they see in it.
    for (const fact of before.observations) written.delete(fact);
    if (side === 'remote') remote.remove(who);
    else await engine.store.contexts.delete(CALLER, { key: keyOf(who) });
  }

  async function take(step: Step): Promise<void> {
    switch (step.do) {
      case 'hub-add':
      case 'remote-add':
        return add(step.do === 'hub-add' ? 'hub' : 'remote', step.name);
      case 'hub-delete':
      case 'remote-delete':
        return remove(step.do === 'hub-delete' ? 'hub' : 'remote', step.name);
      case 'pass':
        await engine.pass(link);
        return;
      case 'pass-with':
        remote.inject(step.fault);
        await engine.pass(link);
        remote.clearFaults();
        return;
      case 'pass-while': {
        let isDone = false;
        const edit = async (): Promise<void> => {
          if (isDone) return;
          isDone = true;
          await add(step.side, step.name);
        };
        remote.hooks[step.at === 'before' ? 'beforeCall' : 'afterCall'] = ({ method }) =>
          method === 'apply' ? edit() : undefined;
        await engine.pass(link);
        remote.hooks.beforeCall = undefined;
        remote.hooks.afterCall = undefined;
      }
    }
  }

  /** Quarantined items wait for their back-off; here it is over at once. */
  async function settleDown(): Promise<void> {
    for (let nth = 0; nth < 12; nth += 1) {
      await engine.database.withTenant(CALLER.tenant, (tx) =>
        tx.query(
          'UPDATE sync_items SET retry_at = now() WHERE link_id = $1 AND retry_at IS NOT NULL',
          [link.id],
        ),
      );
      const result = await engine.pass(link);
      if (result.heldBack) nth -= 1;
      const isQuiet =
        result.status === 'settled' &&
        result.counters.planned === 0 &&
        result.inDoubt === 0 &&
        !result.heldBack;
      if (isQuiet && nth > 1) return;
    }
    throw new Error('the link never came to rest');
  }

  async function check(): Promise<void> {
    const { items: conflicts } = await engine.store.conflicts.list(CALLER, {
      linkId: link.id,
      status: 'open',
      limit: 10,
    });
    expect(conflicts).toEqual([]);
    for (const who of NAMES) {
      const [hub, there] = [await hubValue(who), remoteValue(who)];
      expect(sorted(hub)).toEqual(sorted(there));
    }
    for (const [fact, { name: who }] of written) {
      expect((await hubValue(who))?.observations ?? [], `"${fact}" of ${who}`).toContain(fact);
    }
  }

  return { take, settleDown, check };
}

function sorted(memory: Memory | null): Memory | null {
  return memory && { ...memory, observations: [...memory.observations].sort() };
}
