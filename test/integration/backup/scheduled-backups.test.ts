import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Queue } from 'bullmq';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../domain/clock.ts';
import { migrate } from '../../../main/migrate.ts';
import { queueConnection } from '../../../main/redis.ts';
import { backupName, deleteOldBackups, listBackups } from '../../../store/backup/backup-files.ts';
import { verifyBackup } from '../../../store/backup/restore-backup.ts';
import { writeBackup } from '../../../store/backup/write-backup.ts';
import { startBackupSchedule } from '../../../workers/backup-schedule.ts';
import { keepScheduled } from '../../../workers/keep-scheduled.ts';
import { makeBackup, type ScheduledBackups } from '../../../workers/make-backup.ts';
import { testDatabase, testRedis } from '../../support/servers.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

let directory: string;
let nowMs: number;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'syncline-scheduled-'));
  nowMs = Date.parse('2026-11-21T12:00:00.000Z');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function schedule(more: Partial<ScheduledBackups> = {}): ScheduledBackups {
  return {
    directory,
    intervalMs: 6 * HOUR_MS,
    keepMs: 30 * DAY_MS,
    write: async (file) => {
      writeFileSync(file, 'a backup');
      return { file, bytes: 8, createdAt: '', rows: 1, tables: {}, sha256: '' };
    },
    files: { nameAt: backupName, list: listBackups, deleteOld: deleteOldBackups },
    now: () => nowMs,
    ...more,
  };
}

describe('a scheduled backup', () => {
  it('is made when the newest is as old as the interval, and not before', async () => {
    expect(await makeBackup(schedule())).toMatchObject({ status: 'made' });
    const newestAt = nowMs;
    nowMs += HOUR_MS;
    expect(await makeBackup(schedule())).toEqual({
      status: 'not due',
      newestAt,
      intervalMs: 6 * HOUR_MS,
    });
    nowMs += 5 * HOUR_MS;
    expect(await makeBackup(schedule())).toMatchObject({ status: 'made' });
    expect(readdirSync(directory)).toEqual([
      'syncline-2026-11-21T12-00-00-000Z.backup',
      'syncline-2026-11-21T18-00-00-000Z.backup',
    ]);
  });

  it('is not made without a directory', async () => {
    expect(await makeBackup(schedule({ directory: null }))).toEqual({ status: 'off' });
  });

  it('deletes old ones of ours only, and only once the new one is whole', async () => {
    const old = backupName(nowMs - 31 * DAY_MS);
    const kept = backupName(nowMs - 29 * DAY_MS);
    const others = ['notes.backup', 'syncline-mine.backup', `${old}.txt`];
    for (const name of [old, kept, ...others]) writeFileSync(join(directory, name), '');
    const failing = schedule({ write: () => Promise.reject(new Error('the disk is full')) });
    await expect(makeBackup(failing)).rejects.toThrow('the disk is full');
    expect(readdirSync(directory)).toContain(old);
    expect(await makeBackup(schedule())).toMatchObject({ status: 'made', deleted: 1 });
    expect(readdirSync(directory).sort()).toEqual([...others, kept, backupName(nowMs)].sort());
  });

  it('never deletes the newest, however old, and clears drafts of processes that were killed', async () => {
    const old = backupName(nowMs - 90 * DAY_MS);
    const [dead, fresh] = [`${old}.0123abcd.part`, `${backupName(nowMs)}.4567cdef.part`];
    for (const name of [old, dead, fresh]) writeFileSync(join(directory, name), '');
    utimesSync(join(directory, dead), 0, 0);
    nowMs = Date.now();
    expect(await deleteOldBackups(directory, { keepMs: DAY_MS, nowMs })).toEqual([]);
    expect(readdirSync(directory).sort()).toEqual([old, fresh].sort());
  });
});

describe('the schedule on Redis', () => {
  it('makes a real backup that can be proved', async () => {
    const database = await testDatabase();
    const redis = testRedis();
    const queues = queueConnection(redis.url);
    try {
      await migrate(database.url);
      const write: ScheduledBackups['write'] = (file) =>
        writeBackup({ url: database.url, file, product: '0', clock: systemClock });
      const started = await startBackupSchedule({
        connection: queues.connection,
        prefix: redis.prefix,
        backups: schedule({ write, now: () => Date.now() }),
        log: { info: () => undefined, warn: () => undefined },
      });
      await expect.poll(() => listBackups(directory), { timeout: 20_000 }).toHaveLength(1);
      await started!.stop();
      const [made] = await listBackups(directory);
      const manifest = await verifyBackup({ file: join(directory, made!.name) });
      expect(manifest.tables.length).toBeGreaterThan(10);
    } finally {
      queues.close();
      await database.drop();
    }
  });

  describe('shared by several processes', () => {
    const log = { info: () => undefined, warn: () => undefined };

    it('stays when one without a directory starts and stops, and comes back when Redis forgets it', async () => {
      const { url, prefix } = testRedis();
      const queues = queueConnection(url);
      const deps = { connection: queues.connection, prefix, log, lookEveryMs: 50 };
      const queue = new Queue('syncline-backup', { connection: queues.connection, prefix });
      const names = async () => (await queue.getJobSchedulers()).map(({ key }) => key);
      const one = await startBackupSchedule({ ...deps, backups: schedule() });
      try {
        expect(await names()).toEqual(['make-backup']);
        const other = await startBackupSchedule({
          ...deps,
          backups: schedule({ directory: null }),
        });
        expect(other).toBeNull();
        expect(await names()).toEqual(['make-backup']);

        await queue.removeJobScheduler('make-backup');
        await expect.poll(names, { timeout: 10_000 }).toEqual(['make-backup']);
      } finally {
        await one?.stop();
        await queue.close();
        queues.close();
      }
    });

    it('is not begun anew by looking after it', async () => {
      const { url, prefix } = testRedis();
      const queues = queueConnection(url);
      const queue = new Queue('syncline-backup', { connection: queues.connection, prefix });
      const looked = vi.spyOn(queue, 'getJobScheduler');
      const set = vi.spyOn(queue, 'upsertJobScheduler');
      const kept = keepScheduled(queue, { everyMs: { job: 60_000 }, log, lookEveryMs: 20 });
      try {
        await kept.started;
        await vi.waitFor(() => expect(looked.mock.calls.length).toBeGreaterThan(3));
        expect(set).toHaveBeenCalledTimes(1);
      } finally {
        kept.stop();
        await queue.close();
        queues.close();
      }
    });
  });
});
