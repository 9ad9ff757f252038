/** Brings a database's schema up to date. Safe to run from several processes at once. */
import 'reflect-metadata';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { AppError, messageOf } from '../domain/errors.ts';
import { ENTITIES, XID8 } from '../entities/contract.ts';
import { CreateContextSystem1763720000000 } from '../migrations/1763720000000-create-context-system.ts';
import { RememberAnswers1763730000001 } from '../migrations/1763730000001-remember-answers.ts';
import { ConflictQueue1763730000002 } from '../migrations/1763730000002-conflict-queue.ts';
import { PaceLinks1763730000003 } from '../migrations/1763730000003-pace-links.ts';
import { PlanAndUndo1763730000004 } from '../migrations/1763730000004-plan-and-undo.ts';
import { ProveEqual1763730000005 } from '../migrations/1763730000005-prove-equal.ts';
import { AddMaintenanceFunctions1763740000001 } from '../migrations/1763740000001-add-maintenance-functions.ts';
import { EncryptBodies1763740000002 } from '../migrations/1763740000002-encrypt-bodies.ts';
import { SearchContexts1763740000003 } from '../migrations/1763740000003-search-contexts.ts';
import { KeysAndTenants1763740000004 } from '../migrations/1763740000004-keys-and-tenants.ts';
import { PositionFeed1763740000005 } from '../migrations/1763740000005-position-feed.ts';
import { LightenSync1763740000006 } from '../migrations/1763740000006-lighten-sync.ts';
import { FitLongNames1763740000007 } from '../migrations/1763740000007-fit-long-names.ts';
import { SweepChanges1763750000001 } from '../migrations/1763750000001-sweep-changes.ts';
import { DeferSearchIndex1763750000002 } from '../migrations/1763750000002-defer-search-index.ts';
import { DropIndexOfTags1763750000003 } from '../migrations/1763750000003-drop-index-of-tags.ts';
import { RememberCompress1763750000005 } from '../migrations/1763750000005-remember-compress.ts';
import { DoubtCursor1763750000006 } from '../migrations/1763750000006-doubt-cursor.ts';
import { SteadyLinks1763760000001 } from '../migrations/1763760000001-steady-links.ts';

/** Any constant number: the advisory lock under which one process migrates. */
export const MIGRATION_LOCK = 7_316_229;

/** All migrations, oldest first. */
export const MIGRATIONS = [
  CreateContextSystem1763720000000,
  RememberAnswers1763730000001,
  ConflictQueue1763730000002,
  PaceLinks1763730000003,
  PlanAndUndo1763730000004,
  ProveEqual1763730000005,
  AddMaintenanceFunctions1763740000001,
  EncryptBodies1763740000002,
  SearchContexts1763740000003,
  KeysAndTenants1763740000004,
  PositionFeed1763740000005,
  LightenSync1763740000006,
  FitLongNames1763740000007,
  SweepChanges1763750000001,
  DeferSearchIndex1763750000002,
  DropIndexOfTags1763750000003,
  RememberCompress1763750000005,
  DoubtCursor1763750000006,
  SteadyLinks1763760000001,
];

/**
 * Runs what has not run yet, each migration in its own transaction. Answers their names.
 * @throws AppError UNAVAILABLE when Postgres does not answer
 */
export async function migrate(databaseUrl: string): Promise<string[]> {
  const turn = new pg.Client({ connectionString: databaseUrl });
  const source = createDataSource(databaseUrl);
  try {
    await turn.connect();
    // Two starting processes must not both create the schema: the second waits for the first.
    await turn.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await source.initialize();
    const done = await source.runMigrations({ transaction: 'each' });
    await turn.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]);
    return done.map((migration) => migration.name);
  } catch (error) {
    throw asUnavailable(error);
  } finally {
    if (source.isInitialized) await source.destroy();
    await turn.end().catch(() => undefined);
  }
}

/** Names of the migrations a database has yet to take, oldest first. @throws AppError UNAVAILABLE */
export async function pendingMigrations(databaseUrl: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  try {
    await client.connect();
    const table = await client.query<{ name: string | null }>(
      `SELECT to_regclass('syncline_migrations')::text AS name`,
    );
    const rows = table.rows[0]?.name
      ? (await client.query<{ name: string }>('SELECT name FROM syncline_migrations')).rows
      : [];
    const done = new Set(rows.map((row) => row.name));
    return MIGRATIONS.map(({ name }) => name).filter((name) => !done.has(name));
  } catch (error) {
    throw asUnavailable(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** A TypeORM data source over our schema; for migrations and administration. */
export function createDataSource(databaseUrl: string): DataSource {
  const source = new DataSource({
    type: 'postgres',
    url: databaseUrl,
    entities: [...ENTITIES],
    migrations: MIGRATIONS,
    migrationsTableName: 'syncline_migrations',
    synchronize: false,
    poolSize: 1,
  });
  // TypeORM refuses column types it does not know, before it asks Postgres.
  source.driver.supportedDataTypes.push(XID8);
  return source;
}

function asUnavailable(error: unknown): unknown {
  const text = messageOf(error);
  return /ECONNREFUSED|ENOTFOUND|ETIMEDOUT|password authentication|does not exist/.test(text)
    ? new AppError('UNAVAILABLE', `Postgres cannot be used: ${text}`, { cause: error })
    : error;
}
