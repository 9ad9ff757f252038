import { describe, expect, it } from 'vitest';
import { createMemoryLayer } from '../../../cache/memory-layer.ts';
import { createCache, type CacheOptions, type Loaded } from '../../../cache/stack.ts';
import { createTagTable, prefixTags, type TagStore } from '../../../cache/tags.ts';
import { countingCounts, createSharedDouble, valueOf } from '../../support/cache-double.ts';

const SECOND = 1_000;

/** A cache of two layers whose time stands still until it is moved. */
function cacheUnderTest(options: Partial<CacheOptions> = {}) {
  const time = { now: 1_000_000 };
  const now = (): number => time.now;
  const near = createMemoryLayer({ name: 'l1', lifeMs: 300 * SECOND, maxBytes: 1_000_000 });
  const shared = createSharedDouble(3_600 * SECOND);
  const counts = countingCounts();
  const cache = createCache({
    layers: [near, shared],
    maxBytes: 1_000,
    counts,
    now,
    random: () => 0.5,
    ...options,
  });
  return { cache, near, shared, counts, time };
}

/** A load that waits until it is let go. */
function gatedLoad(value: () => Loaded | null = () => valueOf(1)) {
  let calls = 0;
  const waiting: (() => void)[] = [];
  return {
    load: async (): Promise<Loaded | null> => {
      calls += 1;
      const read = value();
      await new Promise<void>((resolve) => waiting.push(resolve));
      return read;
    },
    release: (): void => waiting.splice(0).forEach((resume) => resume()),
    calls: () => calls,
    async begun(): Promise<void> {
      while (waiting.length === 0) await settle();
    },
  };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function makeIds(): () => string {
  let made = 0;
  return () => `id-${(made += 1)}`;
}

function tagStore(): TagStore & {
  readonly versions: Map<string, string>;
  isOut: boolean;
  reads: number;
} {
  const versions = new Map<string, string>();
  const newId = makeIds();
  const store = {
    versions,
    isOut: false,
    reads: 0,
    async read(tags: readonly string[]) {
      store.reads += 1;
      if (store.isOut) throw new Error('out');
      return tags.map((tag) => {
        const version = versions.get(tag) ?? `s-${newId()}`;
        versions.set(tag, version);
        return version;
      });
    },
    async write(given: readonly (readonly [string, string])[]) {
      if (store.isOut) throw new Error('out');
      for (const [tag, version] of given) versions.set(tag, version);
    },
  };
  return store;
}

describe('reading', () => {
  it('asks the layers in order, then the source, and fills all of them', async () => {
    const { cache, near, shared } = cacheUnderTest();
    const load = async (): Promise<Loaded> => valueOf(7);
    const first = await cache.getOrLoad('k', load);
    expect(first).toMatchObject({ version: 7, from: 'source', freshness: 'fresh' });
    expect(await cache.getOrLoad('k', load)).toMatchObject({ from: 'l1' });
    near.deleteMany(['k']);
    expect(await cache.getOrLoad('k', load)).toMatchObject({ from: 'l2', version: 7 });
    expect(await cache.getOrLoad('k', load)).toMatchObject({ from: 'l1' });
    expect(shared.values.get('k')?.entry?.version).toBe(7);
  });

  it('a hit in the nearest layer asks no other, tagged or not', async () => {
    const store = tagStore();
    const time = { now: 1_000_000 };
    const table = createTagTable({ store, now: () => time.now, newId: makeIds() });
    const { cache, shared } = cacheUnderTest({
      now: () => time.now,
      tags: table,
      tagsOf: () => ['tag'],
    });
    await cache.getOrLoad('k', async () => valueOf(1));
    const before = { ...shared.calls, reads: store.reads };
    for (let nth = 0; nth < 100; nth += 1)
      expect(await cache.getOrLoad('k', async () => valueOf(2))).toMatchObject({ from: 'l1' });
    expect({ ...shared.calls, reads: store.reads }).toEqual(before);
  });

  it('what the source has not is kept nowhere', async () => {
    const { cache, near } = cacheUnderTest();
    expect(await cache.getOrLoad('k', async () => null)).toBeNull();
    expect(near.size().entries).toBe(0);
    expect(await cache.getOrLoad('k', async () => valueOf(1))).toMatchObject({ from: 'source' });
  });

  it('what must not be kept, or is too large, is kept nowhere', async () => {
    const { cache, near, shared } = cacheUnderTest();
    await cache.getOrLoad('secret', async () => valueOf(1, { isKept: false }));
    await cache.getOrLoad('large', async () => valueOf(1, { bytes: Buffer.alloc(1_001) }));
    await settle();
    expect(near.size().entries).toBe(0);
    expect(shared.calls.setMany).toBe(0);
  });

  it('keeps no more in memory than the value itself', async () => {
    const { cache, near } = cacheUnderTest();
    const chunk = Buffer.alloc(65_536, 'x');
    await cache.getOrLoad('k', async () => valueOf(1, { bytes: chunk.subarray(10, 110) }));
    const found = near.getMany(['k']) as readonly { entry: { bytes: Buffer } }[];
    expect(found[0]!.entry.bytes.buffer.byteLength).toBe(100);
    expect(found[0]!.entry.bytes.equals(chunk.subarray(10, 110))).toBe(true);
  });

  it('several keys at once: what the layers have, nothing else', async () => {
    const { cache, near } = cacheUnderTest();
    await cache.set('a', async () => valueOf(1));
    await cache.set('b', async () => valueOf(2));
    near.deleteMany(['b']);
    const found = await cache.getMany(['a', 'b', 'c']);
    expect([...found].map(([key, { from, version }]) => [key, from, version])).toEqual([
      ['a', 'l1', 1],
      ['b', 'l2', 2],
    ]);
    expect(await cache.get('b')).toMatchObject({ from: 'l1' });
    expect(await cache.get('c')).toBeNull();
  });
});

describe('a load under way', () => {
  it('is one for a hundred callers', async () => {
    const { cache, counts } = cacheUnderTest();
    const gate = gatedLoad();
    const callers = Array.from({ length: 100 }, () => cache.getOrLoad('k', gate.load));
    await gate.begun();
    gate.release();
    const answers = await Promise.all(callers);
    expect(gate.calls()).toBe(1);
    expect(new Set(answers.map((answer) => answer?.version))).toEqual(new Set([1]));
    expect(counts.seen['coalesced']).toBe(99);
    // Each of them found nothing in the cache.
    expect(counts.seen['miss']).toBe(100);
  });

  it('is one for a hundred callers also when it fails, and the next begins anew', async () => {
    const { cache } = cacheUnderTest();
    let calls = 0;
    const failing = async (): Promise<Loaded> => {
      calls += 1;
      await settle();
      throw new Error('the source is out');
    };
    const callers = Array.from({ length: 100 }, () => cache.getOrLoad('k', failing));
    const outcomes = await Promise.allSettled(callers);
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    expect(calls).toBe(1);
    await expect(cache.getOrLoad('k', failing)).rejects.toThrow('out');
    expect(calls).toBe(2);
  });

  it('a failure is remembered for a moment where that is asked for', async () => {
    const { cache, time } = cacheUnderTest({ failureMs: 100 });
    let calls = 0;
    const failing = async (): Promise<Loaded> => {
      calls += 1;
      throw new Error('out');
    };
    for (let nth = 0; nth < 5; nth += 1)
      await expect(cache.getOrLoad('k', failing)).rejects.toThrow('out');
    expect(calls).toBe(1);
    time.now += 101;
    await expect(cache.getOrLoad('k', failing)).rejects.toThrow('out');
    expect(calls).toBe(2);
    await cache.invalidate({ keys: ['k'] });
    await expect(cache.getOrLoad('k', failing)).rejects.toThrow('out');
    expect(calls).toBe(3);
  });

  it('does not bring back what was invalidated meanwhile, nor is it shared after that', async () => {
    const { cache, shared, counts } = cacheUnderTest();
    let version = 1;
    const old = gatedLoad(() => valueOf(version));
    const early = cache.getOrLoad('k', old.load);
    await old.begun();
    version = 2;
    await cache.invalidate({ keys: ['k'] });
    const late = cache.getOrLoad('k', async () => valueOf(version));
    expect(await late).toMatchObject({ version: 2, from: 'source' });
    old.release();
    expect(await early).toMatchObject({ version: 1 });
    await settle();
    expect(await cache.getOrLoad('k', async () => valueOf(3))).toMatchObject({
      version: 2,
      from: 'l1',
    });
    expect(shared.values.get('k')?.entry?.version).toBe(2);
    expect(counts.seen['refused:l1']).toBe(1);
    expect(counts.seen['refused:l2']).toBe(1);
  });

  it('that finds the old value in a layer below, while it is being deleted there, keeps nothing', async () => {
    const { cache, near, shared } = cacheUnderTest();
    await cache.getOrLoad('k', async () => valueOf(1));
    await settle();
    near.deleteMany(['k']);
    const reached: boolean[] = [];
    let goOn: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (goOn = resolve));
    shared.deleteMany = async (keys) => {
      reached.push(true);
      await gate;
      for (const key of keys) shared.values.delete(key);
    };
    const invalidating = cache.invalidate({ keys: ['k'] });
    while (reached.length === 0) await settle();
    // Not acknowledged yet, so the old one may still be given.
    expect(await cache.getOrLoad('k', async () => valueOf(2))).toMatchObject({ version: 1 });
    goOn();
    await invalidating;
    expect(await cache.getOrLoad('k', async () => valueOf(2))).toMatchObject({ version: 2 });
  });

  it('does not fill a shared layer that another process invalidated, or that was emptied', async () => {
    for (const undo of ['invalidate', 'flush'] as const) {
      const { cache, near, shared } = cacheUnderTest();
      const gate = gatedLoad();
      const reading = cache.getOrLoad('k', gate.load);
      await gate.begun();
      if (undo === 'flush') shared.flush();
      else await shared.deleteMany(['k']);
      gate.release();
      await reading;
      await settle();
      expect(shared.values.get('k')?.entry ?? null).toBeNull();
      near.deleteMany(['k']);
    }
  });
});

