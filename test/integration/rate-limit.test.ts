/** The limit on requests over a real Redis: shared by processes, killed, frozen, and back. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ApiDeps } from '../../api/contract.ts';
import { DEADLINE_MS } from '../../api/middleware/shared-counts.ts';
import type { ApiServer } from '../../api/server.ts';
import { startGuardian, type Guardian } from '../../dev/guardian.ts';
import { startRedis } from '../../dev/redis.ts';
import type { RunningServer } from '../../dev/server.ts';
import type { TenantId } from '../../domain/ids.ts';
import { redisSender } from '../../main/redis-sender.ts';
import { callApi, startTestApi, testApiDeps, type TestAnswer } from '../support/api-under-test.ts';
import { createStoreDouble } from '../support/store-double.ts';

const SOON = { timeout: 15_000, interval: 20 };
const quietly = (): void => undefined;

let home: string;
let guardian: Guardian;
let redis: RunningServer;
let connections: Redis[];
let first: ApiServer;
let second: ApiServer;
let run = 0;
/** Counts asked of Redis, by all processes. */
let asked = 0;

const startServer = (preferredPort: number): Promise<RunningServer> =>
  startRedis({ home, preferredPort, tell: quietly, guardian, mayInstall: false });

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'syncline-limit-'));
  guardian = startGuardian();
  redis = await startServer(0);
});
afterAll(async () => {
  await redis.stop();
  await guardian.stop();
  rmSync(home, { recursive: true, force: true });
});

const lookup = async (key: string) =>
  key.startsWith('good')
    ? { tenant: 'acme' as TenantId, name: key, scopes: ['read'] as const }
    : null;

/** An API process of this installation: its own connection, as main/ makes it. */
async function startProcess(limit: { max: number; windowMs: number }): Promise<ApiServer> {
  const connection = new Redis(redis.address, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    retryStrategy: () => 50,
  });
  connection.on('error', quietly);
  connections.push(connection);
  await new Promise((resolve) => connection.once('ready', resolve));
  const sender = redisSender(connection);
  const send: typeof sender = (...command) => {
    if (command[0] === 'EVALSHA') asked += 1;
    return sender(...command);
  };
  const limits: ApiDeps['limits'] = {
    maxContextBytes: 1024,
    rateLimit: { enabled: true, ...limit, shared: { prefix: `t${run}`, send } },
  };
  let logged = '';
  const log = pino({}, { write: (line) => (logged += line) });
  const auth = { mode: 'keys', lookup } as const;
  const api = await startTestApi(testApiDeps(createStoreDouble(), { limits, auth, log }));
  // Of requests and of guesses.
  await vi.waitFor(() => expect(logged.match(/are counted in redis/g)).toHaveLength(2), SOON);
  return api;
}

beforeEach(async () => {
  run += 1;
  connections = [];
  const limit = { max: 1_000, windowMs: 600_000 };
  [first, second] = await Promise.all([startProcess(limit), startProcess(limit)]);
});
afterEach(async () => {
  for (const connection of connections) connection.disconnect();
  await Promise.all([first.stop(1000), second.stop(1000)]);
});

const ask = (api: ApiServer, key = 'good'): Promise<TestAnswer> =>
  callApi(api.url, 'GET /api/sync/links', { headers: { authorization: `Bearer ${key}` } });
const leftOf = (answer: TestAnswer): number => Number(answer.headers.get('ratelimit-remaining'));

/** How long these requests took, one after the other, ms; all must be answered. */
async function timeOf(requests: number): Promise<number> {
  const began = performance.now();
  for (let nth = 0; nth < requests; nth += 1) expect((await ask(first)).status).toBe(200);
  return performance.now() - began;
}

describe('the limit', () => {
  it('counts the requests of a caller in all processes together, and nobody else’s', async () => {
    const answers = [await ask(first), await ask(second), await ask(first)];
    expect(answers.map(leftOf)).toEqual([999, 998, 997]);
    expect(answers[0]!.headers.get('ratelimit-limit')).toBe('1000');
    expect(leftOf(await ask(second, 'good-other'))).toBe(999);
  });

  it('refuses in every process what is over it, with when to come back', async () => {
    const few = { max: 3, windowMs: 60_000 };
    run += 1;
    const [one, two] = await Promise.all([startProcess(few), startProcess(few)]);
    for (const api of [one, two, one]) expect((await ask(api)).status).toBe(200);
    for (const api of [one, two]) {
      const refused = await ask(api);
      expect([refused.status, refused.body['code']]).toEqual([429, 'RATE_LIMITED']);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60);
    }
    await Promise.all([one.stop(1000), two.stop(1000)]);
  });

  it('goes on counting after Redis forgot the scripts', async () => {
    await ask(first);
    await connections[0]!.script('FLUSH');
    expect(leftOf(await ask(second))).toBe(998);
  });
});

