/** Whether processes live, and ending them; pids only, so it works on children of a dead parent. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 20;

/** Whether a process with this pid runs; a zombie nobody has reaped counts as gone. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM';
  }
  return readStat(pid)?.state !== 'Z';
}

/**
 * When a process started, in the system's own unit, or null when it cannot be told. With the pid
 * it names a process for good: pids are used again, most of all in containers.
 */
export function startMark(pid: number): string | null {
  const stat = readStat(pid);
  if (stat !== null) return stat.start;
  if (process.platform === 'linux' || process.platform === 'win32') return null;
  try {
    const started = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { stdio: 'pipe' });
    return started.toString('utf8').trim() || null;
  } catch {
    return null;
  }
}

/** Sends a signal to the process group a detached child leads, or to it alone; gone is fine. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, signal);
      return;
    } catch {
      // No such group: try the process itself. No such process: nothing to do.
    }
  }
}

/** Resolves when none of the processes is left, or the time is over; says which. */
export async function waitUntilGone(pids: readonly number[], timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (pids.some(isAlive)) {
    if (performance.now() > end) return false;
    await delay(POLL_MS);
  }
  return true;
}

/** Fields 3 and 22 of `/proc/<pid>/stat`; the name in field 2 may hold spaces and brackets. */
function readStat(pid: number): { state: string; start: string } | null {
  if (process.platform !== 'linux') return null;
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', start: fields[19] ?? '' };
  } catch {
    return null;
  }
}
