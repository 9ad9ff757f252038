import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockHome, readOwner } from '../../../dev/lock.ts';
import { isAlive, startMark } from '../../../dev/process-alive.ts';

let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'syncline-lock-'));
});

afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

function writeLock(content: unknown): void {
  writeFileSync(join(home, 'lock.json'), JSON.stringify(content));
}

/** The pid of a process that has ended. */
async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  return child.pid ?? 0;
}

describe('the lock of a home folder', () => {
  it('lets one in and tells the other where the first one answers', async () => {
    const lock = await lockHome(home);
    lock.setUrl('http://127.0.0.1:3100');
    await expect(lockHome(home)).rejects.toMatchObject({
      code: 'ALREADY_RUNNING',
      extra: { pid: process.pid, url: 'http://127.0.0.1:3100' },
    });
    expect(readOwner(home)).toEqual({ pid: process.pid, url: 'http://127.0.0.1:3100' });
    lock.release();
    expect(readOwner(home)).toBeNull();
    (await lockHome(home)).release();
  });

  it('is taken over from an owner that died', async () => {
    writeLock({ pid: await deadPid(), start: null, url: null, children: [] });
    const lock = await lockHome(home);
    expect(readOwner(home)?.pid).toBe(process.pid);
    lock.release();
  });

  it('is taken over when the pid belongs to somebody else by now', async () => {
    writeLock({ pid: process.pid, start: 'another time', url: null, children: [] });
    (await lockHome(home)).release();
  });

  it('is taken over when its file is damaged', async () => {
    writeFileSync(join(home, 'lock.json'), '{"pid":');
    (await lockHome(home)).release();
  });

  it('ends the children a dead owner left, before it lets anyone in', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
      detached: true,
    });
    await once(child, 'spawn');
    const pid = child.pid ?? 0;
    const mark = { pid, start: startMark(pid) };
    writeLock({ pid: await deadPid(), start: null, url: null, children: [mark] });
    const lock = await lockHome(home);
    expect(isAlive(pid)).toBe(false);
    lock.release();
  });

  it('spares a process that only got the pid of such a child', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
      detached: true,
    });
    await once(child, 'spawn');
    const pid = child.pid ?? 0;
    const mark = { pid, start: 'another time' };
    writeLock({ pid: await deadPid(), start: null, url: null, children: [mark] });
    const lock = await lockHome(home);
    expect(isAlive(pid)).toBe(true);
    child.kill('SIGKILL');
    lock.release();
  });

  it('lets exactly one of many contenders take over', async () => {
    writeLock({ pid: await deadPid(), start: null, url: null, children: [] });
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => lockHome(home)));
    expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1);
  });

  it('leaves no file behind', async () => {
    const lock = await lockHome(home);
    lock.release();
    lock.setUrl('http://127.0.0.1:1');
    expect(existsSync(join(home, 'lock.json'))).toBe(false);
  });
});
