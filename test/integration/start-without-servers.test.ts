/** Starting while Redis or Temporal is out: writes work at once, and all is well when they are back. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startAllInOne } from '../../main/all-in-one.ts';
import { startApi } from '../../main/api.ts';
import { startBackups } from '../../main/backups.ts';
import { loadConfig } from '../../main/config.ts';
import { createLifecycle, type Lifecycle } from '../../main/lifecycle.ts';
import { migrate } from '../../main/migrate.ts';
import { listenToRedis } from '../../main/redis-listener.ts';
import { channelOf, createServices, type Services } from '../../main/services.ts';
import { samplesOf } from '../support/samples.ts';
import { testDatabase, testRedis, type TestDatabase } from '../support/servers.ts';
import { openTcpDoor, type TcpDoor } from '../support/tcp-door.ts';

const LOG = pino({ level: 'silent' });
/** Nobody listens there. */
const NOWHERE = '127.0.0.1:1';
/** After so many attempts to connect ioredis gives up what waits for it, unless told otherwise. */
const GRANTED_ATTEMPTS = 20;

let folder: string;
let where: TestDatabase;
let door: TcpDoor;
let direct: Redis;
let lifecycle: Lifecycle;
let services: Services;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-outage-'));
  where = await testDatabase();
  await migrate(where.url);
  const redis = testRedis();
  direct = new Redis(redis.url);
  door = await openTcpDoor(Number(new URL(redis.url).port));
  door.refuse(true);
  const file = join(folder, 'context.yaml');
  writeFileSync(file, JSON.stringify({ database: { redis: { prefix: redis.prefix } } }));
  const env = {
    SYNCLINE_HOME: folder,
    CONTEXT_API_PORT: '0',
    DATABASE_URL: where.url,
    REDIS_URL: `redis://127.0.0.1:${door.port}`,
    TEMPORAL_ADDRESS: NOWHERE,
    BACKUP_DIRECTORY: join(folder, 'backups'),
  };
  lifecycle = createLifecycle(LOG);
  services = await createServices(loadConfig(env, file), LOG);
}, 60_000);

afterEach(async () => {
  await lifecycle.stop();
  await services.close();
  direct.disconnect();
  await door.close();
  await where.drop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

async function expectWrites(url: string): Promise<void> {
  const answer = await fetch(`${url}/api/context/store`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ key: 'written/meanwhile', data: { is: 'kept' } }),
  });
  expect(answer.status).toBeLessThan(300);
  const read = await fetch(`${url}/api/context/get/written%2Fmeanwhile`);
  expect(await read.json()).toMatchObject({ data: { is: 'kept' } });
}

async function expectDegraded(url: string): Promise<void> {
  const answer = await fetch(`${url}/api/context/health`);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({
    status: 'degraded',
    checks: {
      postgres: { status: 'up' },
      redis: { status: 'down' },
      temporal: { status: 'down' },
    },
  });
}

/** How many hear the announcements of commits. */
async function listeners(): Promise<number> {
  const channel = channelOf(services.config);
  return Number((await direct.pubsub('NUMSUB', channel))[1]);
}

describe('a start while Redis and Temporal are out', { timeout: 120_000 }, () => {
  it('of an API takes writes, says that it is degraded, and hears announcements once Redis is there', async () => {
    const { url } = await startApi(services, lifecycle);
    await expectWrites(url);
    await expectDegraded(url);
    expect(await listeners()).toBe(0);
    door.refuse(false);
    await vi.waitFor(async () => expect(await listeners()).toBe(1), { timeout: 20_000 });
  });

  it('of all in one takes writes before the workers have what they need', async () => {
    const { url } = await startAllInOne(services, lifecycle);
    await expectWrites(url);
    await expectDegraded(url);
    const { text } = await samplesOf(`${url}/metrics`);
    expect(text).toContain('syncline_links 0');
    // The API and the relay; and the jobs come by themselves.
    door.refuse(false);
    await vi.waitFor(async () => expect(await listeners()).toBe(2), { timeout: 20_000 });
    const { prefix } = services.config.redis;
    await vi.waitFor(
      async () => expect(await direct.keys(`${prefix}-queue:*:repeat`)).toHaveLength(2),
      { timeout: 20_000 },
    );
  });

  it('of the backups goes on, and schedules them once Redis is there', async () => {
    await startBackups(services, lifecycle);
    door.refuse(false);
    const key = `${services.config.redis.prefix}-queue:syncline-backup:repeat`;
    await vi.waitFor(
      async () => expect(await direct.zrange(key, '0', '-1')).toEqual(['make-backup']),
      {
        timeout: 20_000,
      },
    );
  });
});

describe('listening to Redis', { timeout: 60_000 }, () => {
  it('begins however long Redis was out at first, and again after each outage', async () => {
    // Its attempts would be counted too.
    services.redis.disconnect();
    const onMessage = vi.fn();
    const channel = `${services.config.redis.prefix}:heard`;
    const before = door.refusals();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const listener = listenToRedis({
      url: `redis://127.0.0.1:${door.port}`,
      channel,
      onMessage,
      log: LOG,
    });
    try {
      // Only the pauses between attempts are shortened; the attempts are real.
      const soon = async (expectation: () => void): Promise<void> =>
        vi.waitFor(
          () => {
            vi.advanceTimersByTime(2_000);
            expectation();
          },
          { timeout: 40_000, interval: 5 },
        );
      await soon(() => expect(door.refusals() - before).toBeGreaterThan(2 * GRANTED_ATTEMPTS));
      door.refuse(false);
      await soon(() => expect(listener.isListening()).toBe(true));
      vi.useRealTimers();
      for (const nth of [1, 2]) {
        door.refuse(false);
        await vi.waitFor(() => expect(listener.isListening()).toBe(true), { timeout: 10_000 });
        await direct.publish(channel, '1');
        await vi.waitFor(() => expect(onMessage).toHaveBeenCalledTimes(nth));
        door.refuse(true);
        door.cut();
        await vi.waitFor(() => expect(listener.isListening()).toBe(false));
      }
    } finally {
      vi.useRealTimers();
      listener.stop();
    }
  });
});
