/** Redis frozen, emptied, killed, turned back in time, cut off: reads go on, and none is old. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ContextKey, TenantId } from '../../../domain/ids.ts';
import { cacheNodes, type CacheNode, type CacheNodes } from '../../support/cache-nodes.ts';
import { redisCommand, startOwnRedis, type OwnRedis } from '../../support/own-redis.ts';
import { openTcpDoor, type TcpDoor } from '../../support/tcp-door.ts';

/** The soft deadline is 50 ms; the machine may be slow. */
const BOUNDED_MS = 1_500;

describe.skipIf(redisCommand() === null)('a cache over a Redis that', () => {
  let redis: OwnRedis;
  let nodes: CacheNodes;

  beforeEach(async () => {
    redis = await startOwnRedis();
    nodes = await cacheNodes(redis.url);
  }, 60_000);

  afterEach(async () => {
    redis.freeze(false);
    await nodes.stop();
    await redis.stop();
  }, 60_000);

  const breaker = (node: CacheNode): Promise<number | undefined> =>
    node.metric('syncline_cache_breaker_open', { layer: 'l2' });

  async function untilBreaker(node: CacheNode, isOpen: 0 | 1): Promise<void> {
    await vi.waitFor(async () => expect(await breaker(node)).toBe(isOpen), { timeout: 15_000 });
  }

  async function start(door?: TcpDoor): Promise<CacheNode> {
    const env = door ? { REDIS_URL: `redis://127.0.0.1:${door.port}` } : {};
    const node = await nodes.start({ env });
    await untilBreaker(node, 0);
    return node;
  }

  async function write(node: CacheNode, key: string, step: number): Promise<number> {
    const body = { key, data: { step } };
    const { status, body: answer } = await node.call('POST /api/context/store', { body });
    expect([200, 201]).toContain(status);
    return Number(answer['version']);
  }

  const read = (node: CacheNode, key: string) => node.call(`GET /api/context/get/${key}`);

  const versionAt = async (node: CacheNode, key: string): Promise<number> =>
    Number((await read(node, key)).body['version']);

  /** Until it is in Redis and in the memory of these. */
  async function heat(key: string, ...all: readonly CacheNode[]): Promise<void> {
    await vi.waitFor(
      async () => {
        for (const node of all) await node.from(key);
        const isKept = await keptInRedis(key);
        // A process that was too busy to wait for Redis fills memory alone: it reads again.
        if (!isKept) for (const node of all) forget(node, key);
        expect(isKept).toBe(true);
        for (const node of all) expect(await node.from(key)).toBe('l1');
      },
      { timeout: 10_000 },
    );
  }

  function forget({ services }: CacheNode, key: string): void {
    services.caching.contexts.heard('default' as TenantId, [key as ContextKey]);
  }

  async function keptInRedis(key: string): Promise<boolean> {
    const names = (await redis.call('KEYS', `*:c:default\n${key}`)) as string[];
    return names.length > 0 && (await redis.call('HEXISTS', names[0]!, 'v')) === 1;
  }

  async function timed(work: () => Promise<unknown>): Promise<number> {
    const began = performance.now();
    await work();
    return performance.now() - began;
  }

  it('is frozen: reads and writes go on, and what it kept is not given when it thaws', async () => {
    const [one, two] = [await start(), await start()];
    for (const key of ['a', 'b']) {
      await write(one, key, 1);
      await heat(key, one, two);
    }
    redis.freeze(true);
    expect(await one.from('a')).toBe('l1');
    // Neither waits for longer than its deadlines.
    expect(await timed(() => read(one, 'never-read'))).toBeLessThan(BOUNDED_MS);
    expect(await timed(() => write(one, 'a', 2))).toBeLessThan(BOUNDED_MS);
    expect(await versionAt(one, 'a')).toBe(2);
    // With the breaker open nobody waits at all.
    expect(await breaker(one)).toBe(1);
    for (let nth = 0; nth < 5; nth += 1) expect(await versionAt(one, 'a')).toBe(2);
    await vi.waitFor(async () => expect(await versionAt(two, 'a')).toBe(2), { timeout: 4_000 });
    redis.freeze(false);
    await untilBreaker(one, 0);
    await untilBreaker(two, 0);
    const late = await start();
    for (const node of [one, two, late]) expect(await versionAt(node, 'a')).toBe(2);
    await vi.waitFor(async () => expect(await late.from('b')).toBe('l1'));
  }, 60_000);

  it('is emptied: entries are loaded again, and loads from before fill nothing old', async () => {
    const node = await start();
    await write(node, 'k', 1);
    await heat('k', node);
    await redis.call('FLUSHALL');
    expect(await versionAt(node, 'k')).toBe(1);
    await write(node, 'k', 2);
    const other = await start();
    for (const each of [node, other]) expect(await versionAt(each, 'k')).toBe(2);
  }, 60_000);

  it('is killed and comes back as it was before: what it had then is not given', async () => {
    const one = await start();
    await write(one, 'k', 1);
    await heat('k', one);
    await redis.call('SAVE');
    await write(one, 'k', 2);
    await redis.kill();
    await untilBreaker(one, 1);
    expect(await versionAt(one, 'k')).toBe(2);
    await write(one, 'k', 3);
    expect(await versionAt(one, 'k')).toBe(3);
    await redis.start();
    expect(await keptInRedis('k')).toBe(true);
    await untilBreaker(one, 0);
    const late = await start();
    for (const node of [one, late]) expect(await versionAt(node, 'k')).toBe(3);
  }, 60_000);

  it('one process cannot reach: others are right within two seconds, and later it is, too', async () => {
    const door = await openTcpDoor(redis.port);
    const [lonely, other] = [await start(door), await start()];
    await write(other, 'k', 1);
    await heat('k', lonely, other);
    door.refuse(true);
    door.cut();
    // What it writes reaches nobody through Redis.
    await write(lonely, 'k', 2);
    expect(await versionAt(lonely, 'k')).toBe(2);
    await vi.waitFor(async () => expect(await versionAt(other, 'k')).toBe(2), { timeout: 3_000 });
    // What others write does not reach it.
    await write(other, 'k', 3);
    await vi.waitFor(async () => expect(await versionAt(lonely, 'k')).toBe(3), { timeout: 3_000 });
    expect(await other.metric('syncline_cache_bus_total', { event: 'gap' })).toBeGreaterThan(0);
    door.refuse(false);
    await untilBreaker(lonely, 0);
    for (const node of [lonely, other]) expect(await versionAt(node, 'k')).toBe(3);
    await door.close();
  }, 60_000);

  it('holds what a process that died could not delete: the next one does not give it', async () => {
    const door = await openTcpDoor(redis.port);
    const dying = await start(door);
    await write(dying, 'k', 1);
    await heat('k', dying);
    door.refuse(true);
    door.cut();
    await write(dying, 'k', 2);
    await dying.stop();
    expect(await keptInRedis('k')).toBe(true);
    const next = await start();
    expect(await versionAt(next, 'k')).toBe(2);
    await door.close();
  }, 60_000);

  it('stays silent to a process that listens: it finds what it was not told', async () => {
    const door = await openTcpDoor(redis.port);
    const [deaf, other] = [await start(door), await start()];
    await write(other, 'k', 1);
    await heat('k', deaf, other);
    // Nothing comes through, and nothing breaks.
    door.stall(true);
    await write(other, 'k', 2);
    await vi.waitFor(async () => expect(await versionAt(deaf, 'k')).toBe(2), { timeout: 3_000 });
    door.stall(false);
    await untilBreaker(deaf, 0);
    expect(await versionAt(deaf, 'k')).toBe(2);
    await door.close();
  }, 60_000);

  it('is not there at all: memory caches alone', async () => {
    await redis.kill();
    const node = await nodes.start();
    await write(node, 'k', 1);
    await vi.waitFor(async () => expect(await node.from('k')).toBe('l1'), { timeout: 5_000 });
    await write(node, 'k', 2);
    expect(await versionAt(node, 'k')).toBe(2);
    expect(await node.from('k')).toBe('l1');
    expect(await breaker(node)).toBe(1);
  }, 60_000);
});
