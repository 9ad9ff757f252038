/** CPU time of processes of this machine, read from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks per second, as every Linux has them. */
const TICKS = 100;

interface Stat {
  readonly parent: number;
  /** User and system time of the process and of its children that have ended, ms. */
  readonly ms: number;
}

/** CPU ms of a process and all its descendants so far; 0 where there is no /proc. */
export function treeCpuMs(root: number): number {
  const stats = new Map<number, Stat>();
  for (const name of processes()) {
    const stat = statOf(name);
    if (stat) stats.set(Number(name), stat);
  }
  const belongs = (pid: number): boolean =>
    pid === root || (stats.has(pid) && pid > 1 && belongs(stats.get(pid)!.parent));
  return [...stats].reduce((sum, [pid, { ms }]) => (belongs(pid) ? sum + ms : sum), 0);
}

function processes(): string[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

/** The name in brackets may hold anything; what counts comes after it. */
function statOf(pid: string): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const [, parent = 0] = fields;
    const ticks = fields.slice(11, 15).reduce((sum, one) => sum + one, 0);
    return { parent, ms: (ticks * 1_000) / TICKS };
  } catch {
    return null;
  }
}
