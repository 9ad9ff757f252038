/** What a figure is worth depends on where and when it was measured: one line that says so. */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, totalmem } from 'node:os';

/** Date, commit, machine and its load before the benchmark, for the head of a report. */
export function describeMachine(): string {
  const [load = 0] = loadavg();
  const cores = cpus();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return [
    new Date().toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
    `commit ${commit()}`,
    `${cores.length} × ${cores[0]?.model.trim() ?? 'unknown CPU'}, ${memory}`,
    `Node ${process.versions.node}`,
    `load before ${load.toFixed(1)}`,
  ].join(' · ');
}

function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    const isClean = git('status', '--porcelain', '--untracked-files=no') === '';
    return git('rev-parse', '--short', 'HEAD') + (isClean ? '' : ' + uncommitted changes');
  } catch {
    return 'unknown';
  }
}
