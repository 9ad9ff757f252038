/**
 * The scheduler of backups: a queue of its own, because a backup of a large store takes long and the
 * sweeps must not wait for it. A lost Redis loses nothing: the files say when the next one is due.
 */
import { Queue, Worker, type ConnectionOptions } from 'bullmq';
import { deadline, keepScheduled } from './keep-scheduled.ts';
import { makeBackup, type ScheduledBackups } from './make-backup.ts';

const BACKUP_QUEUE = 'syncline-backup';
const JOB = 'make-backup';
/** How often somebody looks whether a backup is due, ms. */
const LOOK_EVERY_MS = 60_000;
const CLOSE_DEADLINE_MS = 5_000;

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

export interface BackupSchedule {
  readonly queue: Queue;
  stop(): Promise<void>;
}

/**
 * Starts the worker and its scheduler. Null without a directory: then another process may have one,
 * so the scheduler they would share is neither set nor taken away.
 */
export async function startBackupSchedule(
  deps: BackupScheduleDeps,
): Promise<BackupSchedule | null> {
  const { connection, prefix, backups, log, lookEveryMs = LOOK_EVERY_MS } = deps;
  if (backups.directory === null) return null;
  const queue = new Queue(BACKUP_QUEUE, {
    connection,
    prefix,
    defaultJobOptions: { removeOnComplete: { count: 20 }, removeOnFail: { count: 50 } },
  });
  queue.on('error', (error) => log.warn({ error: error.message }, 'backup queue'));
  const worker = new Worker(BACKUP_QUEUE, () => run(deps), { connection, prefix });
  worker.on('error', (error) => log.warn({ error: error.message }, 'backup worker'));
  worker.on('failed', (_job, error) => log.warn({ error: error.message }, 'a backup failed'));
  const kept = keepScheduled(queue, { everyMs: { [JOB]: LOOK_EVERY_MS }, log, lookEveryMs });
  await kept.started;
  return {
    queue,
    async stop() {
      kept.stop();
      await Promise.race([worker.close(), deadline(CLOSE_DEADLINE_MS)]);
      await Promise.race([queue.close(), deadline(CLOSE_DEADLINE_MS)]);
    },
  };
}

async function run({ backups, log }: BackupScheduleDeps): Promise<unknown> {
  const outcome = await makeBackup(backups);
  if (outcome.status === 'made') log.info({ ...outcome }, 'a backup was made');
  return outcome;
}
