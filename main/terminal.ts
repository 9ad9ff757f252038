/** What `npm start` says to a person: steps with times, a table of both sides, one line per run. */
import Table from 'cli-table3';
import pc from 'picocolors';
import type { PassOutcome, PassToken } from '../activities/contract.ts';

export interface Terminal {
  /** A step that is done. */
  done(what: string, elapsedMs: number): void;
  /** Something is going on, or worth knowing. */
  note(text: string): void;
  problem(text: string): void;
  heading(text: string): void;
  table(head: readonly string[], rows: readonly (readonly string[])[]): void;
  run(pass: PassToken, outcome: PassOutcome): void;
}

export function createTerminal(out: NodeJS.WritableStream = process.stdout): Terminal {
  const line = (text: string): void => void out.write(`${text}\n`);
  return {
    done: (what, elapsedMs) => line(`${pc.green('✓')} ${what} ${pc.dim(seconds(elapsedMs))}`),
    note: (text) => line(`${pc.dim('·')} ${text}`),
    problem: (text) => line(`${pc.red('✗')} ${text}`),
    heading: (text) => line(`\n${pc.bold(text)}`),
    table(head, rows) {
      const table = new Table({ head: [...head], style: { head: [], border: [] } });
      table.push(...rows.map((row) => [...row]));
      line(table.toString());
    },
    run: (pass, outcome) => line(runLine(pass, outcome)),
  };
}

const WORTH_SAYING = [
  ['applied', 'written'],
  ['merged', 'merged'],
  ['conflicts', 'in conflict'],
  ['quarantined', 'quarantined'],
  ['deletedHub', 'deleted in the hub'],
  ['deletedRemote', 'deleted there'],
  ['skipped', 'left for the next run'],
] as const;

function runLine(pass: PassToken, { status, counters, phases, guard, error }: PassOutcome): string {
  const counts = WORTH_SAYING.filter(([name]) => counters[name] > 0).map(
    ([name, word]) => `${counters[name]} ${word}`,
  );
  const totalMs = Object.values(phases).reduce((sum, ms) => sum + ms, 0);
  const mark =
    status === 'settled' ? pc.green('✓') : status === 'parked' ? pc.yellow('‖') : pc.red('✗');
  const told =
    guard?.reason ??
    (error ? `${error.code}: ${error.detail}` : counts.join(', ') || 'nothing to write');
  const time = new Date(pass.startedAtMs).toTimeString().slice(0, 8);
  return `${pc.dim(time)} ${mark} ${pass.linkName.padEnd(14)} ${pc.dim(`[${pass.trigger}]`)} ${told} ${pc.dim(`${totalMs} ms`)}`;
}

/** Milliseconds as people read them. */
export function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
