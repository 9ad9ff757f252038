/** `get` through the cache, over HTTP: what is answered from where, and that nothing old ever is. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ContextClient } from '../../../client/index.ts';
import { cacheNodes, type CacheNode, type CacheNodes } from '../../support/cache-nodes.ts';
import { testRedis } from '../../support/servers.ts';

const KEY = Buffer.alloc(32, 7).toString('base64');

let nodes: CacheNodes;
let node: CacheNode;
let other: CacheNode;
const redis = testRedis();

beforeAll(async () => {
  nodes = await cacheNodes(redis.url);
  const options = { env: { CONTEXT_ENCRYPTION_KEY: KEY } };
  node = await nodes.start(options);
  other = await nodes.start(options);
  await awaitLayers([node, other]);
}, 60_000);

afterAll(() => nodes.stop());

/** Until they read and fill Redis. */
async function awaitLayers(all: readonly CacheNode[]): Promise<void> {
  for (const each of all) {
    await vi.waitFor(
      async () => expect(await each.metric('syncline_cache_breaker_open', { layer: 'l2' })).toBe(0),
      { timeout: 10_000 },
    );
  }
}

async function store(key: string, data: unknown, options: object = {}): Promise<number> {
  const answer = await node.call('POST /api/context/store', { body: { key, data, options } });
  expect([200, 201]).toContain(answer.status);
  return Number(answer.body['version']);
}

const pathOf = (key: string, query = ''): string =>
  `GET /api/context/get/${encodeURIComponent(key)}${query}`;

/** Reads until both processes have it in memory. */
async function heat(key: string): Promise<void> {
  for (const each of [node, other])
    await vi.waitFor(async () => expect(await each.from(key)).toBe('l1'));
}

describe('a read of a current context', () => {
  it('is answered by the store, then from memory, and by another process from Redis', async () => {
    // A process that was too busy to wait for Redis fills memory alone.
    await vi.waitFor(
      async () => {
        await store('layers', { step: 1, text: 'é 🦊 \u2028', nested: { __proto__x: -0 } });
        expect(await node.from('layers')).toBe('source');
        expect(await node.from('layers')).toBe('l1');
        expect(await other.from('layers')).toBe('l2');
      },
      { timeout: 10_000 },
    );
    expect(await other.from('layers')).toBe('l1');
    const first = await node.call(pathOf('layers'), { headers: { 'cache-control': 'no-cache' } });
    for (const kept of [await node.call(pathOf('layers')), await other.call(pathOf('layers'))]) {
      expect(kept.headers.get('x-cache')).toBe('l1');
      expect(kept.text).toBe(first.text);
      for (const name of ['etag', 'content-type', 'cache-control', 'content-length'])
        expect(kept.headers.get(name)).toBe(first.headers.get(name));
    }
  });

  it('asks the store where the caller wants nothing kept, or an old version', async () => {
    await store('asked', 1);
    await heat('asked');
    for (const value of ['no-cache', 'max-age=0', 'no-store', 'public, No-Cache']) {
      const answer = await node.call(pathOf('asked'), { headers: { 'cache-control': value } });
      expect([value, answer.headers.get('x-cache')]).toEqual([value, 'source']);
    }
    const old = await node.call(pathOf('asked', '?version=1'));
    expect(old.headers.get('x-cache')).toBe('source');
    const kept = await node.call(pathOf('asked'), { headers: { 'cache-control': 'max-age=60' } });
    expect(kept.headers.get('x-cache')).toBe('l1');
  });

  it('answers `fields` and 304 from what is kept', async () => {
    await store('parts', { state: { step: 4, rest: 5 }, list: [1, 2] });
    await heat('parts');
    const fields = await node.call(pathOf('parts', '?fields=version,%2Fstate%2Fstep'));
    expect(fields.headers.get('x-cache')).toBe('l1');
    expect(fields.body).toEqual({ version: 1, data: { state: { step: 4 } } });
    const bad = await node.call(pathOf('parts', '?fields=nonsense'));
    expect([bad.status, bad.body['code']]).toEqual([400, 'VALIDATION']);
    const same = await ifChanged('parts', 1);
    expect([same.status, await same.text(), same.headers.get('x-cache')]).toEqual([304, '', 'l1']);
    await store('parts', 2);
    const moved = await ifChanged('parts', 1);
    expect([moved.status, moved.headers.get('etag')]).toEqual([200, '"2"']);
    const head = await node.call(pathOf('parts').replace('GET', 'HEAD'));
    expect([head.status, head.text]).toEqual([200, '']);
  });

  it('knows that there is no context, and hears at once of one that comes', async () => {
    for (const each of [node, other]) expect((await each.call(pathOf('comes'))).status).toBe(404);
    await store('comes', 1);
    for (const each of [node, other]) expect((await each.call(pathOf('comes'))).status).toBe(200);
  });
});

