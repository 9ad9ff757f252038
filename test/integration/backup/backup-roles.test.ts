/** Which database users can make a backup, and what the others are told. */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../domain/clock.ts';
import { MIGRATION_LOCK, migrate } from '../../../main/migrate.ts';
import { SCHEMA_STEPS } from '../../../main/schema-steps.ts';
import { restoreBackup } from '../../../store/backup/restore-backup.ts';
import { writeBackup } from '../../../store/backup/write-backup.ts';
import { hasRealPostgres, testDatabase, type TestDatabase } from '../../support/servers.ts';

let folder: string;
let database: TestDatabase;
/** Roles belong to the whole server: ours have names nobody else has. */
const roles: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-roles-'));
  database = await testDatabase();
  await migrate(database.url);
});
afterAll(async () => {
  for (const role of roles) await admin(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`);
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

async function admin(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** A URL of the database for a new user with these attributes. */
async function userWith(attributes: string, grants = ''): Promise<string> {
  const role = `t_${randomUUID().slice(0, 8)}`;
  roles.push(role);
  await admin(`CREATE ROLE ${role} LOGIN PASSWORD 'test' ${attributes};
    ${grants.replaceAll('$role', role)}`);
  const url = new URL(database.url);
  url.username = role;
  url.password = 'test';
  return url.href;
}

const backUp = (url: string, file = join(folder, 'all.backup')) =>
  writeBackup({ url, file, product: '0', clock: systemClock });

const restore = (url: string) =>
  restoreBackup({
    url,
    file: join(folder, 'all.backup'),
    replace: true,
    steps: SCHEMA_STEPS,
    lock: MIGRATION_LOCK,
    clock: systemClock,
  });

describe.skipIf(!hasRealPostgres())('a backup by a database user', () => {
  it('whom row-level security keeps rows from is refused, and no file is left', async () => {
    const url = await userWith('', 'GRANT pg_read_all_data TO $role');
    const file = join(folder, 'refused.backup');
    await expect(backUp(url, file)).rejects.toMatchObject({
      code: 'FORBIDDEN',
      message: expect.stringContaining('BYPASSRLS') as string,
    });
    expect(existsSync(file)).toBe(false);
  });

  it('who may pass row-level security but not read the tables is told what is missing', async () => {
    const url = await userWith('BYPASSRLS');
    await expect(backUp(url)).rejects.toMatchObject({
      code: 'FORBIDDEN',
      message: expect.stringContaining('pg_read_all_data') as string,
    });
  });

  it('made for backups, with BYPASSRLS and pg_read_all_data, holds every table', async () => {
    const url = await userWith('BYPASSRLS', 'GRANT pg_read_all_data TO $role');
    const own = await backUp(url);
    const { tables } = await backUp(database.url);
    expect(own.tables).toEqual(tables);
  });

  it('and a restore by one who may only read is refused, and changes nothing', async () => {
    const url = await userWith('BYPASSRLS', 'GRANT pg_read_all_data TO $role');
    const { tables } = await backUp(database.url);
    await expect(restore(url)).rejects.toMatchObject({ code: 'FORBIDDEN' });
    expect((await backUp(database.url)).tables).toEqual(tables);
  });

  it('who owns the database and is no superuser works too, restore and migrations included', async () => {
    const url = await userWith(
      'BYPASSRLS CREATEROLE',
      `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO $role', current_database()); END $$;
       DROP SCHEMA context_system CASCADE; DROP TABLE syncline_migrations;
       ALTER SCHEMA public OWNER TO $role`,
    );
    await migrate(url);
    const { tables } = await backUp(url);
    expect((await restore(url)).tables).toEqual(tables);
    await admin(
      `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO %I', current_database(), current_user); END $$`,
    );
  });
});
