/**
 * The real product as a child process (`all-in-one`), on the test servers with a database, a Redis
 * prefix, a task queue and a folder of its own. It can be killed and started again: its servers stay.
 */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection, Client, ScheduleNotFoundError } from '@temporalio/client';
import { stringify } from 'yaml';
import { ContextClient } from '../../client/context-client.ts';
import { startChild, type Child } from '../../dev/child.ts';
import { startGuardian } from '../../dev/guardian.ts';
import { choosePort, LOOPBACK } from '../../dev/ports.ts';
import { waitUntil } from '../../dev/wait-until.ts';
import type { JsonObject } from '../../domain/json.ts';
import { pulseScheduleId } from '../../workflows/contract.ts';
import { builtProgram } from './product-build.ts';
import { migratedDatabase } from './migrated-database.ts';
import { testRedis, testTemporal, type TestTemporal } from './servers.ts';

const START_MS = 60_000;
const STOP_MS = 35_000;

export interface SynclineOptions {
  /** What the process is. Default `all-in-one`. */
  readonly role?: 'all-in-one' | 'api';
  /** Whether it runs when this resolves. Default true. */
  readonly isStarted?: boolean;
  /** Gives the process another way to its database (and to nothing else of this test). */
  readonly databaseDoor?: (url: string) => Promise<string>;
  /** More of `context.yaml`, over what {@link startSyncline} writes; by top-level key. */
  readonly config?: JsonObject;
  /** Another Redis than the tests' own. */
  readonly redis?: { readonly url: string; readonly prefix: string };
}

export interface SynclineProcess {
  /** Folder of this installation; file connectors may open what is in it. */
  readonly folder: string;
  /** Base URL of the API, the same after a restart. */
  readonly url: string;
  readonly client: ContextClient;
  readonly databaseUrl: string;
  readonly temporal: TestTemporal;
  /** A Temporal client, closed with the rest. */
  readonly workflows: Client;
  /** Resolves when the API answers. @throws Error with the log's end when the process ends before */
  start(): Promise<void>;
  /** For a start that must fail: how the process ended, and what it said last. */
  startToEnd(): Promise<{ readonly ended: string; readonly said: string }>;
  /** SIGKILL to the process itself; nothing of it gets to say goodbye. */
  kill(): Promise<void>;
  /** Resolves once the process that was started last has ended, however. */
  ended(): Promise<void>;
  /** After {@link kill}: when the memory servers it had started have ended, too. */
  whenGone(): Promise<void>;
  /** SIGTERM; answers how it ended, e.g. `exit code 0`. */
  stop(): Promise<string>;
  /** Of the process that was started last. @throws Error when none was */
  pid(): number;
  /** Everything it logged since it was last started. */
  log(): string;
  /** Stops it and removes all that was made for it. */
  close(): Promise<void>;
}

/** Makes an installation and starts it. */
export async function startSyncline(options: SynclineOptions = {}): Promise<SynclineProcess> {
  const [program, database, port] = await Promise.all([
    builtProgram('run'),
    migratedDatabase(),
    choosePort(0),
  ]);
  const databaseUrl = (await options.databaseDoor?.(database.url)) ?? database.url;
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'syncline-e2e-')));
  const redis = testRedis();
  const temporal = testTemporal();
  const connection = await Connection.connect({ address: temporal.address });
  const guardian = startGuardian();
  const url = `http://${LOOPBACK}:${port}`;
  const home = join(folder, '.home');
  const logFile = join(home, 'syncline.log');
  mkdirSync(home);
  writeFileSync(
    join(home, 'context.yaml'),
    stringify({
      home,
      api: { port },
      database: {
        postgresql: { url: databaseUrl, pool: { max: 8 } },
        redis: { url: redis.url, prefix: redis.prefix, ...options.redis },
      },
      temporal: { address: temporal.address, task_queue: temporal.taskQueue },
      connectors: { file_roots: [folder], stdio_allow: [process.execPath] },
      // A hint may come late on a busy machine; these tests are not about how long a quiet link rests.
      sync: { pulse_ms: 1000, max_watched_rest_ms: 5000, max_polled_rest_ms: 5000 },
      ...options.config,
    }),
  );
  const client = new ContextClient({ url, retries: 0 });
  const workflows = new Client({ connection, namespace: temporal.namespace });
  let child: Child | null = null;

  function spawn(): Child {
    const env = environment();
    child = startChild({
      command: process.execPath,
      args: [program, options.role ?? 'all-in-one'],
      logFile,
      cwd: home,
      env,
      guardian,
    });
    return child;
  }

  async function start(): Promise<void> {
    const started = spawn();
    const givenUp = (): string | null =>
      started.hasEnded() ? `Syncline ended:\n${started.logTail()}` : null;
    await waitUntil(() => answers(client), { timeoutMs: START_MS, everyMs: 20, givenUp });
  }

  const syncline: SynclineProcess = {
    folder,
    url,
    client,
    databaseUrl: database.url,
    temporal,
    workflows,
    start,
    async startToEnd() {
      const started = spawn();
      return { ended: await started.ended, said: started.logTail() };
    },
    async kill() {
      if (!child || child.hasEnded()) return;
      process.kill(child.pid, 'SIGKILL');
      await child.ended;
    },
    async ended() {
      await child?.ended;
    },
    whenGone: async () => {
      const group = child?.pid;
      const look = async (): Promise<true | null> => (isGroupGone(group) ? true : null);
      await waitUntil(look, { timeoutMs: STOP_MS, everyMs: 10 });
    },
    async stop() {
      await child?.stop(STOP_MS);
      return child?.ended ?? 'never started';
    },
    pid() {
      if (child) return child.pid;
      throw new Error('it was never started');
    },
    log: () => readFileSync(logFile, 'utf8'),
    async close() {
      await syncline.stop();
      client.close();
      await removePulse(workflows, temporal.taskQueue);
      await connection.close();
      await guardian.stop();
      await database.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  if (options.isStarted ?? true) await start();
  return syncline;
}

/** Ours must not leak in: a developer's TEMPORAL_ADDRESS would win over the file. */
function environment(): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env;
  return { PATH, HOME, ...(TMPDIR === undefined ? {} : { TMPDIR }), NODE_ENV: 'test' };
}

/** Whether nobody is left in the process group a child leads. */
function isGroupGone(leader: number | undefined): boolean {
  try {
    if (leader !== undefined) process.kill(-leader, 0);
    return leader === undefined;
  } catch {
    return true;
  }
}

async function answers(client: ContextClient): Promise<true | null> {
  const health = await client.health().catch(() => null);
  return health?.status === 'ok' ? true : null;
}

async function removePulse(client: Client, taskQueue: string): Promise<void> {
  try {
    await client.schedule.getHandle(pulseScheduleId(taskQueue)).delete();
  } catch (thrown) {
    if (!(thrown instanceof ScheduleNotFoundError)) throw thrown;
  }
}
