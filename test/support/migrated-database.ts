/**
 * A database with the whole schema. The first test file that asks for one migrates a template, under
 * a lock; everybody's is a copy of it, which takes a tenth of the time and loads no TypeORM.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { hasRealPostgres, postgresServer, testDatabase, type TestDatabase } from './servers.ts';

const MIGRATIONS = new URL('../../migrations/', import.meta.url);
/** Any constant number: the advisory lock under which one process makes the template. */
const TEMPLATE_LOCK = 7_316_230;

/** A migrated database of the test file's own; call `drop` in `afterAll`. */
export async function migratedDatabase(): Promise<TestDatabase> {
  if (hasRealPostgres()) return testDatabase(await template());
  const database = await testDatabase();
  await migrated(database.url);
  return database;
}

/** Name of the template for these migrations; a server that outlives a change of them has several. */
async function template(): Promise<string> {
  const server = postgresServer();
  const name = `syncline_test_${digestOfMigrations()}`;
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  try {
    if (await exists(client, name)) return name;
    await client.query('SELECT pg_advisory_lock($1)', [TEMPLATE_LOCK]);
    if (await exists(client, name)) return name;
    // One that was not finished is not used: it has its name only when all is there.
    const draft = `${name}_draft`;
    await client.query(`DROP DATABASE IF EXISTS ${draft} WITH (FORCE)`);
    await client.query(`CREATE DATABASE ${draft} TEMPLATE template0`);
    const url = new URL(server);
    url.pathname = `/${draft}`;
    await migrated(url.href);
    // Nobody can be copied while somebody is connected; autovacuum stays away, too.
    await client.query(`ALTER DATABASE ${draft} ALLOW_CONNECTIONS false`);
    await client.query(`ALTER DATABASE ${draft} RENAME TO ${name}`);
    return name;
  } finally {
    await client.end();
  }
}

async function exists(client: pg.Client, name: string): Promise<boolean> {
  const { rows } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
  return rows.length > 0;
}

/** Migrates it; imported late, because most test files find the template there. */
async function migrated(url: string): Promise<void> {
  const { migrate } = await import('../../main/migrate.ts');
  await migrate(url);
}

function digestOfMigrations(): string {
  const hash = createHash('sha256');
  const files = readdirSync(MIGRATIONS)
    .sort()
    .map((name) => fileURLToPath(new URL(name, MIGRATIONS)));
  const list = fileURLToPath(new URL('../../main/migrate.ts', import.meta.url));
  for (const file of [...files, list]) hash.update(readFileSync(file));
  return hash.digest('hex').slice(0, 16);
}
