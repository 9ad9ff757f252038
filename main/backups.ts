/** Role `backup`: makes backups on schedule. The job worker does it too where a directory is set. */
import { systemClock } from '../domain/clock.ts';
import { backupName, deleteOldBackups, listBackups } from '../store/backup/backup-files.ts';
import { writeBackup } from '../store/backup/write-backup.ts';
import { startBackupSchedule } from '../workers/backup-schedule.ts';
import type { Lifecycle } from './lifecycle.ts';
import { measureBackups, measureJob, measureQueue } from './metrics/server-gauges.ts';
import { queueConnection, queuePrefix } from './redis.ts';
import type { Services } from './services.ts';
import { VERSION } from './version.ts';

/** Starts the schedule; without `BACKUP_DIRECTORY` nothing is started. */
export async function startBackups(
  { config, redisUrl, log, metrics }: Pick<Services, 'config' | 'redisUrl' | 'log' | 'metrics'>,
  lifecycle: Lifecycle,
): Promise<void> {
  const { directory } = config.backup;
  if (directory === null) {
    log.info({}, 'no backups are made by this process: BACKUP_DIRECTORY is not set');
    return;
  }
  const url = config.database.url!.reveal();
  const queues = queueConnection(redisUrl);
  lifecycle.add({ name: 'backup connection', stop: async () => queues.close() });
  const stopping = new AbortController();
  const schedule = await startBackupSchedule({
    connection: queues.connection,
    prefix: queuePrefix(config),
    backups: {
      ...config.backup,
      write: (file) =>
        measureJob(metrics, 'make-backup', () =>
          writeBackup({ url, file, product: VERSION, clock: systemClock, signal: stopping.signal }),
        ),
      files: { nameAt: backupName, list: listBackups, deleteOld: deleteOldBackups },
      now: () => systemClock.now(),
    },
    log,
  });
  if (schedule === null) return;
  measureQueue(metrics, schedule.queue);
  measureBackups(metrics, () => newestIn(directory));
  lifecycle.add({
    name: 'backups',
    stop: () => {
      // A backup under way is given up: a part of one is worth nothing.
      stopping.abort();
      return schedule.stop();
    },
  });
}

/** When the newest backup was made, ms since the epoch; null: there is none. */
async function newestIn(directory: string): Promise<number | null> {
  return (await listBackups(directory)).at(-1)?.at ?? null;
}
