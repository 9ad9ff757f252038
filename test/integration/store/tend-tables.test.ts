import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startGuardian, type Guardian } from '../../../dev/guardian.ts';
import { startPostgres } from '../../../dev/postgres.ts';
import type { RunningServer } from '../../../dev/server.ts';
import { migrate } from '../../../main/migrate.ts';
import { tendTables } from '../../../store/tend-tables.ts';
import { hasRealPostgres, testDatabase } from '../../support/servers.ts';

let home: string;
let guardian: Guardian;
let server: RunningServer;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'syncline-tended-'));
  guardian = startGuardian();
  const tell = (): void => undefined;
  server = await startPostgres({ home, preferredPort: 0, tell, mayInstall: false, guardian });
  await migrate(server.address);
}, 120_000);
afterAll(async () => {
  await server.stop();
  await guardian.stop();
  rmSync(home, { recursive: true, force: true });
});

async function sql<Row extends object>(text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: server.address });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

/** What the planner believes, and what the table takes on the disk. */
const tenants = async (): Promise<{ planned: number; bytes: number }> =>
  (
    await sql<{ planned: number; bytes: number }>(
      `SELECT reltuples::float8 AS planned, pg_total_relation_size(oid)::float8 AS bytes
       FROM pg_class WHERE oid = 'context_system.tenants'::regclass`,
    )
  )[0]!;

const updateAll = (): Promise<object[]> =>
  sql(`UPDATE context_system.tenants SET name = name || '.'`);

describe('the embedded Postgres, which has no autovacuum', { timeout: 60_000 }, () => {
  it('is tended: what changed much is vacuumed and analysed, so that it grows no further', async () => {
    await sql(`INSERT INTO context_system.tenants (id, name)
      SELECT 't' || n, repeat('name', 20) FROM generate_series(1, 2000) n`);
    await updateAll();
    expect((await tenants()).planned).toBe(-1);
    expect(await tendTables(server.address)).toMatchObject({
      status: 'tended',
      tables: expect.arrayContaining(['tenants']) as string[],
    });
    const { planned, bytes } = await tenants();
    expect(planned).toBe(2001);
    await updateAll();
    expect((await tenants()).bytes).toBeLessThan(bytes * 1.1);
  });

  it('is left alone where nothing changed', async () => {
    await tendTables(server.address);
    expect(await tendTables(server.address)).toEqual({ status: 'tended', tables: [] });
  });
});

describe.skipIf(!hasRealPostgres())('a Postgres with autovacuum', () => {
  it('is left to itself', async () => {
    const database = await testDatabase();
    try {
      expect(await tendTables(database.url)).toEqual({ status: 'left to the server' });
    } finally {
      await database.drop();
    }
  });
});
