/** Lets others run during a long loop. */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../domain/clock.ts';

/** As long as one turn of the loop may hold others up, ms. */
const TURN_MS = 10;

/** Call between two units of work: gives way once {@link TURN_MS} are used up, else costs nothing. */
export function createBreather(clock: Clock): () => Promise<void> {
  let since = clock.now();
  return async () => {
    if (clock.now() - since < TURN_MS) return;
    await setImmediate();
    since = clock.now();
  };
}
