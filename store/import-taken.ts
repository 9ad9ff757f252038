/**
 * What an import has written so far, key by key, so that with `skip` its own versions do not count as
 * "there" when more of the same key follows, in whatever order and however far apart. Bounded: the
 * keys of longest ago are forgotten first.
 */
import type { ContextKey } from '../domain/ids.ts';

/** How an import left a key. */
export interface TakenKey {
  /** Version the key had before the import; 0: it was new. */
  readonly before: number;
  /** The highest number of its lines so far. */
  readonly last: number;
  /** Version the context had then; with another one, somebody else has written it since. */
  readonly current: number;
}

export interface Taken {
  get(key: ContextKey): TakenKey | undefined;
  note(key: ContextKey, state: TakenKey): void;
}

/** Room for some 200,000 short keys. */
const MAX_BYTES = 32 * 1024 * 1024;
/** About what an entry costs besides its key, bytes. */
const ENTRY_BYTES = 128;

const costOf = (key: string): number => ENTRY_BYTES + 2 * key.length;

/** @param maxBytes about how much memory it may take */
export function createTaken(maxBytes = MAX_BYTES): Taken {
  const states = new Map<ContextKey, TakenKey>();
  let bytes = 0;

  function forget(key: ContextKey): void {
    if (states.delete(key)) bytes -= costOf(key);
  }

  return {
    get: (key) => states.get(key),
    note(key, state) {
      forget(key);
      states.set(key, state);
      bytes += costOf(key);
      for (const oldest of states.keys()) {
        if (bytes <= maxBytes) break;
        forget(oldest);
      }
    },
  };
}
