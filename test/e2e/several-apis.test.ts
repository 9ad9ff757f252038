/**
 * Three API processes and two workers on one Postgres and one Redis, as behind a balancer: what is
 * true of one process is true of all of them together.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startGuardian, type Guardian } from '../../dev/guardian.ts';
import { choosePort, LOOPBACK } from '../../dev/ports.ts';
import { migrate } from '../../main/migrate.ts';
import { pulseScheduleId } from '../../workflows/contract.ts';
import { builtProgram } from '../support/product-build.ts';
import { startRole, type RoleProcess } from '../support/role-process.ts';
import { samplesOf } from '../support/samples.ts';
import { testDatabase, testRedis, testTemporal, type TestDatabase } from '../support/servers.ts';

const ROOT_KEY = 'sk_root_of_the_several_apis_test';
const MAX_REQUESTS = 60;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

let folder: string;
let guardian: Guardian;
let database: TestDatabase;
const processes: RoleProcess[] = [];
const urls: string[] = [];
const metricsOf: Record<string, string> = {};
const temporal = testTemporal();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-several-'));
  guardian = startGuardian();
  database = await testDatabase();
  await migrate(database.url);
  const redis = testRedis();
  const common = {
    guardian,
    config: {
      database: { redis: { prefix: redis.prefix }, postgresql: { pool: { max: 6 } } },
      temporal: { task_queue: temporal.taskQueue },
      security: { rate_limit: { max_requests: MAX_REQUESTS, window_ms: '1h' } },
    },
  };
  const env = {
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    TEMPORAL_ADDRESS: temporal.address,
    CONTEXT_AUTH: 'keys',
    CONTEXT_ROOT_KEY: ROOT_KEY,
  };
  // All at once, as a deployment does it: they agree on the root key.
  const starting: Promise<RoleProcess>[] = [];
  await builtProgram('run');
  for (const nth of [1, 2, 3]) {
    const port = await choosePort(0);
    const url = `http://${LOOPBACK}:${port}`;
    urls.push(url);
    starting.push(
      startRole({
        ...common,
        role: 'api',
        folder: join(folder, `api-${nth}`),
        env: { ...env, CONTEXT_API_PORT: String(port) },
        isUp: async () => (await fetch(`${url}/api/context/health/ready`)).ok,
      }),
    );
  }
  for (const role of ['job-worker', 'sync-worker'] as const) {
    const port = await choosePort(0);
    const url = `http://${LOOPBACK}:${port}/metrics`;
    metricsOf[role] = url;
    starting.push(
      startRole({
        ...common,
        role,
        folder: join(folder, role),
        env: { ...env, SYNCLINE_METRICS_PORT: String(port) },
        isUp: async () => (await fetch(url)).ok,
      }),
    );
  }
  processes.push(...(await Promise.all(starting)));
}, 180_000);

afterAll(async () => {
  await Promise.all(processes.map((each) => each.stop()));
  const connection = await Connection.connect({ address: temporal.address });
  const client = new Client({ connection, namespace: temporal.namespace });
  const pulse = client.schedule.getHandle(pulseScheduleId(temporal.taskQueue));
  await pulse.delete().catch(() => undefined);
  await connection.close();
  await guardian.stop();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

/** Asks API number `nth` (0–2), with a key of its own per test so that limits do not meet. */
async function ask(
  nth: number,
  target: string,
  more: {
    readonly key: string;
    readonly body?: unknown;
    readonly headers?: Record<string, string>;
    readonly signal?: AbortSignal;
  },
): Promise<Answer> {
  const [method = 'GET', path = '/'] = target.split(' ');
  const answer = await fetch(urls[nth]! + path, {
    method,
    headers: {
      authorization: `Bearer ${more.key}`,
      ...(more.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...more.headers,
    },
    ...(more.body === undefined ? {} : { body: JSON.stringify(more.body) }),
    ...(more.signal === undefined ? {} : { signal: more.signal }),
  });
  return {
    status: answer.status,
    headers: answer.headers,
    body: (await answer.json()) as Answer['body'],
  };
}

async function newKey(name: string): Promise<string> {
  const body = { name, scopes: ['read', 'write'] };
  const made = await ask(0, 'POST /api/admin/keys', { key: ROOT_KEY, body });
  expect(made.status).toBe(201);
  return String(made.body['key']);
}

describe('three API processes', () => {
  it('show each other’s writes at once', async () => {
    const key = await newKey('writes');
    for (const writer of [0, 1, 2]) {
      const body = { key: `shared/${writer}`, data: { by: writer } };
      expect((await ask(writer, 'POST /api/context/store', { key, body })).status).toBe(201);
      for (const reader of [0, 1, 2]) {
        const read = await ask(reader, `GET /api/context/get/shared%2F${writer}`, { key });
        expect(read.body['data']).toEqual({ by: writer });
      }
    }
    const deleted = await ask(2, 'DELETE /api/context/delete/shared%2F0', { key });
    expect(deleted.status).toBe(200);
    expect((await ask(1, 'GET /api/context/get/shared%2F0', { key })).status).toBe(404);
  });

  it('let one writer win each version, wherever it asks', async () => {
    const key = await newKey('races');
    await ask(0, 'POST /api/context/store', { key, body: { key: 'race', data: 0 } });
    for (const version of [1, 2, 3]) {
      const tries = await Promise.all(
        [0, 1, 2, 0, 1, 2].map((nth, writer) =>
          ask(nth, 'PUT /api/context/update/race', {
            key,
            body: { data: { version, writer } },
            headers: { 'if-match': `"${version}"` },
          }),
        ),
      );
      const won = tries.filter(({ status }) => status === 200);
      expect(won).toHaveLength(1);
      expect(won[0]!.body['version']).toBe(version + 1);
      for (const { status, body } of tries.filter((each) => each.status !== 200)) {
        expect(status).toBe(412);
        expect(body['currentVersion']).toBe(version + 1);
      }
    }
    const history = await ask(1, 'GET /api/context/versions/race', { key });
    const items = history.body['items'] as { version: number }[];
    expect(items.map(({ version }) => version)).toEqual([4, 3, 2, 1]);
  });

  it('answer a repeated request once, wherever it is repeated', async () => {
    const key = await newKey('repeats');
    const headers = { 'idempotency-key': 'the-same' };
    const body = { key: 'once', data: { n: 1 } };
    const answers = await Promise.all(
      [0, 1, 2].map((nth) => ask(nth, 'POST /api/context/store', { key, body, headers })),
    );
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
    const replayed = answers.filter(({ headers: told }) => told.get('idempotency-replayed'));
    expect(replayed).toHaveLength(2);
    const other = { key: 'once', data: { n: 2 } };
    const refused = await ask(2, 'POST /api/context/store', { key, body: other, headers });
    expect(refused.body['code']).toBe('IDEMPOTENCY_MISMATCH');
    expect((await ask(0, 'GET /api/context/get/once', { key })).body['version']).toBe(1);
  });

  it('wake long polls of each other, long before their time is over', async () => {
    const key = await newKey('polls');
    const head = await ask(1, 'GET /api/context/changes?since=now', { key });
    // A cursor may be a little behind what is committed, so followers go on until they see it.
    const follow = async (nth: number): Promise<number> => {
      let cursor = String(head.body['cursor']);
      for (;;) {
        const target = `GET /api/context/changes?since=${encodeURIComponent(cursor)}&wait=25`;
        const { body } = await ask(nth, target, { key });
        const changes = body['changes'] as { key: string }[];
        if (changes.some((change) => change.key === 'news')) return performance.now();
        cursor = String(body['cursor']);
      }
    };
    const waiting = [1, 2].map(follow);
    const began = performance.now();
    await ask(0, 'POST /api/context/store', { key, body: { key: 'news', data: 1 } });
    for (const seenAt of await Promise.all(waiting)) expect(seenAt - began).toBeLessThan(20_000);
  });

  it('count a caller’s requests together', async () => {
    const key = await newKey('limits');
    const statuses: number[] = [];
    for (let nth = 0; nth < MAX_REQUESTS + 6; nth += 1)
      statuses.push((await ask(nth % 3, 'GET /api/context/list', { key })).status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(MAX_REQUESTS);
    expect(statuses.slice(MAX_REQUESTS)).toEqual([429, 429, 429, 429, 429, 429]);
    const told = await Promise.all(urls.map((url) => samplesOf(`${url}/metrics`)));
    const refused = told.map(({ value }) => value('syncline_rate_limited_total')!);
    expect(refused.reduce((sum, each) => sum + each, 0)).toBe(6);
  });

  it('tell their own numbers each, and the workers theirs', async () => {
    const told = await Promise.all(urls.map((url) => samplesOf(`${url}/metrics`)));
    for (const { value } of told) {
      expect(value('context_operations_total', { operation: 'store' })).toBeGreaterThan(0);
      expect(value('syncline_build_info', { role: 'api' })).toBe(1);
    }
    await vi.waitFor(
      async () => {
        const { value } = await samplesOf(metricsOf['job-worker']!);
        expect(value('syncline_relay_messages_total', { outcome: 'sent' })).toBeGreaterThan(0);
      },
      { timeout: 20_000, interval: 200 },
    );
    const sync = await samplesOf(metricsOf['sync-worker']!);
    expect(sync.value('syncline_build_info', { role: 'sync-worker' })).toBe(1);
  });

  it('go on when one of them is killed', async () => {
    const key = await newKey('survivors');
    await ask(2, 'POST /api/context/store', { key, body: { key: 'last/words', data: 1 } });
    await processes[2]!.kill();
    for (const nth of [0, 1]) {
      const read = await ask(nth, 'GET /api/context/get/last%2Fwords', { key });
      expect(read.status).toBe(200);
    }
    const body = { key: 'life/goes/on', data: 2 };
    expect((await ask(0, 'POST /api/context/store', { key, body })).status).toBe(201);
  });
});
