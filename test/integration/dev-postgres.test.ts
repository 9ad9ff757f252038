import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startGuardian, type Guardian } from '../../dev/guardian.ts';
import { startPostgres } from '../../dev/postgres.ts';
import type { RunningServer } from '../../dev/server.ts';
import { waitUntil } from '../../dev/wait-until.ts';

let home: string;
let server: RunningServer;
let guardian: Guardian;
let pool: pg.Pool;

function start(): Promise<RunningServer> {
  return startPostgres({
    home,
    preferredPort: 0,
    tell: () => undefined,
    mayInstall: false,
    guardian,
  });
}

function openPool(): pg.Pool {
  const opened = new pg.Pool({ connectionString: server.address, max: 10 });
  opened.on('error', () => undefined);
  return opened;
}

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'syncline-pglite-'));
  guardian = startGuardian();
  server = await start();
  pool = openPool();
});

afterAll(async () => {
  await pool.end();
  await server.stop();
  await guardian.stop();
  rmSync(home, { recursive: true, force: true });
});

describe('the embedded Postgres', () => {
  it('gives every one of many clients the answer to its own question', async () => {
    const ask = async (client: number, index: number): Promise<void> => {
      const sum = await pool.query<{ x: number }>('select $1::int + $2::int as x', [client, index]);
      expect(sum.rows).toEqual([{ x: client + index }]);
      const text = 'y'.repeat((index % 20) * 200);
      const echo = await pool.query<{ t: string }>(`select $1::text || '${client}' as t`, [text]);
      expect(echo.rows).toEqual([{ t: `${text}${client}` }]);
      await expect(pool.query('select $1::int / 0', [index])).rejects.toThrow('division by zero');
    };
    const clients = Array.from({ length: 12 }, async (_, client) => {
      for (let index = 0; index < 30; index++) await ask(client, index);
    });
    await Promise.all(clients);
  });

  it('keeps named statements of different clients apart', async () => {
    const [one, two] = [await pool.connect(), await pool.connect()];
    const first = await one.query<{ x: string }>({ name: 'same', text: `select 'one' as x` });
    const second = await two.query<{ x: string }>({ name: 'same', text: `select 'two' as x` });
    const again = await one.query<{ x: string }>({ name: 'same', text: `select 'one' as x` });
    one.release(true);
    two.release(true);
    expect([first, second, again].map((answer) => answer.rows[0]?.x)).toEqual([
      'one',
      'two',
      'one',
    ]);
  });

  it('lets a transaction finish before anyone else is served', async () => {
    await pool.query('create table money (n int)');
    const client = await pool.connect();
    await client.query('begin');
    await client.query('insert into money values (1)');
    let isServed = false;
    const other = pool
      .query<{ n: number }>('select count(*)::int as n from money')
      .then((answer) => {
        isServed = true;
        return answer.rows[0]?.n;
      });
    await client.query('insert into money values (2)');
    expect(isServed).toBe(false);
    await client.query('commit');
    client.release();
    expect(await other).toBe(2);
  });

  it('drops the role of SET LOCAL with the transaction', async () => {
    await pool.query('create role app nologin');
    const client = await pool.connect();
    await client.query('begin; set local role app');
    const inside = await client.query<{ u: string }>('select current_user as u');
    await client.query('commit');
    const after = await client.query<{ u: string }>('select current_user as u');
    client.release();
    expect([inside.rows[0]?.u, after.rows[0]?.u]).toEqual(['app', 'postgres']);
  });

  it('rolls back what a client that vanishes left open, and serves the next one', async () => {
    await pool.query('create table vanished (n int)');
    const client = new pg.Client({ connectionString: server.address });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('begin');
    await client.query('insert into vanished values (1)');
    (
      client as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy();
    const left = await pool.query<{ n: number }>('select count(*)::int as n from vanished');
    expect(left.rows).toEqual([{ n: 0 }]);
  });

  it('carries bodies of many megabytes', async () => {
    const body = 'ü'.repeat(5_000_000);
    const answer = await pool.query<{ t: string }>('select $1::text as t', [body]);
    expect(answer.rows[0]?.t === body).toBe(true);
  });

  it('has vectors', async () => {
    await pool.query('create extension if not exists vector');
    const answer = await pool.query<{ d: number }>(
      `select '[1,2]'::vector <-> '[1,3]'::vector as d`,
    );
    expect(answer.rows).toEqual([{ d: 1 }]);
  });

  it('starts after it was killed while it made its database', async () => {
    const other = mkdtempSync(join(tmpdir(), 'syncline-pglite-'));
    const pids: number[] = [];
    const watch = (pid: number): void => {
      pids.push(pid);
      guardian.watch(pid);
    };
    const options = { home: other, preferredPort: 0, tell: () => undefined, mayInstall: false };
    const first = startPostgres({ ...options, guardian: { ...guardian, watch } });
    first.catch(() => undefined);
    const draft = join(other, 'postgres', 'data.making');
    const isHalfMade = (): Promise<true | null> =>
      Promise.resolve(existsSync(draft) && readdirSync(draft).length > 0 ? true : null);
    await waitUntil(isHalfMade, { timeoutMs: 20_000, everyMs: 1 });
    process.kill(pids[0]!, 'SIGKILL');
    await expect(first).rejects.toMatchObject({ code: 'SERVER_NOT_STARTED' });

    const second = await startPostgres({ ...options, guardian });
    expect((await second.health()).isHealthy).toBe(true);
    await second.stop();
    rmSync(other, { recursive: true, force: true });
  });

  it('has every acknowledged row after kill -9', async () => {
    await pool.query('create table kept (n int)');
    let acknowledged = 0;
    const writing = (async () => {
      for (;;) {
        await pool.query('insert into kept values ($1)', [acknowledged + 1]);
        acknowledged++;
        if (acknowledged === 200) process.kill(server.pid, 'SIGKILL');
      }
    })();
    await expect(writing).rejects.toThrow();
    await server.ended;
    await pool.end();
    server = await start();
    pool = openPool();
    const rows = await pool.query<{ n: number }>('select count(*)::int as n from kept');
    const count = rows.rows[0]?.n ?? 0;
    // One row more may have been written whose acknowledgement the kill cut off.
    expect([acknowledged, acknowledged + 1]).toContain(count);
    expect(acknowledged).toBeGreaterThanOrEqual(200);
  });
});
