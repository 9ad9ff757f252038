/**
 * Puts a backup back. The whole file is proved before the database is touched; then one transaction
 * makes the schema the backup was taken of, loads it, proves that every table holds what the file
 * says, brings the schema up to date, and begins the change feed and all links anew. Whatever goes
 * wrong, kill -9 included, the store is what it was before.
 */
import type { Clock } from '../../domain/clock.ts';
import { AppError } from '../../domain/errors.ts';
import type { Transaction } from '../database.ts';
import { connectAsAdmin } from './admin-connection.ts';
import type { BackupManifest, BackupProgress } from './backup-format.ts';
import {
  listTables,
  MIGRATIONS_TABLE,
  qualified,
  quoted,
  SCHEMA,
  type BackupTable,
} from './backup-tables.ts';
import { mendFeed } from './mend-feed.ts';
import { mendLinks } from './mend-links.ts';
import { readBackup } from './read-backup.ts';
import { createRowSummer, type TableSums } from './row-sum.ts';
import { tableRows } from './table-rows.ts';
import { totalOf } from './write-backup.ts';

/** One step of the schema, as `main/` knows them. */
export interface SchemaStep {
  readonly name: string;
  /** When it was written, ms; TypeORM keeps it beside the name. */
  readonly timestamp: number;
  up(tx: Transaction): Promise<void>;
}

export interface RestoreOptions {
  readonly url: string;
  readonly file: string;
  /** Lose what the store holds now. */
  readonly replace: boolean;
  /** All steps this version knows, oldest first. */
  readonly steps: readonly SchemaStep[];
  /** The advisory lock under which the schema is changed. */
  readonly lock: number;
  readonly clock: Clock;
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined;
}

export interface RestoreResult {
  readonly file: string;
  /** When the backup was made. */
  readonly createdAt: string;
  readonly product: string;
  readonly rows: number;
  readonly tables: Readonly<Record<string, number>>;
  /** Steps the schema took after the backup's own. */
  readonly migrated: readonly string[];
  /** Fingerprints of the master keys without which its encrypted contexts do not open. */
  readonly masterKeys: readonly string[];
}

/**
 * Restores into an empty store, or instead of what is there.
 * @throws AppError BACKUP_INVALID, BACKUP_DAMAGED, BACKUP_TOO_NEW, STORE_NOT_EMPTY, UNAVAILABLE, FORBIDDEN
 */
export async function restoreBackup(options: RestoreOptions): Promise<RestoreResult> {
  const manifest = await verifyBackup(options);
  const known = new Set(options.steps.map((step) => step.name));
  const unknown = manifest.migrations.filter((name) => !known.has(name));
  if (unknown.length > 0) {
    const steps = unknown.join(', ');
    throw new AppError('BACKUP_TOO_NEW', `this version does not know its schema: ${steps}`);
  }
  const connection = await connectAsAdmin(options.url);
  try {
    await connection.begin();
    const result = await replaceStore(connection, manifest, options);
    await connection.query('COMMIT');
    // Tables that were just filled look empty to the planner.
    await connection.query('ANALYZE').catch(() => undefined);
    return result;
  } finally {
    // Without COMMIT this rolls everything back.
    await connection.close();
  }
}

/** Reads a backup whole, and answers what it is. @throws AppError BACKUP_INVALID, BACKUP_DAMAGED, … */
export async function verifyBackup({
  file,
  onProgress,
}: Pick<RestoreOptions, 'file' | 'onProgress'>): Promise<BackupManifest> {
  let manifest: BackupManifest | null = null;
  let done = 0;
  for await (const part of readBackup(file)) {
    if (part.kind === 'manifest') manifest = part.manifest;
    if (part.kind !== 'rows') continue;
    done += part.lines.length;
    onProgress?.({ phase: 'verify', table: part.table, done, total: totalOf(manifest!) });
  }
  return manifest!;
}

async function replaceStore(
  tx: Transaction,
  manifest: BackupManifest,
  options: RestoreOptions,
): Promise<RestoreResult> {
  const { steps, clock } = options;
  await tx.query('SELECT pg_advisory_xact_lock($1)', [options.lock]);
  if (!options.replace) await requireEmpty(tx);
  const had = new Set(manifest.migrations);
  const later = steps.filter((step) => !had.has(step.name));
  await tx.query(`DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`);
  await tx.query(CREATE_MIGRATIONS);
  await tx.query(`DELETE FROM ${MIGRATIONS_TABLE}`);
  await takeSteps(
    tx,
    steps.filter((step) => had.has(step.name)),
  );
  const tables = await listTables(tx);
  const sums = await load(tx, { manifest, tables, options });
  await prove(tx, { manifest, tables, sums, options });
  await setIdentities(tx, tables);
  await takeSteps(tx, later);
  const nowMs = clock.now();
  await mendFeed(tx, nowMs);
  await mendLinks(tx, nowMs);
  return {
    file: options.file,
    createdAt: manifest.createdAt,
    product: manifest.product,
    rows: totalOf(manifest),
    tables: Object.fromEntries(manifest.tables.map(({ name, rows }) => [name, rows])),
    migrated: later.map((step) => step.name),
    masterKeys: (await tx.query<{ id: string }>(SELECT_MASTERS)).map(({ id }) => id),
  };
}

const SELECT_MASTERS = `
SELECT DISTINCT master_id AS id FROM context_system.encryption_keys ORDER BY 1`;

