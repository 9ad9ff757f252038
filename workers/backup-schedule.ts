/**
 * The scheduler of backups: a queue of its own, because a backup of a large store takes long and the
 * sweeps must not wait for it. A lost Redis loses nothing: the files say when the next one is due.
 */
import { Queue, Worker, type ConnectionOptions } from 'bullmq';
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
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

/** Starts the worker and its scheduler; without a directory it only takes an old scheduler away. */
export async function startBackupSchedule(
  deps: BackupScheduleDeps,
): Promise<{ readonly queue: Queue; stop(): Promise<void> }> {
  const { connection, prefix, backups, log } = deps;
  const queue = new Queue(BACKUP_QUEUE, {
    connection,
    prefix,
    defaultJobOptions: { removeOnComplete: { count: 20 }, removeOnFail: { count: 50 } },
  });
  queue.on('error', (error) => log.warn({ error: error.message }, 'backup queue'));
  if (backups.directory === null) {
    await queue.removeJobScheduler(JOB);
    return { queue, stop: () => queue.close() };
  }
  const worker = new Worker(BACKUP_QUEUE, () => run(deps), { connection, prefix });
  worker.on('error', (error) => log.warn({ error: error.message }, 'backup worker'));
  worker.on('failed', (_job, error) => log.warn({ error: error.message }, 'a backup failed'));
  await queue.upsertJobScheduler(JOB, { every: LOOK_EVERY_MS }, { name: JOB, data: {} });
  return {
    queue,
    async stop() {
      await Promise.race([worker.close(), deadline(CLOSE_DEADLINE_MS)]);
      await queue.close();
    },
  };
}

async function run({ backups, log }: BackupScheduleDeps): Promise<unknown> {
  const outcome = await makeBackup(backups);
  if (outcome.status === 'made') log.info({ ...outcome }, 'a backup was made');
  return outcome;
}

function deadline(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
