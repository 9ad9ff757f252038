/** A run in one line. */
import type { Run } from '../../client/index.ts';
import { safeText, type Output, type Painted } from '../output.ts';

const COLORS = {
  running: 'cyan',
  settled: 'green',
  parked: 'yellow',
  failed: 'red',
  planned: 'cyan',
} as const;

/** A run's status in its colour, for tables. */
export function statusCell(status: Run['status']): Painted {
  return { text: status, color: COLORS[status] };
}

/** `settled in 84 ms: 3 applied, 1 merged` */
export function runSummary(out: Output, run: Run): string {
  const status = out.paint(COLORS[run.status], run.status);
  const took = run.tookMs === null ? '' : ` in ${run.tookMs} ms`;
  if (run.error) return `${status}${took}: ${run.error.code}: ${safeText(run.error.detail)}`;
  return `${status}${took}: ${countsText(run.counters)}`;
}

function countsText(counters: Run['counters']): string {
  const { applied, merged, deletedHub, deletedRemote, conflicts, quarantined, planned } = counters;
  const parts = [
    part(planned - applied, 'planned, not applied'),
    part(applied, 'applied'),
    part(merged, 'merged'),
    part(deletedHub, 'deleted on the hub'),
    part(deletedRemote, 'deleted on the remote'),
    part(conflicts, 'in conflict'),
    part(quarantined, 'quarantined'),
  ].filter((text) => text !== '');
  return parts.length > 0 ? parts.join(', ') : 'nothing to do';
}

const part = (count: number, what: string): string => (count > 0 ? `${count} ${what}` : '');