describe('life', () => {
  it('an upper layer never outlives the one below, and gets the life that is left', async () => {
    const { cache, near, shared, time } = cacheUnderTest();
    await cache.getOrLoad('k', async () => valueOf(1));
    await settle();
    const born = time.now;
    time.now = born + 3_500 * SECOND;
    await cache.getOrLoad('k', async () => valueOf(2));
    const [found] = near.getMany(['k']) as readonly { entry: { goneAt: number } }[];
    expect(found!.entry.goneAt).toBe(born + 3_600 * SECOND);
    expect(shared.values.get('k')?.entry?.goneAt).toBe(born + 3_600 * SECOND);
    time.now = born + 3_600 * SECOND;
    expect(await cache.getOrLoad('k', async () => valueOf(2))).toMatchObject({ from: 'source' });
  });

  it('is spread by a tenth, so that what came together does not go together', async () => {
    const goneAt: number[] = [];
    for (const random of [0, 0.5, 0.999999]) {
      const { cache, shared, time } = cacheUnderTest({ random: () => random });
      await cache.getOrLoad('k', async () => valueOf(1));
      await settle();
      goneAt.push(Math.round((shared.values.get('k')!.entry!.goneAt - time.now) / SECOND));
    }
    expect(goneAt).toEqual([3_240, 3_600, 3_960]);
  });

  it('ends in every layer at the moment the value itself is over', async () => {
    const { cache, near, time } = cacheUnderTest({ staleOnErrorMs: 60 * SECOND });
    const expiresAt = time.now + 1_500;
    await cache.getOrLoad('k', async () => valueOf(1, { expiresAt }));
    time.now = expiresAt - 1;
    expect(await cache.getOrLoad('k', async () => null)).toMatchObject({ from: 'l1' });
    near.deleteMany(['k']);
    expect(await cache.getOrLoad('k', async () => null)).toMatchObject({ from: 'l2' });
    time.now = expiresAt;
    expect(await cache.getOrLoad('k', async () => null)).toBeNull();
    const failing = async (): Promise<Loaded> => {
      throw new Error('out');
    };
    await expect(cache.getOrLoad('k', failing)).rejects.toThrow('out');
  });

  it('goes fresh, stale while a new one is fetched, stale where the source fails, gone', async () => {
    const { cache, counts, time } = cacheUnderTest({
      layers: [createMemoryLayer({ name: 'l1', lifeMs: 10 * SECOND, maxBytes: 1_000_000 })],
      staleWhileRefreshMs: 5 * SECOND,
      staleOnErrorMs: 20 * SECOND,
      jitter: 0,
    });
    const born = time.now;
    const failing = async (): Promise<Loaded> => {
      throw new Error('out');
    };
    await cache.getOrLoad('k', async () => valueOf(1));
    time.now = born + 11 * SECOND;
    const stale = await cache.getOrLoad('k', failing);
    expect(stale).toMatchObject({ version: 1, freshness: 'stale' });
    await settle();
    time.now = born + 16 * SECOND;
    expect(await cache.getOrLoad('k', failing)).toMatchObject({ version: 1, freshness: 'stale' });
    expect(counts.seen).toMatchObject({ 'stale:refresh': 1, 'stale:error': 1 });
    time.now = born + 35 * SECOND;
    await expect(cache.getOrLoad('k', failing)).rejects.toThrow('out');
    await cache.getOrLoad('k', async () => valueOf(2));
    time.now += 11 * SECOND;
    expect(await cache.getOrLoad('k', async () => valueOf(3))).toMatchObject({ version: 2 });
    await settle();
    expect(await cache.getOrLoad('k', failing)).toMatchObject({ version: 3, freshness: 'fresh' });
  });

  it('a hit late in it has a new value fetched behind the reader, once', async () => {
    const { cache, time } = cacheUnderTest({ refreshAhead: 0.8, jitter: 0 });
    await cache.getOrLoad('k', async () => valueOf(1));
    await settle();
    time.now += 0.79 * 300 * SECOND;
    let calls = 0;
    const load = async (): Promise<Loaded> => {
      calls += 1;
      await settle();
      return valueOf(2);
    };
    await cache.getOrLoad('k', load);
    expect(calls).toBe(0);
    time.now += 0.02 * 300 * SECOND;
    const both = await Promise.all([cache.getOrLoad('k', load), cache.getOrLoad('k', load)]);
    expect(both.map((answer) => answer?.version)).toEqual([1, 1]);
    await settle();
    await settle();
    await settle();
    expect(calls).toBe(1);
    expect(await cache.getOrLoad('k', load)).toMatchObject({ version: 2, from: 'l1' });
  });
});