/** With `If-None-Match` alone; by default fetch adds `Cache-Control: no-cache` to it. */
function ifChanged(key: string, version: number): Promise<Response> {
  const init = { headers: { 'if-none-match': `"${version}"` }, cache: 'force-cache' };
  return fetch(`${node.url}/api/context/get/${encodeURIComponent(key)}`, init);
}

describe('whatever changes a context', () => {
  /** Each writes and answers the version a read must have now; null: none. */
  const WRITES: Record<string, (key: string) => Promise<number | null>> = {
    store: (key) => store(key, { by: 'store' }),
    async update(key) {
      const path = `PUT /api/context/update/${key}`;
      const body = { data: { more: 1 }, options: { changeType: 'merge' } };
      return Number((await node.call(path, { body })).body['version']);
    },
    async delete(key) {
      expect((await node.call(`DELETE /api/context/delete/${key}`)).status).toBe(200);
      return null;
    },
    async rollback(key) {
      await store(key, { step: 'between' });
      await heat(key);
      const path = `POST /api/context/rollback/${key}`;
      return Number((await node.call(path, { body: { version: 1 } })).body['version']);
    },
    async batch(key) {
      const operations = [
        { op: 'update', key, data: { a: 1 } },
        { op: 'store', key, data: { b: 1 } },
      ];
      await node.call('POST /api/context/batch', { body: { atomic: false, operations } });
      return 3;
    },
    async import(key) {
      const exported = await fetch(`${node.url}/api/context/export?prefix=${key}`);
      const [head, line] = (await exported.text()).trim().split('\n');
      const { hash, size, ...kept } = JSON.parse(line!) as Record<string, unknown>;
      expect([hash, size]).not.toContain(undefined);
      const later = { ...kept, version: 9, data: { imported: true } };
      const imported = await node.call('POST /api/context/import?mode=overwrite', {
        body: `${head!}\n${JSON.stringify(later)}\n`,
        headers: { 'content-type': 'application/x-ndjson' },
      });
      expect(imported.body).toMatchObject({ imported: 1, failed: 0 });
      const read = await node.call(pathOf(key), { headers: { 'cache-control': 'no-cache' } });
      expect(read.body['data']).toEqual({ imported: true });
      return Number(read.body['version']);
    },
  };

  it.each(Object.keys(WRITES))('%s: no process gives the old version after it', async (kind) => {
    const key = `written-${kind}`;
    await store(key, { step: 1 });
    await heat(key);
    const version = await WRITES[kind]!(key);
    for (const each of [node, other]) {
      const read = await each.call(pathOf(key));
      expect([read.status, read.body['version'] ?? null]).toEqual([
        version === null ? 404 : 200,
        version,
      ]);
    }
  });

  it('holds for many writers and readers at once, at both processes', async () => {
    const known = new Map<string, number>();
    const keys = Array.from({ length: 4 }, (_, nth) => `busy-${nth}`);
    const failures: string[] = [];
    let isOver = false;
    const writer = async (nth: number): Promise<void> => {
      for (let round = 0; round < 25; round += 1) {
        const key = keys[(nth + round) % keys.length]!;
        const at = nth % 2 === 0 ? node : other;
        const body = { key, data: { nth, round } };
        const { body: answer } = await at.call('POST /api/context/store', { body });
        known.set(key, Math.max(known.get(key) ?? 0, Number(answer['version'])));
      }
    };
    const reader = async (at: CacheNode): Promise<void> => {
      while (!isOver) {
        for (const key of keys) {
          const least = known.get(key) ?? 0;
          const read = await at.call(pathOf(key));
          const version = Number(read.body['version'] ?? 0);
          if (version < least) failures.push(`${key}: ${version} < ${least}`);
        }
      }
    };
    const readers = [reader(node), reader(other)];
    await Promise.all([0, 1, 2, 3].map(writer));
    isOver = true;
    await Promise.all(readers);
    expect(failures).toEqual([]);
  }, 60_000);

  it('is not what preconditions compare with: they ask the store', async () => {
    await store('compared', 1);
    await heat('compared');
    await other.call('PUT /api/context/update/compared', { body: { data: 2 } });
    const lost = await node.call('PUT /api/context/update/compared', {
      body: { data: 3 },
      headers: { 'if-match': '"1"' },
    });
    expect([lost.status, lost.body['currentVersion']]).toEqual([412, 2]);
  });
});

