/** Waiting for something outside to become true, with a deadline and a way out. */
import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  readonly timeoutMs: number;
  /** Pause between two looks. */
  readonly everyMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Looked at before each try; a reason ends the waiting at once. */
  readonly givenUp?: () => string | null;
}

/**
 * Looks until `look` gives something other than null, and returns that.
 * Throws when the time is over, the signal aborts, or `givenUp` has a reason.
 */
export async function waitUntil<T>(
  look: () => Promise<T | null>,
  options: WaitOptions,
): Promise<T> {
  const end = performance.now() + options.timeoutMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const reason = options.givenUp?.() ?? null;
    if (reason !== null) throw new Error(reason);
    const found = await look();
    if (found !== null) return found;
    if (performance.now() > end) throw new Error(`no answer within ${options.timeoutMs / 1000} s`);
    await delay(options.everyMs, undefined, options.signal && { signal: options.signal });
  }
}

/** The promise's outcome, or an error when the time is over or the signal aborts first. */
export async function withDeadline<T>(
  promise: Promise<T>,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<T> {
  const over = new AbortController();
  const signals = signal ? AbortSignal.any([over.signal, signal]) : over.signal;
  const timeout = delay(timeoutMs, undefined, { signal: signals }).then(() => {
    throw new Error(`no answer within ${timeoutMs / 1000} s`);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    over.abort();
    timeout.catch(() => undefined);
  }
}
