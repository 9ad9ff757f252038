/** Things that run, stopped in the reverse order they were started, each with a deadline. */
import type { Logger } from 'pino';
import { messageOf } from '../domain/errors.ts';

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
        await withDeadline(last.stop(), deadlineMs);
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

async function withDeadline(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${ms} ms`)), ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
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