const CREATE_MIGRATIONS = `
CREATE TABLE IF NOT EXISTS ${MIGRATIONS_TABLE} (
  id serial PRIMARY KEY, "timestamp" bigint NOT NULL, name character varying NOT NULL)`;

async function takeSteps(tx: Transaction, steps: readonly SchemaStep[]): Promise<void> {
  for (const step of steps) {
    // A step may act as one of our roles, which see only what they may.
    await tx.query('SET LOCAL row_security = on');
    await step.up(tx);
    await tx.query('RESET ROLE; SET LOCAL search_path = DEFAULT; SET LOCAL row_security = off');
    await tx.query(`INSERT INTO ${MIGRATIONS_TABLE} ("timestamp", name) VALUES ($1, $2)`, [
      step.timestamp,
      step.name,
    ]);
  }
}

/** A store that was only just made has its default tenant, and perhaps the key of the first start. */
const MADE_BY_A_START: ReadonlySet<string> = new Set(['tenants', 'api_keys', 'audit', 'outbox']);

async function requireEmpty(tx: Transaction): Promise<void> {
  const [schema] = await tx.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [SCHEMA]);
  if (!schema) return;
  for (const { name } of await listTables(tx)) {
    const least = name === 'tenants' ? 2 : 1;
    if (name !== 'tenants' && MADE_BY_A_START.has(name)) continue;
    const rows = await tx.query(`SELECT 1 FROM ${qualified(name)} LIMIT ${least}`);
    if (rows.length >= least)
      throw new AppError('STORE_NOT_EMPTY', `the store holds data (table ${name}); say --replace`);
  }
}

interface Loading {
  readonly manifest: BackupManifest;
  readonly tables: readonly BackupTable[];
  readonly options: RestoreOptions;
}

/** Fills the tables, in the order of the file; answers what each should hold. */
async function load(
  tx: Transaction,
  { manifest, tables, options }: Loading,
): Promise<ReadonlyMap<string, TableSums>> {
  // What migrations put into new tables is in the backup too, as it was then.
  await tx.query(`TRUNCATE ${tables.map(({ name }) => qualified(name)).join(', ')}`);
  const inserts = new Map(manifest.tables.map((table) => [table.name, insertOf(table, tables)]));
  const sums = new Map<string, TableSums>();
  const total = totalOf(manifest);
  let done = 0;
  // Read anew, and proved anew: the file may have changed since.
  for await (const part of readBackup(options.file)) {
    if (part.kind === 'manifest') requireSame(part.manifest, manifest);
    if (part.kind === 'end') sums.set(part.table, part.sums);
    if (part.kind !== 'rows') continue;
    await tx.query(inserts.get(part.table)!, [`[${part.lines.join(',')}]`]);
    done += part.lines.length;
    options.onProgress?.({ phase: 'load', table: part.table, done, total });
  }
  return sums;
}

function requireSame(now: BackupManifest, before: BackupManifest): void {
  if (JSON.stringify(now) === JSON.stringify(before)) return;
  throw new AppError('BACKUP_DAMAGED', 'the backup changed while it was being restored');
}

function insertOf(given: BackupManifest['tables'][number], tables: readonly BackupTable[]): string {
  const table = tables.find(({ name }) => name === given.name);
  const types = given.columns.map((column) => {
    const type = table?.columns.find(({ name }) => name === column)?.type;
    if (type) return type;
    throw new AppError('BACKUP_INVALID', `its schema has no column ${given.name}.${column}`);
  });
  const values = types.map((type, nth) => `(r.v->>${nth})::${type}`).join(', ');
  return `INSERT INTO ${qualified(given.name)} (${given.columns.map(quoted).join(', ')})
    OVERRIDING SYSTEM VALUE SELECT ${values} FROM json_array_elements($1::json) AS r (v)`;
}

/** Reads everything back: what the database took is what the file holds. */
async function prove(
  tx: Transaction,
  { manifest, tables, options, sums }: Loading & { readonly sums: ReadonlyMap<string, TableSums> },
): Promise<void> {
  const total = totalOf(manifest);
  let done = 0;
  for (const table of tables) {
    const given = manifest.tables.find(({ name }) => name === table.name);
    const summer = createRowSummer();
    // The columns in the order of the file, which is that of its sums.
    const byName = new Map(table.columns.map((column) => [column.name, column]));
    const columns = given?.columns.map((name) => byName.get(name)!) ?? table.columns;
    for await (const rows of tableRows(tx, { ...table, columns })) {
      for (const row of rows) summer.add(row);
      done += rows.length;
      options.onProgress?.({ phase: 'prove', table: table.name, done, total });
    }
    const { rows, sum } = summer.end();
    const should = sums.get(table.name);
    if (rows !== (should?.rows ?? 0) || (should && sum !== should.sum))
      throw new AppError('INTERNAL', `table ${table.name} does not hold what the backup says`);
  }
}

/** The next number of each column that counts by itself comes after the largest there is. */
async function setIdentities(tx: Transaction, tables: readonly BackupTable[]): Promise<void> {
  for (const { name, columns } of tables) {
    for (const column of columns.filter(({ isIdentity }) => isIdentity)) {
      await tx.query(
        `SELECT setval(pg_get_serial_sequence($1, $2),
           coalesce((SELECT max(${quoted(column.name)}) FROM ${qualified(name)}), 0) + 1, false)`,
        [qualified(name), column.name],
      );
    }
  }
}
