/** Several API processes on one Postgres and one Redis: who listens to one hears what another commits. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { stringify } from 'yaml';
import { ContextClient, type ContextChange } from '../../client/index.ts';
import { startChild, type Child } from '../../dev/child.ts';
import { startGuardian, type Guardian } from '../../dev/guardian.ts';
import { choosePort } from '../../dev/ports.ts';
import { migrate } from '../../main/migrate.ts';
import { builtProgram } from '../support/product-build.ts';
import { testDatabase, testRedis, testTemporal, type TestDatabase } from '../support/servers.ts';
import { openTcpDoor, type TcpDoor } from '../support/tcp-door.ts';

const folder = mkdtempSync(join(tmpdir(), 'syncline-ws-'));
const children: Child[] = [];
let guardian: Guardian;
let database: TestDatabase;
let redisDoor: TcpDoor;
let program: string;

beforeAll(async () => {
  guardian = startGuardian();
  [program, database] = await Promise.all([builtProgram('run'), testDatabase()]);
  await migrate(database.url);
  redisDoor = await openTcpDoor(Number(new URL(testRedis().url).port || 6379));
}, 120_000);
afterAll(async () => {
  await Promise.all(children.map((child) => child.stop(10_000)));
  await guardian.stop();
  await redisDoor.close();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

/** One API process; it may be started again on the same port. */
async function startApiProcess(port: number): Promise<{ url: string; child: Child }> {
  const home = join(folder, String(port));
  mkdirSync(home, { recursive: true });
  const redis = testRedis();
  const temporal = testTemporal();
  const redisUrl = new URL(redis.url);
  redisUrl.port = String(redisDoor.port);
  writeFileSync(
    join(home, 'context.yaml'),
    stringify({
      home,
      api: { port },
      database: {
        postgresql: { url: database.url, pool: { max: 8 } },
        redis: { url: redisUrl.href, prefix: redis.prefix },
      },
      temporal: { address: temporal.address, task_queue: temporal.taskQueue },
    }),
  );
  const { PATH, HOME } = process.env;
  const child = startChild({
    command: process.execPath,
    args: [program, 'api'],
    logFile: join(home, 'syncline.log'),
    cwd: home,
    env: { PATH, HOME, NODE_ENV: 'test' },
    guardian,
  });
  children.push(child);
  const url = `http://127.0.0.1:${port}`;
  const client = new ContextClient({ url, retries: 0 });
  await vi.waitFor(
    async () => {
      if (child.hasEnded()) throw new Error(readFileSync(join(home, 'syncline.log'), 'utf8'));
      await client.initialize();
    },
    { timeout: 60_000, interval: 50 },
  );
  client.close();
  return { url, child };
}

async function listen(url: string, prefix: string) {
  const client = new ContextClient({ url });
  const changes: ContextChange[] = [];
  client.on('contextChange', (change) => changes.push(change));
  await client.subscribe({ prefix });
  return { client, changes };
}
const versionsOf = (changes: readonly ContextChange[]): number[] =>
  changes.map((each) => each.version);
const upTo = (last: number): number[] => Array.from({ length: last }, (_, at) => at + 1);
const waitFor = <T>(look: () => T): Promise<T> =>
  vi.waitFor(look, { timeout: 30_000, interval: 5 });

describe('two API processes', () => {
  it('tell each other by Redis, without it by looking, and a listener outlives a killed one', async () => {
    const [one, two] = await Promise.all([
      startApiProcess(await choosePort(0)),
      startApiProcess(await choosePort(0)),
    ]);
    const writer = new ContextClient({ url: one.url });
    const { client, changes } = await listen(two.url, 'far/');

    for (let step = 1; step <= 20; step += 1) await writer.store('far/a', { step });
    await waitFor(() => expect(changes).toHaveLength(20));

    // Redis out: a commit of another process is found by looking.
    redisDoor.refuse(true);
    redisDoor.cut();
    for (let step = 21; step <= 40; step += 1) await writer.store('far/a', { step });
    await waitFor(() => expect(changes).toHaveLength(40));
    redisDoor.refuse(false);

    // Killed in mid-stream, and started again where it was.
    const writing = (async () => {
      for (let step = 41; step <= 140; step += 1) await writer.store('far/a', { step });
    })();
    await waitFor(() => expect(changes.length).toBeGreaterThan(50));
    process.kill(two.child.pid, 'SIGKILL');
    await two.child.ended;
    await startApiProcess(Number(new URL(two.url).port));
    await writing;
    await waitFor(() => expect(changes.at(-1)?.version).toBe(140));
    expect(versionsOf(changes)).toEqual(upTo(140));

    client.close();
    writer.close();
  }, 180_000);
});
