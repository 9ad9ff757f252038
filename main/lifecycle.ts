/** Things that run, stopped in the reverse order they were started, each with a deadline. */
import type { Logger } from 'pino';
import { messageOf } from '../domain/errors.ts';
import { withDeadline } from '../domain/with-deadline.ts';

export interface Running {
  readonly name: string;
  stop(): Promise<void>;
  /** Longest the stop may take before we go on without it, ms. */
  readonly deadlineMs?: number;
}

export interface Lifecycle {
  /** Adds what has just been started. */
  add(running: Running): void;
  /** Stops everything, last started first. Never throws; a second call waits for the first. */
  stop(): Promise<void>;
}

const DEADLINE_MS = 10_000;

export function createLifecycle(log: Pick<Logger, 'warn' | 'debug'>): Lifecycle {
  const running: Running[] = [];
  let stopping: Promise<void> | null = null;

  async function stopAll(): Promise<void> {
    for (let last = running.pop(); last; last = running.pop()) {
      const { name, deadlineMs = DEADLINE_MS } = last;
      try {
        const late = (): Error => new Error(`took longer than ${deadlineMs} ms`);
        await withDeadline(last.stop(), deadlineMs, late);
        log.debug({ part: name }, 'stopped');
      } catch (error) {
        log.warn({ part: name, error: messageOf(error) }, 'did not stop cleanly');
      }
    }
  }

  return {
    add: (part) => void running.push(part),
    stop: () => (stopping ??= stopAll()),
  };
}

/** Runs `stop` once at the first SIGINT or SIGTERM; a second one ends the process at once. */
export function onSignal(stop: (signal: NodeJS.Signals) => void): void {
  let isAsked = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (isAsked) process.exit(130);
      isAsked = true;
      stop(signal);
    });
  }
}
