/**
 * The lines of a backup: gzip over UTF-8 text, one JSON value per line.
 *
 *     manifest                              what it is, of when, its migrations, tables, counts
 *     {"table": name}                       then each row: an array of texts and nulls
 *     {"end": name, rows, sha256, sum}      after the rows of each table
 *     {"end": "backup", sha256}             over every byte before
 */
import { z } from 'zod';

export const BACKUP_FORMAT = 'syncline-backup';
export const BACKUP_FORMAT_VERSION = 1;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const rows = z.int().min(0);

export const manifestSchema = z.object({
  format: z.literal(BACKUP_FORMAT),
  formatVersion: z.int(),
  /** Version of Syncline that made it. */
  product: z.string(),
  createdAt: z.string(),
  /** Names of the migrations its schema had had, oldest first. */
  migrations: z.array(z.string()).min(1),
  tables: z.array(z.object({ name: z.string(), columns: z.array(z.string()).min(1), rows })).min(1),
});

export const tableBeginSchema = z.strictObject({ table: z.string() });
export const tableEndSchema = z.strictObject({ end: z.string(), rows, sha256, sum: sha256 });
export const backupEndSchema = z.strictObject({ end: z.literal('backup'), sha256 });

export type BackupManifest = z.output<typeof manifestSchema>;

/** How far a backup or restore has come. */
export interface BackupProgress {
  readonly phase: 'write' | 'verify' | 'load' | 'prove';
  readonly table: string;
  /** Rows of all tables so far in this phase, and altogether. */
  readonly done: number;
  readonly total: number;
}

/** What a finished backup is. */
export interface BackupResult {
  readonly file: string;
  /** Of the file. */
  readonly bytes: number;
  readonly createdAt: string;
  readonly rows: number;
  readonly tables: Readonly<Record<string, number>>;
  /** Over the uncompressed lines, hex. */
  readonly sha256: string;
}
