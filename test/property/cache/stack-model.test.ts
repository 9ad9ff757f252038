/**
 * The cache against an oracle that knows what was acknowledged: processes that read, write, warm and
 * lose their shared layer, all at once, in every order that fast-check can think of.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { guardLayer, type GuardedLayer } from '../../../cache/guarded-layer.ts';
import { createMemoryLayer } from '../../../cache/memory-layer.ts';
import { createCache, type Cache, type Loaded } from '../../../cache/stack.ts';
import { createTagTable, type TagStore } from '../../../cache/tags.ts';
import {
  countingCounts,
  createSharedDouble,
  valueOf,
  type SharedDouble,
} from '../../support/cache-double.ts';

const KEYS = ['t1:a', 't1:b', 't2:a'] as const;
type Key = (typeof KEYS)[number];
const SOFT_MS = 5;

type Fault = 'none' | 'before' | 'after' | 'hang';

interface Op {
  readonly process: 0 | 1;
  readonly kind: 'read' | 'write' | 'retag' | 'warm' | 'evict' | 'flush';
  readonly key: Key;
  /** Turns of the event loop before it begins. */
  readonly startsAt: number;
  /** Turns each of its steps takes, in order. */
  readonly delays: readonly number[];
}

const opArbitrary: fc.Arbitrary<Op> = fc.record({
  process: fc.constantFrom(0, 1),
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant('read' as const) },
    { weight: 4, arbitrary: fc.constant('write' as const) },
    { weight: 1, arbitrary: fc.constantFrom('retag', 'warm', 'evict', 'flush') },
  ),
  key: fc.constantFrom(...KEYS),
  startsAt: fc.nat(12),
  delays: fc.array(fc.nat(4), { minLength: 1, maxLength: 6 }),
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function turns(count: number): Promise<void> {
  for (let nth = 0; nth < count; nth += 1) await turn();
}

/** Endless: the numbers again and again. */
function cycle<T>(items: readonly T[]): () => T {
  let at = 0;
  return () => items[at++ % items.length]!;
}

interface World {
  readonly caches: readonly Cache[];
  readonly shared: SharedDouble;
  readonly guards: readonly GuardedLayer[];
  /** What the source has. */
  readonly source: Map<Key, number>;
  /** The least a read may give: what was acknowledged, to whom. */
  readonly floors: readonly Map<Key, number>[];
  readonly failures: string[];
}

function createWorld(delays: readonly number[], faults: readonly Fault[]): World {
  const nextDelay = cycle(delays);
  const nextFault = cycle(faults);
  const shared = createSharedDouble();
  shared.step = async (when) => {
    const fault = nextFault();
    await turns(nextDelay());
    if (fault === 'hang') await new Promise((resolve) => setTimeout(resolve, 3 * SOFT_MS));
    else if (fault === when) throw new Error(`the shared layer fails ${when} its work`);
  };
  const tagVersions = new Map<string, string>();
  let ids = 0;
  const newId = (): string => `id-${(ids += 1)}`;
  const store: TagStore = {
    async read(tags) {
      await turns(nextDelay());
      const versions = tags.map((tag) => tagVersions.get(tag) ?? newId());
      tags.forEach((tag, nth) => tagVersions.set(tag, versions[nth]!));
      await turns(nextDelay());
      return versions;
    },
    async write(versions) {
      await turns(nextDelay());
      for (const [tag, version] of versions) tagVersions.set(tag, version);
      await turns(nextDelay());
    },
  };
  const guards = [0, 1].map(() =>
    guardLayer(shared, {
      softMs: SOFT_MS,
      hardMs: 2 * SOFT_MS,
      retryMs: 3,
      maxFailures: 2,
      random: () => 0.5,
    }),
  );
  const caches = guards.map((guard) =>
    createCache({
      layers: [createMemoryLayer({ name: 'l1', lifeMs: 60_000, maxBytes: 100_000 }), guard],
      tags: createTagTable({ store, now: Date.now, newId, isTrusting: true }),
      tagsOf: (key) => [key.split(':')[0]!],
      maxBytes: 1_000,
      counts: countingCounts(),
      now: Date.now,
      random: () => 0.5,
    }),
  );
  return {
    caches,
    shared,
    guards,
    source: new Map(KEYS.map((key) => [key, 1])),
    floors: [new Map(), new Map()],
    failures: [],
  };
}

