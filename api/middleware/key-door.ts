/**
 * The door every API key passes, of a request or a WebSocket. From an address that has tried too many
 * wrong ones only a few a second are looked up; the others are refused unseen. So guessing stays
 * slow, and whoever shares an address with a guesser gets in: with a key that was accepted here within
 * the window at once, with another as soon as the guesser pauses.
 */
import type { Clock } from '../../domain/clock.ts';
import { AppError, messageOf } from '../../domain/errors.ts';
import { hashText, type Hash } from '../../domain/hash.ts';
import type { AuthConfig, CallerOfKey } from '../ports.ts';
import type { SharedCounts } from './shared-counts.ts';

export interface KeyDoorDeps {
  readonly lookup: Extract<AuthConfig, { mode: 'keys' }>['lookup'];
  readonly clock: Clock;
  /** Null: guesses are not counted. */
  readonly guesses: {
    readonly counts: SharedCounts;
    /** Wrong keys one address may try per window. */
    readonly max: number;
    readonly windowMs: number;
  } | null;
  readonly log: { warn(fields: object, message: string): void };
}

export interface KeyDoor {
  /**
   * Whom the key lets in.
   * @param address where it comes from; of IPv6 the network
   * @throws AppError UNAUTHENTICATED, RATE_LIMITED (extra.retryAfterMs), UNAVAILABLE
   */
  admit(key: string, address: string): Promise<CallerOfKey>;
  /**
   * Watches a key that stays in use, as of a WebSocket: `onGone` is called once, some seconds after
   * it was revoked, expired or lost scopes. Answers how to stop watching.
   */
  watch(key: string, onGone: () => void): () => void;
}

const MAX_KEY_LENGTH = 512;
const MAX_KNOWN = 10_000;
/** Unknown keys looked up per second from an address that has tried too many wrong ones. */
export const LATE_LOOKUPS_PER_SECOND = 5;
const WATCH_MS = 5_000;

export function createKeyDoor({ lookup, clock, guesses, log }: KeyDoorDeps): KeyDoor {
  const known = new Map<Hash, number>();
  const mayLook = createTrickle(clock);

  /** How long the address has to wait that has tried too many wrong keys, ms; null: it has not. */
  async function penaltyOf(hash: Hash, address: string): Promise<number | null> {
    if (!guesses || clock.now() - (known.get(hash) ?? -Infinity) < guesses.windowMs) return null;
    const tried = await guesses.counts.get(address);
    if (!tried || tried.totalHits < guesses.max) return null;
    return Math.max(1_000, (tried.resetTime?.getTime() ?? 0) - clock.now());
  }

  function remember(hash: Hash): void {
    known.delete(hash);
    const oldest = known.keys().next();
    if (known.size >= MAX_KNOWN && !oldest.done) known.delete(oldest.value);
    known.set(hash, clock.now());
  }

  return {
    async admit(key, address) {
      if (key.length > MAX_KEY_LENGTH) throw invalid();
      const hash = hashText(key);
      const penaltyMs = await penaltyOf(hash, address);
      // Unseen: it may be a right one, so a try in a moment is worth it.
      if (penaltyMs !== null && !mayLook(address)) throw tooMany(1_000);
      const owner = await lookup(key);
      if (owner) {
        if (guesses) remember(hash);
        return owner;
      }
      known.delete(hash);
      if (penaltyMs !== null) throw tooMany(penaltyMs);
      await guesses?.counts.increment(address);
      throw invalid();
    },
    watch: createWatch(lookup, log),
  };
}

const invalid = (): AppError => new AppError('UNAUTHENTICATED', 'The api key is not valid.');

function tooMany(retryAfterMs: number): AppError {
  return new AppError('RATE_LIMITED', 'Too many wrong api keys from this address.', {
    retryable: true,
    extra: { retryAfterMs },
  });
}

/** Lets {@link LATE_LOOKUPS_PER_SECOND} through per address and second. */
function createTrickle(clock: Clock): (address: string) => boolean {
  let second = 0;
  let looked = new Map<string, number>();
  return (address) => {
    const now = Math.floor(clock.now() / 1_000);
    if (now !== second) looked = new Map();
    second = now;
    const count = (looked.get(address) ?? 0) + 1;
    // However many addresses there are in a second: more than are remembered wait for the next.
    if (count > LATE_LOOKUPS_PER_SECOND || looked.size >= MAX_KNOWN) return false;
    looked.set(address, count);
    return true;
  };
}

/** Asks for each watched key every few seconds, however many watch it. */
function createWatch(lookup: KeyDoorDeps['lookup'], log: KeyDoorDeps['log']): KeyDoor['watch'] {
  const watched = new Map<string, Set<() => void>>();
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    for (const [key, watchers] of [...watched]) {
      try {
        if (await lookup(key)) continue;
      } catch (error) {
        // Who cannot ask does not know: the connection stays until somebody does.
        log.warn({ error: messageOf(error) }, 'keys in use cannot be looked up');
        break;
      }
      watched.delete(key);
      for (const onGone of watchers) onGone();
    }
    schedule();
  }

  function schedule(): void {
    clearTimeout(timer);
    timer = watched.size > 0 ? setTimeout(() => void look(), WATCH_MS).unref() : undefined;
  }

  return (key, onGone) => {
    const watchers = watched.get(key) ?? new Set();
    watched.set(key, watchers.add(onGone));
    if (timer === undefined) schedule();
    return () => {
      watchers.delete(onGone);
      if (watchers.size === 0 && watched.get(key) === watchers) watched.delete(key);
    };
  };
}
