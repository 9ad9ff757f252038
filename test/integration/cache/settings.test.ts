/** Each setting of the cache does what it says. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { cacheNodes, type CacheNode, type CacheNodes } from '../../support/cache-nodes.ts';
import { startOwnRedis } from '../../support/own-redis.ts';
import { testRedis } from '../../support/servers.ts';

let nodes: CacheNodes;
let node: CacheNode;
const redis = testRedis();

beforeAll(async () => {
  nodes = await cacheNodes(redis.url);
  node = await nodes.start();
  await awaitLayers(node);
}, 60_000);

afterAll(() => nodes.stop());

/** Until it reads and fills Redis. */
async function awaitLayers(of: CacheNode): Promise<void> {
  await vi.waitFor(
    async () => expect(await of.metric('syncline_cache_breaker_open', { layer: 'l2' })).toBe(0),
    { timeout: 10_000 },
  );
}

async function store(key: string, data: unknown): Promise<void> {
  const answer = await node.call('POST /api/context/store', { body: { key, data } });
  expect([200, 201]).toContain(answer.status);
}

const pathOf = (key: string): string => `GET /api/context/get/${encodeURIComponent(key)}`;

/** Until it is in memory. */
async function heat(key: string): Promise<void> {
  await vi.waitFor(async () => expect(await node.from(key)).toBe('l1'));
}

describe('the settings of the cache', () => {
  it('switch it off', async () => {
    const off = await nodes.start({ env: { CONTEXT_CACHE_ENABLED: 'false' } });
    await store('off', 1);
    for (let nth = 0; nth < 2; nth += 1) expect(await off.from('off')).toBe('source');
    const { body } = await off.call('GET /api/context/analytics');
    expect(body['cache']).toEqual({ enabled: false, hits: 0, misses: 0, hitRatio: 0 });
    // Its writes are told to those who have it on.
    await heat('off');
    await off.call('PUT /api/context/update/off', { body: { data: 2 } });
    expect((await node.call(pathOf('off'))).body['version']).toBe(2);
  });

  it('load what was read most into memory at the next start', async () => {
    const before = await nodes.start();
    await awaitLayers(before);
    for (const [key, reads] of [
      ['hot-1', 5],
      ['hot-2', 4],
    ] as const) {
      await store(key, { key });
      for (let nth = 0; nth < reads; nth += 1) await before.from(key);
    }
    await before.stop();
    const after = await nodes.start({ production: { preload_hot_contexts: true } });
    await vi.waitFor(
      async () => {
        expect(await after.metric('syncline_cache_entries', { layer: 'l1' })).toBeGreaterThan(1);
      },
      { timeout: 10_000 },
    );
    for (const key of ['hot-1', 'hot-2']) expect(await after.from(key)).toBe('l1');
    const { body } = await after.call('GET /api/context/analytics');
    expect(body['cache']).toMatchObject({ hits: 2, misses: 0 });
  });

  it('bound the memory, down to none', async () => {
    const none = await nodes.start({ production: { memory_cache_size: '0' } });
    await awaitLayers(none);
    await store('no-memory', 1);
    await heat('no-memory');
    for (let nth = 0; nth < 2; nth += 1) expect(await none.from('no-memory')).toBe('l2');
    const little = await nodes.start({ production: { memory_cache_size: '8kb' } });
    for (let nth = 0; nth < 20; nth += 1) {
      await store(`many-${nth}`, 'x'.repeat(500));
      await little.from(`many-${nth}`);
    }
    expect(await little.metric('syncline_cache_bytes', { layer: 'l1' })).toBeLessThanOrEqual(8192);
    expect(await little.metric('syncline_cache_evictions_total', { layer: 'l1' })).toBeGreaterThan(
      5,
    );
  });

  it('give entries in Redis their life, ± 10 %', async () => {
    const brief = await nodes.start({ redis: { cache: { default_ttl: 100 } } });
    await awaitLayers(brief);
    await store('brief', 1);
    await brief.from('brief');
    await vi.waitFor(async () => {
      const seconds = await lifeInRedis(redis.url, 'brief');
      expect(seconds).toBeGreaterThan(80);
      expect(seconds).toBeLessThanOrEqual(110);
    });
  });

  it('fetch a hot context anew before its time is over, where caching is aggressive', async () => {
    const short = { cache: { default_ttl: 1 } };
    const plain = await nodes.start({ redis: short, prefix: 'plain' });
    const eager = await nodes.start({
      redis: short,
      prefix: 'eager',
      production: { aggressive: true },
    });
    for (const each of [plain, eager]) await awaitLayers(each);
    await store('hot', 1);
    const end = performance.now() + 3_000;
    while (performance.now() < end) for (const each of [plain, eager]) await each.from('hot');
    expect(await plain.metric('syncline_cache_misses_total')).toBeGreaterThan(1);
    // A machine that stands still for 200 ms may miss the moment once.
    const missed = (await eager.metric('syncline_cache_misses_total'))!;
    expect(missed).toBeLessThan((await plain.metric('syncline_cache_misses_total'))!);
  }, 20_000);

  it('name a Redis for the cache alone, and nothing of the cache is in the other', async () => {
    const own = await startOwnRedis();
    try {
      const apart = await nodes.start({ env: { REDIS_CACHE_URL: own.url } });
      await awaitLayers(apart);
      await store('apart', { word: 'kept-apart' });
      await apart.from('apart');
      await vi.waitFor(async () => expect(await lifeInRedis(own.url, 'apart')).toBeGreaterThan(0));
      expect(await lifeInRedis(redis.url, 'apart')).toBeNull();
      await apart.call('PUT /api/context/update/apart', { body: { data: 2 } });
      expect(await lifeInRedis(own.url, 'apart')).toBeNull();
      await apart.stop();
    } finally {
      await own.stop();
    }
  });
});

/** Seconds a key of the cache has left in a Redis; null: it is not there. */
async function lifeInRedis(url: string, key: string): Promise<number | null> {
  const client = new Redis(url);
  try {
    for (const name of await client.keys(`*:c:default\n${key}`))
      if ((await client.hexists(name, 'v')) === 1) return await client.ttl(name);
    return null;
  } finally {
    client.disconnect();
  }
}