describe('a context with an expiry', () => {
  it('is gone at its second from every layer', async () => {
    await store('short', 1, { ttl: 1 });
    await heat('short');
    const { expiresAt } = (await node.call(pathOf('short'))).body as { expiresAt: string };
    await vi.waitFor(() => expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expiresAt)), {
      timeout: 5_000,
      interval: 5,
    });
    for (const each of [node, other]) expect((await each.call(pathOf('short'))).status).toBe(404);
  });
});

describe('what must not be kept', () => {
  it('an encrypted context is in no layer, and nowhere in Redis', async () => {
    const secret = 'the-word-nobody-reads';
    await store('sealed', { secret }, { encrypt: true });
    for (const each of [node, other, node]) expect(await each.from('sealed')).toBe('source');
    await store('unsealed', { plain: 'a-word-everybody-reads' });
    await heat('unsealed');
    const kept = await redisText();
    expect(kept).toContain('a-word-everybody-reads');
    expect(kept).not.toContain(secret);
  });

  it('a context that becomes encrypted is forgotten', async () => {
    await store('hidden-later', { word: 'was-open-once' });
    await heat('hidden-later');
    expect(await redisText()).toContain('was-open-once');
    await store('hidden-later', { word: 'was-open-once' }, { encrypt: true });
    expect(await redisText()).not.toContain('was-open-once');
    expect(await node.from('hidden-later')).toBe('source');
  });

  it('a body above a mebibyte', async () => {
    await store('large', 'x'.repeat(1024 * 1024));
    for (const each of [node, node, other]) expect(await each.from('large')).toBe('source');
  });
});

/** All values in the Redis, whoever's. */
async function redisText(): Promise<string> {
  const client = new Redis(redis.url);
  try {
    const texts: string[] = [];
    for (const key of await client.keys('*')) {
      const type = await client.type(key);
      if (type === 'hash') texts.push(Object.values(await client.hgetall(key)).join(' '));
      else if (type === 'string') texts.push((await client.get(key)) ?? '');
    }
    return texts.join('\n');
  } finally {
    client.disconnect();
  }
}

describe('numbers', () => {
  it('tell hits, misses and their ratio, per tenant in analytics and per layer in metrics', async () => {
    const own = await nodes.start();
    await awaitLayers([own]);
    expect(await own.metric('context_cache_hit_ratio')).toBe(0);
    await store('counted', 1);
    await own.from('counted');
    for (let nth = 0; nth < 3; nth += 1) await own.from('counted');
    const analytics = await own.call('GET /api/context/analytics');
    expect(analytics.body['cache']).toEqual({ enabled: true, hits: 3, misses: 1, hitRatio: 0.75 });
    expect(await own.metric('context_cache_hit_ratio')).toBe(0.75);
    const labels = { layer: 'l1', freshness: 'fresh' };
    expect(await own.metric('syncline_cache_hits_total', labels)).toBe(3);
    expect(await own.metric('syncline_cache_misses_total')).toBe(1);
    expect(await own.metric('syncline_cache_entries', { layer: 'l1' })).toBe(1);
    expect(await own.metric('syncline_cache_bytes', { layer: 'l1' })).toBeGreaterThan(200);
  });
});

describe('the client', () => {
  it('never reads older than it wrote, even where a process has not heard of it', async () => {
    const writing = new ContextClient({ url: node.url });
    const reading = new ContextClient({ url: other.url });
    await writing.store('mine', { step: 1 });
    await heat('mine');
    // One client over a balancer that sends reads to a process that hears nothing.
    const balanced = new ContextClient({
      url: node.url,
      fetch: (input, init) =>
        fetch(
          (input as string).replace(node.url, init?.method === 'GET' ? deaf.url : node.url),
          init,
        ),
    });
    const deaf = await nodes.start({ prefix: 'somebody-else' });
    await vi.waitFor(async () => expect(await deaf.from('mine')).toBe('l1'));
    const { version } = await balanced.update('mine', { step: 2 });
    expect((await balanced.get('mine'))?.version).toBe(version);
    expect((await balanced.get('mine', { fields: ['/step'] }))?.data).toEqual({ step: 2 });
    await balanced.delete('mine');
    expect(await balanced.get('mine')).toBeNull();
    for (const client of [writing, reading, balanced]) client.close();
  });
});
