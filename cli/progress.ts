/** A progress bar on a terminal; nothing anywhere else. */
import { SingleBar } from 'cli-progress';
import type { CliIo } from './cli-context.ts';

export interface Progress {
  /** How much is done, and (when it is known by now) of how much. */
  at(done: number, total?: number): void;
  end(): void;
}

/** A bar on standard error, so that what goes to standard output stays clean. */
export function createProgress(io: Pick<CliIo, 'isStderrTerminal'>, what: string): Progress {
  if (!io.isStderrTerminal) return { at: () => undefined, end: () => undefined };
  const bar = new SingleBar({
    format: `${what} {bar} {percentage}% | {value}/{total} | {eta_formatted} left`,
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
  });
  let isStarted = false;
  return {
    at(done, total) {
      if (!isStarted) bar.start(total ?? done, done);
      isStarted = true;
      if (total !== undefined) bar.setTotal(total);
      bar.update(done);
    },
    end: () => bar.stop(),
  };
}
