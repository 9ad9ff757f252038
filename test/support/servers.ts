/**
 * Where a test finds its servers. `npm test` starts them and names them in the environment; each
 * test file takes a database, a Redis prefix and a task queue of its own, so files run in parallel.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startGuardian } from '../../dev/guardian.ts';
import { startPostgres } from '../../dev/postgres.ts';

export interface TestDatabase {
  /** URL of a superuser on an empty database of this test file's own. */
  readonly url: string;
  /** False on PGlite: one session, so no lock ever waits and SKIP LOCKED skips nothing. */
  readonly isReal: boolean;
  /** Whether `create extension vector` works here. */
  readonly hasVector: boolean;
  /** Throws everyone out and drops the database. */
  drop(): Promise<void>;
}

export interface TestRedis {
  readonly url: string;
  /** For BullMQ's `prefix` and for keys; nobody else has it. */
  readonly prefix: string;
}

export interface TestTemporal {
  /** `host:port`. */
  readonly address: string;
  readonly namespace: 'default';
  /** Nobody else has it. */
  readonly taskQueue: string;
}

/**
 * Whether tests run on a real Postgres; for `describe.skipIf(!hasRealPostgres())` around tests of
 * locks and concurrent transactions.
 */
export function hasRealPostgres(): boolean {
  return process.env['SYNCLINE_TEST_PG'] !== 'pglite';
}

/**
 * A database like `template`, empty unless told; call `drop` in `afterAll`. Roles are shared by all
 * databases of a server. PGlite knows no templates.
 */
export async function testDatabase(template = 'template0'): Promise<TestDatabase> {
  if (!hasRealPostgres()) return pgliteDatabase();
  const server = postgresServer();
  const name = `t_${randomUUID().replaceAll('-', '')}`;
  await query(server, `create database ${name} template ${template}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    isReal: true,
    hasVector: await knowsVector(url.href),
    drop: async () => {
      await query(server, `drop database if exists ${name} with (force)`);
    },
  };
}

/** URL of a superuser on the database `postgres` of the shared server. @throws Error when there is none */
export function postgresServer(): string {
  return addressFrom('TEST_DATABASE_URL', 'Postgres');
}

/** The shared Redis, and a prefix of our own. */
export function testRedis(): TestRedis {
  return { url: addressFrom('TEST_REDIS_URL', 'Redis'), prefix: `t-${randomUUID()}` };
}

/** The shared Temporal, and a task queue of our own. */
export function testTemporal(): TestTemporal {
  const address = addressFrom('TEST_TEMPORAL_ADDRESS', 'Temporal');
  return { address, namespace: 'default', taskQueue: `t-${randomUUID()}` };
}

function addressFrom(variable: string, what: string): string {
  const address = process.env[variable];
  if (address) return address;
  throw new Error(
    `this test needs ${what}, and ${variable} is not set: run it with \`npm test -- <file>\`, which starts one`,
  );
}

async function pgliteDatabase(): Promise<TestDatabase> {
  const home = mkdtempSync(join(tmpdir(), 'syncline-test-pglite-'));
  const guardian = startGuardian();
  const tell = (): void => undefined;
  const server = await startPostgres({ home, preferredPort: 0, tell, guardian, mayInstall: false });
  return {
    url: server.address,
    isReal: false,
    hasVector: true,
    drop: async () => {
      await server.stop();
      await guardian.stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function knowsVector(url: string): Promise<boolean> {
  return (await query(url, `select 1 from pg_available_extensions where name = 'vector'`)) > 0;
}

/** Runs one statement on a connection of its own; gives the number of rows. */
async function query(url: string, sql: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rowCount ?? 0;
  } finally {
    await client.end();
  }
}
