/**
 * Makes a backup: one moment of every table and tenant, streamed into a compressed file. The file
 * appears under its name when it is whole, or never.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Clock } from '../../domain/clock.ts';
import type { Transaction } from '../database.ts';
import { connectAsAdmin } from './admin-connection.ts';
import {
  BACKUP_FORMAT,
  BACKUP_FORMAT_VERSION,
  type BackupManifest,
  type BackupProgress,
  type BackupResult,
} from './backup-format.ts';
import { listMigrations, listTables, qualified, type BackupTable } from './backup-tables.ts';
import { createRowSummer } from './row-sum.ts';
import { tableRows } from './table-rows.ts';

export interface WriteBackupOptions {
  readonly url: string;
  readonly file: string;
  /** Version of the product. */
  readonly product: string;
  readonly clock: Clock;
  /** Gives up and leaves nothing behind. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined;
  /** Gives the finished draft the file's name. Left out: a file of that name is replaced. */
  readonly place?: ((draft: string, file: string) => Promise<void>) | undefined;
}

/**
 * Writes a backup file, and makes its folder where there is none.
 * @throws AppError UNAVAILABLE, FORBIDDEN; errors of the file system, and of `place`
 */
export async function writeBackup(options: WriteBackupOptions): Promise<BackupResult> {
  const { signal, place = rename } = options;
  const file = resolve(options.file);
  const draft = `${file}.${randomUUID().slice(0, 8)}.part`;
  signal?.throwIfAborted();
  await mkdir(dirname(file), { recursive: true });
  const connection = await connectAsAdmin(options.url);
  try {
    await connection.begin('ISOLATION LEVEL REPEATABLE READ, READ ONLY');
    const tables = await listTables(connection);
    const manifest = await manifestOf(connection, tables, options);
    const whole = createHash('sha256');
    const text = Readable.from(backupText({ connection, tables, manifest, whole, options }));
    const target = createWriteStream(draft, { flags: 'wx', mode: 0o600 });
    await pipeline(text, createGzip({ level: 6 }), target, { ...(signal && { signal }) });
    await flush(draft);
    signal?.throwIfAborted();
    await place(draft, file);
    await flush(dirname(file));
    return resultOf(manifest, {
      file,
      sha256: whole.digest('hex'),
      bytes: (await stat(file)).size,
    });
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  } finally {
    await connection.close();
  }
}

async function manifestOf(
  tx: Transaction,
  tables: readonly BackupTable[],
  { product, clock }: WriteBackupOptions,
): Promise<BackupManifest> {
  const counted: BackupManifest['tables'] = [];
  for (const { name, columns } of tables) {
    const [count] = await tx.query<{ rows: number }>(
      `SELECT count(*)::float8 AS rows FROM ${qualified(name)}`,
    );
    counted.push({ name, columns: columns.map((column) => column.name), rows: count!.rows });
  }
  return {
    format: BACKUP_FORMAT,
    formatVersion: BACKUP_FORMAT_VERSION,
    product,
    createdAt: new Date(clock.now()).toISOString(),
    migrations: [...(await listMigrations(tx))],
    tables: counted,
  };
}

interface Writing {
  readonly connection: Transaction;
  readonly tables: readonly BackupTable[];
  readonly manifest: BackupManifest;
  readonly whole: ReturnType<typeof createHash>;
  readonly options: WriteBackupOptions;
}

async function* backupText(writing: Writing): AsyncGenerator<string> {
  const { connection, tables, manifest, whole, options } = writing;
  const lines = (...values: readonly string[]): string => {
    const text = values.map((value) => `${value}\n`).join('');
    whole.update(text);
    return text;
  };
  const total = totalOf(manifest);
  let done = 0;
  yield lines(JSON.stringify(manifest));
  for (const table of tables) {
    const summer = createRowSummer();
    yield lines(JSON.stringify({ table: table.name }));
    for await (const rows of tableRows(connection, table)) {
      for (const row of rows) summer.add(row);
      done += rows.length;
      yield lines(...rows);
      options.onProgress?.({ phase: 'write', table: table.name, done, total });
    }
    yield lines(JSON.stringify({ end: table.name, ...summer.end() }));
  }
  yield `${JSON.stringify({ end: 'backup', sha256: whole.copy().digest('hex') })}\n`;
}

/** Rows of all tables. */
export function totalOf({ tables }: BackupManifest): number {
  return tables.reduce((sum, { rows }) => sum + rows, 0);
}

function resultOf(
  manifest: BackupManifest,
  file: Pick<BackupResult, 'file' | 'bytes' | 'sha256'>,
): BackupResult {
  return {
    ...file,
    createdAt: manifest.createdAt,
    rows: totalOf(manifest),
    tables: Object.fromEntries(manifest.tables.map(({ name, rows }) => [name, rows])),
  };
}

/** What was written must outlive a loss of power before the name says it is there. */
async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
