/** Makes a scheduled backup, and deletes those of ours that are too old once the new one is whole. */
import { join } from 'node:path';
import type { BackupResult } from '../store/contract.ts';

export interface ScheduledBackups {
  /** Where they go; null: none are made. */
  readonly directory: string | null;
  readonly intervalMs: number;
  readonly keepMs: number;
  /** Writes one backup into a file. */
  readonly write: (file: string) => Promise<BackupResult>;
  readonly files: {
    readonly nameAt: (nowMs: number) => string;
    readonly list: (directory: string) => Promise<readonly { readonly at: number }[]>;
    readonly deleteOld: (
      directory: string,
      policy: { readonly keepMs: number; readonly nowMs: number },
    ) => Promise<readonly string[]>;
  };
  readonly now: () => number;
}

/** What one run of the job did. */
export type BackupOutcome =
  | { readonly status: 'off' }
  | (BackupState & { readonly status: 'not due' })
  | (BackupState & {
      readonly status: 'made';
      readonly bytes: number;
      readonly rows: number;
      readonly deleted: number;
    });

/** What others can tell from a job's outcome, who do not see the folder. */
export interface BackupState {
  /** When the newest backup was made, ms since the epoch. */
  readonly newestAt: number;
  readonly intervalMs: number;
}

/**
 * Makes a backup if the newest is as old as the interval. So a job that runs too often, or in several
 * processes one after the other, makes no more of them than it should.
 */
export async function makeBackup(backups: ScheduledBackups): Promise<BackupOutcome> {
  const { directory, intervalMs, keepMs, files, now } = backups;
  if (directory === null) return { status: 'off' };
  const newest = (await files.list(directory)).at(-1);
  // Schedulers are a little early at times; a backup must not be put off by a whole interval for it.
  if (newest !== undefined && now() < newest.at + intervalMs - EARLY_MS)
    return { status: 'not due', newestAt: newest.at, intervalMs };
  const newestAt = now();
  const { bytes, rows } = await backups.write(join(directory, files.nameAt(newestAt)));
  const deleted = await files.deleteOld(directory, { keepMs, nowMs: now() });
  return { status: 'made', newestAt, intervalMs, bytes, rows, deleted: deleted.length };
}

const EARLY_MS = 5_000;
