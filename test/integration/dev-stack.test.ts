import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { Redis } from 'ioredis';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAlive, waitUntilGone } from '../../dev/process-alive.ts';
import { startStack, type Stack } from '../../dev/stack.ts';

interface ServerLine {
  readonly name: 'postgres' | 'redis' | 'temporal';
  readonly pid: number;
  readonly address: string;
}
interface Owner {
  readonly process: ChildProcess;
  readonly pids: readonly number[];
  addressOf(name: ServerLine['name']): string;
}

const OWNER = fileURLToPath(new URL('../support/servers-stack-owner.ts', import.meta.url));
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const ANY_PORTS = { postgres: 0, redis: 0, temporal: 0 };

let home: string;
const owners: ChildProcess[] = [];
const stacks: Stack[] = [];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'syncline-stack-'));
});

afterEach(async () => {
  for (const owner of owners.splice(0)) {
    if (owner.exitCode !== null || owner.signalCode !== null) continue;
    owner.kill('SIGTERM');
    await once(owner, 'exit');
  }
  for (const stack of stacks.splice(0)) await stack.stop();
  rmSync(home, { recursive: true, force: true });
});

/** Starts the whole stack in a process of its own group, as a terminal does. */
async function startOwner(): Promise<Owner> {
  const child = spawn(process.execPath, ['--import', TSX, OWNER, home], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  owners.push(child);
  let log = '';
  child.stderr.on('data', (data: Buffer) => (log += data.toString('utf8')));
  const failed = once(child, 'exit').then(() => Promise.reject(new Error(log)));
  failed.catch(() => undefined);
  const line = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    failed,
  ])) as unknown[];
  const servers = JSON.parse(String(line[0])) as ServerLine[];
  return {
    process: child,
    pids: servers.map((server) => server.pid),
    addressOf: (name) => servers.find((server) => server.name === name)?.address ?? '',
  };
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function withRedis<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url);
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

async function withTemporal<T>(address: string, use: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address });
  try {
    return await use(new Client({ connection }));
  } finally {
    await connection.close();
  }
}

describe('the embedded stack', { timeout: 120_000 }, () => {
  it('takes its children along when it is killed, and starts again at once with all its data', async () => {
    const first = await startOwner();
    await query(first.addressOf('postgres'), 'create table kept (n int)');
    await query(first.addressOf('postgres'), 'insert into kept select generate_series(1, 1000)');
    await withRedis(first.addressOf('redis'), (redis) => redis.set('kept', 'yes'));
    await withTemporal(first.addressOf('temporal'), (client) =>
      client.workflow.start('nobodyRunsThis', { workflowId: 'kept', taskQueue: 'nobody' }),
    );

    first.process.kill('SIGKILL');
    await once(first.process, 'exit');
    const second = await startOwner();

    expect(first.pids.filter(isAlive)).toEqual([]);
    const rows = await query(second.addressOf('postgres'), 'select count(*)::int as n from kept');
    expect(rows).toEqual([{ n: 1000 }]);
    expect(await withRedis(second.addressOf('redis'), (redis) => redis.get('kept'))).toBe('yes');
    const found = await withTemporal(second.addressOf('temporal'), (client) =>
      client.workflow.getHandle('kept').describe(),
    );
    expect(found.status.name).toBe('RUNNING');
  });

  it('ends every child within seconds of being killed, even when nobody starts it again', async () => {
    const owner = await startOwner();
    owner.process.kill('SIGKILL');
    expect(await waitUntilGone(owner.pids, 8000)).toBe(true);
  });

  it('stops in order on Ctrl-C, which reaches the whole process group', async () => {
    const owner = await startOwner();
    const exit = once(owner.process, 'exit');
    process.kill(-(owner.process.pid ?? 0), 'SIGINT');
    expect(await exit).toEqual([0, null]);
    expect(owner.pids.filter(isAlive)).toEqual([]);
  });

  it('refuses a second start in the same folder, naming where the first one answers', async () => {
    const steps: string[] = [];
    const options = { home, want: { redis: true }, ports: ANY_PORTS };
    const report = (step: { state: string }): void => void steps.push(step.state);
    const stack = await startStack({ ...options, report });
    stacks.push(stack);
    stack.setUrl('http://127.0.0.1:3100');
    await expect(startStack({ ...options, report })).rejects.toMatchObject({
      code: 'ALREADY_RUNNING',
      message: expect.stringContaining('http://127.0.0.1:3100') as string,
    });
    expect(steps).toEqual(['starting', 'ready']);
    await stack.stop();
    stacks.push(await startStack({ ...options, report }));
  });

  it('tells when a server ends that nobody asked to end', async () => {
    const stack = await startStack({
      home,
      want: { redis: true },
      ports: ANY_PORTS,
      report: () => undefined,
    });
    stacks.push(stack);
    process.kill(stack.servers.redis?.pid ?? 0, 'SIGKILL');
    expect(await stack.broken).toContain('redis ended by itself');
    expect((await stack.health()).redis?.isHealthy).toBe(false);
  });
});
