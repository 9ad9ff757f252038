/** Puts the limits on callers together: the door for keys, and the counts both limits share. */
import type { Application } from 'express';
import type { ApiDeps } from '../ports.ts';
import { createKeyDoor, type KeyDoor } from './key-door.ts';
import { createSharedCounts, type SharedCounts } from './shared-counts.ts';

/** Wrong keys an address may try, as a part of the requests a caller may make. */
const GUESSES_PART = 1 / 20;

export interface Access {
  /** Null: keys are off. */
  readonly door: KeyDoor | null;
  /** Requests by caller. */
  readonly requests: SharedCounts;
}

export function createAccess(deps: Pick<ApiDeps, 'auth' | 'limits' | 'clock' | 'log'>): Access {
  const { auth, limits, clock, log } = deps;
  const { enabled, max, windowMs, shared } = limits.rateLimit;
  const countsOf = (name: string): SharedCounts =>
    createSharedCounts({
      send: (enabled && shared?.send) || null,
      prefix: `${shared?.prefix ?? ''}:limit:${name}:`,
      windowMs,
      clock,
      onMoved: (to) =>
        log[to === 'redis' ? 'info' : 'warn']({ limit: name }, `requests are counted in ${to}`),
    });
  const guesses = { counts: countsOf('guesses'), max: Math.ceil(max * GUESSES_PART), windowMs };
  const door =
    auth.mode === 'off'
      ? null
      : createKeyDoor({ lookup: auth.lookup, clock, guesses: enabled ? guesses : null, log });
  return { door, requests: countsOf('requests') };
}

const DOOR = 'keyDoor';

/** Keeps the door where {@link doorOf} finds it. */
export function keepDoor(app: Application, door: KeyDoor | null): void {
  app.locals[DOOR] = door;
}

/** The door of an API made by `createApi`, for who lets callers in elsewhere; null: keys are off. */
export function doorOf(app: Application): KeyDoor | null {
  return (app.locals[DOOR] ?? null) as KeyDoor | null;
}
