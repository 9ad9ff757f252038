/** What the doctor says of scheduled backups, made by this process or by another one. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Queue } from 'bullmq';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../main/config.ts';
import { checkBackups } from '../../main/doctor/check-backups.ts';
import type { QueueDeps } from '../../main/doctor/check-queues.ts';
import type { Problem } from '../../main/doctor/problem.ts';
import { queueConnection, queuePrefix, type QueueConnection } from '../../main/redis.ts';
import { backupName, deleteOldBackups, listBackups } from '../../store/backup/backup-files.ts';
import { BACKUP_JOB, BACKUP_QUEUE, startBackupSchedule } from '../../workers/backup-schedule.ts';
import type { ScheduledBackups } from '../../workers/make-backup.ts';
import type { JobQueue } from '../../workers/start-job-queue.ts';
import { testRedis } from '../support/servers.ts';

const HOUR_MS = 3_600_000;
const INTERVAL_MS = 6 * HOUR_MS;
const log = { info: () => undefined, warn: () => undefined };

let folder: string;
let directory: string;
let ours: QueueDeps;
let queues: QueueConnection;
let started: JobQueue | null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-doctor-'));
  directory = join(folder, 'backups');
  ours = depsWith(directory);
  queues = queueConnection(ours.redisUrl);
  started = null;
});
afterEach(async () => {
  await started?.stop();
  queues.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A process of this installation; `backups`: its BACKUP_DIRECTORY. */
function depsWith(backups: string | null, redis = testRedis()): QueueDeps {
  const file = join(folder, 'context.yaml');
  writeFileSync(file, JSON.stringify({ database: { redis: { prefix: redis.prefix } } }));
  const env = { REDIS_URL: redis.url, ...(backups === null ? {} : { BACKUP_DIRECTORY: backups }) };
  return { redisUrl: redis.url, config: loadConfig(env, file) };
}

const elsewhere = (): QueueDeps =>
  depsWith(null, { url: ours.redisUrl, prefix: ours.config.redis.prefix });

/** Runs the schedule, until its first job has ended. */
async function run(more: Partial<ScheduledBackups> = {}): Promise<void> {
  const backups: ScheduledBackups = {
    directory,
    intervalMs: INTERVAL_MS,
    keepMs: 30 * 24 * HOUR_MS,
    write: async (file) => {
      mkdirSync(directory, { recursive: true });
      writeFileSync(file, 'a backup');
      return { file, bytes: 8, createdAt: '', rows: 1, tables: {}, sha256: '' };
    },
    files: { nameAt: backupName, list: listBackups, deleteOld: deleteOldBackups },
    now: () => Date.now(),
    ...more,
  };
  const { connection } = queues;
  started = await startBackupSchedule({
    connection,
    prefix: queuePrefix(ours.config),
    backups,
    log,
  });
  const ended = (): Promise<number> => started!.queue.getJobCountByTypes('completed', 'failed');
  await expect.poll(ended, { timeout: 20_000 }).toBeGreaterThan(0);
}

async function look(
  deps = ours,
  { laterMs = 0, isRedisUp = true } = {},
): Promise<readonly Problem[]> {
  const clock = { now: () => Date.now() + laterMs };
  return checkBackups({ ...deps, clock }, { isRedisUp });
}

const found = async (...args: Parameters<typeof look>): Promise<string[]> =>
  (await look(...args)).map(({ finding }) => finding.code);

describe('the doctor', () => {
  it('says nothing where no backups are scheduled, and nothing while they come', async () => {
    expect(await found(elsewhere())).toEqual([]);
    await run();
    expect([await found(), await found(elsewhere())]).toEqual([[], []]);
  });

  it('finds that the newest is older than two intervals, wherever it is made', async () => {
    await run();
    const justInTime = { laterMs: 2 * INTERVAL_MS - HOUR_MS };
    const tooLate = { laterMs: 2 * INTERVAL_MS + HOUR_MS };
    for (const deps of [ours, elsewhere()]) {
      expect(await found(deps, justInTime)).toEqual([]);
      expect(await found(deps, tooLate)).toEqual(['BACKUP_OLD']);
    }
    expect(await found(ours, { ...tooLate, isRedisUp: false })).toEqual(['BACKUP_OLD']);
    const [old] = await look(ours, tooLate);
    expect(old!.finding.explanation).toBe(
      'The newest backup is 13 h old, though one is due every 6 h.',
    );
  });

  it('finds that Redis lost the schedule, and puts it back', async () => {
    await run();
    const queue = new Queue(BACKUP_QUEUE, {
      connection: queues.connection,
      prefix: queuePrefix(ours.config),
    });
    try {
      await queue.removeJobScheduler(BACKUP_JOB);
      const [lost, ...others] = await look();
      expect([lost!.finding.code, lost!.finding.fixable, others]).toEqual([
        'BACKUP_UNSCHEDULED',
        true,
        [],
      ]);
      expect(await lost!.repair!.act()).toBe('Scheduled backups again.');
      expect(await found()).toEqual([]);
    } finally {
      await queue.close();
    }
  });

  it('finds that nobody makes them any more', async () => {
    await run();
    await started!.stop();
    started = null;
    await expect.poll(() => found(elsewhere())).toEqual(['NO_BACKUP_WORKER']);
  });

  it('finds that the last one failed, and why, until one is made', async () => {
    let isFull = true;
    const write: ScheduledBackups['write'] = async (file) => {
      if (isFull) throw new Error('the disk is full');
      return { file, bytes: 8, createdAt: '', rows: 1, tables: {}, sha256: '' };
    };
    await run({ write });
    const [failing, ...others] = await look(elsewhere());
    expect([failing!.finding.code, others]).toEqual(['BACKUP_FAILS', []]);
    expect(failing!.finding.explanation).toContain('the disk is full');
    isFull = false;
    await started!.queue.add(BACKUP_JOB, {});
    await expect.poll(() => found(elsewhere()), { timeout: 10_000 }).toEqual([]);
  });

  it('finds that nothing can be written to the folder, also while Redis is out', async () => {
    const isFile = join(folder, 'notes.txt');
    writeFileSync(isFile, '');
    for (const wrong of [isFile, join(isFile, 'backups')]) {
      const problems = await look(depsWith(wrong), { isRedisUp: false });
      expect(problems.map(({ finding }) => finding.code)).toEqual(['BACKUP_FOLDER']);
      expect(problems[0]!.finding.explanation).toContain(wrong);
    }
  });
});