describe('while Redis is killed', () => {
  it('every request is answered, counted in its process, and shared again when Redis is back', async () => {
    await Promise.all([ask(first), ask(second)]);
    const { port, pid } = redis;
    process.kill(pid, 'SIGKILL');
    await redis.ended;
    await timeOf(20);
    // Its own requests count on: one with Redis and twenty without.
    expect(leftOf(await ask(first))).toBe(1_000 - 22);
    const few = await limitedWithoutRedis();
    expect(few).toEqual([200, 200, 429]);
    redis = await startServer(port);
    expect(redis.port).toBe(port);
    await vi.waitFor(async () => {
      const left = leftOf(await ask(first));
      expect(leftOf(await ask(second))).toBe(left - 1);
    }, SOON);
  });
});

/** Statuses of three requests to a process that never reached Redis and allows two. */
async function limitedWithoutRedis(): Promise<number[]> {
  const send = async (): Promise<never> => {
    throw new Error('there is no Redis');
  };
  const rateLimit = { enabled: true, max: 2, windowMs: 60_000, shared: { prefix: 'x', send } };
  const limits = { maxContextBytes: 1024, rateLimit };
  const auth = { mode: 'keys', lookup } as const;
  const api = await startTestApi(testApiDeps(createStoreDouble(), { limits, auth }));
  const statuses: number[] = [];
  for (let nth = 0; nth < 3; nth += 1) statuses.push((await ask(api)).status);
  await api.stop(1000);
  return statuses;
}

describe('while Redis hangs', () => {
  it('one request waits a moment, the others not at all, and all are shared again later', async () => {
    await timeOf(5);
    process.kill(redis.pid, 'SIGSTOP');
    try {
      const before = asked;
      const tookMs = await timeOf(100);
      // The first found out; the others would have waited five seconds together.
      expect(asked).toBe(before + 1);
      expect(tookMs).toBeLessThan(100 * DEADLINE_MS * 0.8);
    } finally {
      process.kill(redis.pid, 'SIGCONT');
    }
    await vi.waitFor(async () => {
      const left = leftOf(await ask(first));
      expect(leftOf(await ask(second))).toBe(left - 1);
    }, SOON);
  });

  it('requests that come at once wait no longer than one', async () => {
    await ask(first);
    process.kill(redis.pid, 'SIGSTOP');
    try {
      const began = performance.now();
      const answers = await Promise.all(Array.from({ length: 50 }, () => ask(first)));
      expect(answers.map((answer) => answer.status)).toEqual(Array(50).fill(200));
      expect(performance.now() - began).toBeLessThan(50 * DEADLINE_MS * 0.8);
    } finally {
      process.kill(redis.pid, 'SIGCONT');
    }
  });
});

describe('wrong keys', () => {
  const MAX = 50; // A twentieth of the limit.
  const statusOf = async (api: ApiServer, key: string): Promise<number> =>
    (await ask(api, key)).status;

  it('are refused from an address that tried too many, in every process', async () => {
    expect(await statusOf(second, 'good-known')).toBe(200);
    for (let nth = 0; nth < MAX; nth += 1) {
      expect(await statusOf(nth % 2 ? first : second, `guess-${nth}`)).toBe(401);
    }
    for (const api of [first, second]) {
      const refused = await ask(api, 'guess-again');
      expect([refused.status, refused.body['code']]).toEqual([429, 'RATE_LIMITED']);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      // Who has a key, used before or not, shares only the address with the guesser.
      expect(await statusOf(api, 'good-but-never-seen')).toBe(200);
    }
    expect(await statusOf(second, 'good-known')).toBe(200);
    const health = await callApi(first.url, 'GET /api/context/health', {
      headers: { authorization: 'Bearer guess' },
    });
    expect(health.status).toBe(200);
  });

  it('are counted per process while Redis is out', async () => {
    process.kill(redis.pid, 'SIGSTOP');
    try {
      for (let nth = 0; nth < MAX; nth += 1) expect(await statusOf(first, `g-${nth}`)).toBe(401);
      expect(await statusOf(first, 'g-more')).toBe(429);
    } finally {
      process.kill(redis.pid, 'SIGCONT');
    }
  });
});