async function run(world: World, op: Op): Promise<void> {
  const { caches, source, floors } = world;
  const cache = caches[op.process]!;
  const floor = floors[op.process]!;
  const pause = cycle(op.delays);
  await turns(op.startsAt);
  const load = async (): Promise<Loaded> => {
    await turns(pause());
    const version = source.get(op.key)!;
    await turns(pause());
    return valueOf(version);
  };
  if (op.kind === 'read') {
    const least = floor.get(op.key) ?? 0;
    const answer = await cache.getOrLoad(op.key, load);
    if (answer!.version < least)
      world.failures.push(`${op.key} at ${op.process}: ${answer!.version} < ${least}`);
  } else if (op.kind === 'write') {
    await turns(pause());
    const version = source.get(op.key)! + 1;
    source.set(op.key, version);
    await turns(pause());
    await cache.invalidate({ keys: [op.key] });
    // The announcement, where it is not lost.
    const other = 1 - op.process;
    const isClean = !world.guards[op.process]!.isOpen();
    if (isClean) {
      await turns(pause());
      caches[other]!.dropNear([op.key]);
      raise(floors[other]!, op.key, version);
    }
    raise(floor, op.key, version);
  } else if (op.kind === 'retag') {
    await cache.invalidate({ tags: [op.key.split(':')[0]!] });
  } else if (op.kind === 'warm') {
    await cache.setMany([op.key], async () => new Map([[op.key, await load()]]));
  } else if (op.kind === 'evict') {
    cache.dropNear([op.key]);
  } else {
    world.shared.flush();
  }
}

function raise(floor: Map<Key, number>, key: Key, version: number): void {
  floor.set(key, Math.max(version, floor.get(key) ?? 0));
}

/** When all is quiet, and the shared layer made right: what was committed is all there is. */
async function proveRest(world: World): Promise<void> {
  for (const guard of world.guards) while (guard.isOpen()) await turns(5);
  // The net tells each process of what nobody told it.
  for (const cache of world.caches) cache.dropNear(KEYS);
  for (const key of KEYS) {
    for (const cache of world.caches) {
      const answer = await cache.getOrLoad(key, async () => valueOf(world.source.get(key)!));
      expect([key, answer?.version]).toEqual([key, world.source.get(key)]);
    }
  }
}

const opsArbitrary = fc.array(opArbitrary, { minLength: 4, maxLength: 30 });
const delaysArbitrary = fc.array(fc.nat(3), { minLength: 1, maxLength: 9 });

describe('whatever happens at once', () => {
  it('no process gives an older version than it knows to be acknowledged', async () => {
    await fc.assert(
      fc.asyncProperty(opsArbitrary, delaysArbitrary, async (ops, delays) => {
        const world = createWorld(delays, ['none']);
        await Promise.all(ops.map((op) => run(world, op)));
        expect(world.failures).toEqual([]);
        await proveRest(world);
        world.guards.forEach((guard) => guard.stop());
      }),
      { numRuns: 150 },
    );
  }, 60_000);

  it('… also while the shared layer fails before or after its work, or hangs', async () => {
    const faultsArbitrary = fc
      .array(
        fc.oneof(
          { weight: 5, arbitrary: fc.constant('none' as const) },
          { weight: 1, arbitrary: fc.constantFrom<Fault[]>('before', 'after', 'hang') },
        ),
        { minLength: 5, maxLength: 20 },
      )
      .map((faults): Fault[] => [...faults, 'none', 'none', 'none']);
    await fc.assert(
      fc.asyncProperty(
        opsArbitrary,
        delaysArbitrary,
        faultsArbitrary,
        async (ops, delays, faults) => {
          const world = createWorld(delays, faults);
          await Promise.all(ops.map((op) => run(world, op)));
          expect(world.failures).toEqual([]);
          await proveRest(world);
          world.guards.forEach((guard) => guard.stop());
        },
      ),
      { numRuns: 80 },
    );
  }, 120_000);
});
