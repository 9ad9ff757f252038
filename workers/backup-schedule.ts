/**
 * The scheduler of backups: a queue of its own, because a backup of a large store takes long and the
 * sweeps must not wait for it. The files say when the next one is due, whatever became of Redis.
 */
import type { ConnectionOptions } from 'bullmq';
import { makeBackup, type ScheduledBackups } from './make-backup.ts';
import { startJobQueue, type JobQueue } from './start-job-queue.ts';

export const BACKUP_QUEUE = 'syncline-backup';
export const BACKUP_JOB = 'make-backup';
/** How often somebody looks whether a backup is due, ms. */
export const BACKUP_LOOK_EVERY_MS = 60_000;

export interface BackupScheduleDeps {
  readonly connection: ConnectionOptions;
  /** Redis key prefix; apart per installation and per test. */
  readonly prefix: string;
  readonly backups: ScheduledBackups;
  /** How often somebody looks whether the schedule is still in Redis, ms. */
  readonly lookEveryMs?: number;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

/**
 * Starts the worker and its scheduler. Null without a directory: then another process may have one,
 * so the scheduler they would share is neither set nor taken away.
 */
export async function startBackupSchedule(deps: BackupScheduleDeps): Promise<JobQueue | null> {
  const { connection, prefix, log, lookEveryMs } = deps;
  if (deps.backups.directory === null) return null;
  return startJobQueue({
    name: BACKUP_QUEUE,
    connection,
    prefix,
    everyMs: { [BACKUP_JOB]: BACKUP_LOOK_EVERY_MS },
    keep: { completed: 20, failed: 50 },
    handle: () => run(deps),
    lookEveryMs,
    log,
  });
}

async function run({ backups, log }: BackupScheduleDeps): Promise<unknown> {
  const outcome = await makeBackup(backups);
  if (outcome.status === 'made') log.info({ ...outcome }, 'a backup was made');
  return outcome;
}