describe('tags and prefixes', () => {
  function tagged(isTrusting = false) {
    const store = tagStore();
    const time = { now: 1_000_000 };
    const now = (): number => time.now;
    const node = () => {
      const table = createTagTable({ store, now, newId: makeIds(), isTrusting });
      return cacheUnderTest({ now, tags: table, tagsOf: prefixTags });
    };
    return { store, time, node };
  }

  it('a key carries a tag for each prefix', () => {
    expect(prefixTags('ctx:agent7:doc9')).toEqual(['ctx', 'ctx:agent7']);
    expect(prefixTags('plain')).toEqual([]);
  });

  it('one write invalidates a prefix here at once, whatever layer has it', async () => {
    const { cache } = tagged().node();
    const keys = ['ctx:agent7:doc1', 'ctx:agent7:doc2', 'ctx:agent70:doc1', 'ctx:agent8:doc1'];
    for (const key of keys) await cache.getOrLoad(key, async () => valueOf(1));
    await cache.invalidate({ prefix: 'ctx:agent7:*' });
    const versions = await Promise.all(
      keys.map(async (key) => (await cache.getOrLoad(key, async () => valueOf(2)))?.version),
    );
    expect(versions).toEqual([2, 2, 1, 1]);
    await cache.invalidate({ tags: ['ctx'] });
    for (const key of keys)
      expect(await cache.getOrLoad(key, async () => valueOf(3))).toMatchObject({ version: 3 });
  });

  it('another process knows of it within seconds, even if it was never told', async () => {
    const { node, time } = tagged();
    const [here, there] = [node(), node()];
    await there.cache.getOrLoad('a:b', async () => valueOf(1));
    await here.cache.invalidate({ prefix: 'a:*' });
    time.now += 2_001;
    await there.cache.getOrLoad('a:b', async () => valueOf(2));
    await settle();
    expect(await there.cache.getOrLoad('a:b', async () => valueOf(2))).toMatchObject({
      version: 2,
    });
  });

  it('versions that cannot be asked for are not relied on after five seconds', async () => {
    const { node, store, time } = tagged();
    const { cache } = node();
    await cache.getOrLoad('a:b', async () => valueOf(1));
    store.isOut = true;
    time.now += 4_000;
    expect(await cache.getOrLoad('a:b', async () => valueOf(2))).toMatchObject({ version: 1 });
    await settle();
    time.now += 1_001;
    expect(await cache.getOrLoad('a:b', async () => valueOf(2))).toMatchObject({ from: 'source' });
  });

  it('… unless something else tells of changes', async () => {
    const { node, store, time } = tagged(true);
    const { cache } = node();
    await cache.getOrLoad('a:b', async () => valueOf(1));
    store.isOut = true;
    time.now += 60_000;
    expect(await cache.getOrLoad('a:b', async () => valueOf(2))).toMatchObject({ version: 1 });
    await cache.invalidate({ tags: ['a'] });
    expect(await cache.getOrLoad('a:b', async () => valueOf(2))).toMatchObject({ version: 2 });
    // The store comes back with the old version, which must not make anything good again.
    store.isOut = false;
    time.now += 3_000;
    await cache.getOrLoad('a:b', async () => valueOf(3));
    await settle();
    expect((await cache.getOrLoad('a:b', async () => valueOf(3)))!.version).toBeGreaterThan(1);
    expect((await cache.getOrLoad('a:b', async () => valueOf(3)))!.version).toBeGreaterThan(1);
  });

  it('a store that was emptied makes entries old, never an old entry good', async () => {
    const { node, store, time } = tagged();
    const { cache } = node();
    await cache.getOrLoad('a:b', async () => valueOf(1));
    await cache.invalidate({ prefix: 'a:*' });
    store.versions.clear();
    time.now += 6_000;
    expect(await cache.getOrLoad('a:b', async () => valueOf(2))).toMatchObject({ version: 2 });
  });

  it('a load that began before is not shared after', async () => {
    const { cache } = tagged().node();
    const gate = gatedLoad(() => valueOf(1));
    const early = cache.getOrLoad('a:b', gate.load);
    await gate.begun();
    await cache.invalidate({ prefix: 'a:*' });
    expect(await cache.getOrLoad('a:b', async () => valueOf(2))).toMatchObject({ version: 2 });
    gate.release();
    await early;
    expect(await cache.getOrLoad('a:b', async () => valueOf(3))).toMatchObject({ version: 2 });
  });
});

describe('warming', () => {
  it('loads what no layer has, in batches, and no faster than it may', async () => {
    const { cache, near } = cacheUnderTest();
    const keys = Array.from({ length: 120 }, (_, nth) => `k${nth}`);
    await cache.set('k0', async () => valueOf(9));
    const asked: number[] = [];
    const began = performance.now();
    const loaded = await cache.warm(
      keys,
      async (some) => {
        asked.push(some.length);
        return new Map(some.map((key) => [key, valueOf(1)]));
      },
      { perSecond: 2_000 },
    );
    expect([loaded, asked]).toEqual([119, [49, 50, 20]]);
    expect(performance.now() - began).toBeGreaterThan(50);
    expect(near.size().entries).toBe(120);
    expect((await cache.get('k0'))?.version).toBe(9);
  });

  it('keeps nothing that was invalidated while it was loaded', async () => {
    const { cache } = cacheUnderTest();
    await cache.warm(
      ['k'],
      async () => {
        await cache.invalidate({ keys: ['k'] });
        return new Map([['k', valueOf(1)]]);
      },
      { perSecond: 1_000 },
    );
    expect(await cache.get('k')).toBeNull();
  });
});
