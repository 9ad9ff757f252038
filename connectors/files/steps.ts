/**
 * Long work cut into short steps. One piece of code serves both ways: run through at once, or with
 * the event loop let in between, so that a large file never holds up anybody else's call.
 */
import { setImmediate as breathe } from 'node:timers/promises';

/** Work that pauses at every `yield`, a millisecond or so after the one before. */
export type Steps<T> = Generator<void, T, void>;

/** Runs without a pause longer than this, ms. */
const SLICE_MS = 10;

/** Runs all steps at once. */
export function atOnce<T>(steps: Steps<T>): T {
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

/** Runs the steps for some ms at a time and lets the event loop in between. */
export async function inSlices<T>(steps: Steps<T>, sliceMs: number = SLICE_MS): Promise<T> {
  const pause = createPause(sliceMs);
  let step = steps.next();
  while (!step.done) {
    const pausing = pause();
    if (pausing) await pausing;
    step = steps.next();
  }
  return step.value;
}

/** Called often in a long loop: gives something to wait for whenever the loop has run so long. */
export function createPause(sliceMs: number = SLICE_MS): () => Promise<void> | null {
  let startedMs = performance.now();
  return () => {
    if (performance.now() - startedMs < sliceMs) return null;
    return breathe().then(() => {
      startedMs = performance.now();
    });
  };
}
