/**
 * Looks keys up, and remembers for a few seconds what was found: a request must not cost a
 * transaction to learn who sent it. Only accepted keys are remembered, by their hash, so a flood of
 * guesses pushes nobody out, and a revoked key opens nothing after {@link FRESH_MS} at the latest.
 */
import type { Clock } from '../../domain/clock.ts';
import { hashText, type Hash } from '../../domain/hash.ts';
import type { AuthConfig, CallerOfKey } from '../ports.ts';

type Lookup = Extract<AuthConfig, { mode: 'keys' }>['lookup'];

/** Longest a key is believed without asking, ms. */
export const FRESH_MS = 3_000;
const MAX_REMEMBERED = 10_000;

export interface KeyLookupDeps {
  /** Asks the store; null: the key opens nothing. */
  readonly lookup: (
    key: string,
  ) => Promise<(CallerOfKey & { readonly expiresAt: string | null }) | null>;
  readonly clock: Clock;
}

interface Entry {
  readonly owner: CallerOfKey;
  readonly untilMs: number;
}

/** A look-up that remembers; twins of a look-up under way wait for it. */
export function createKeyLookup({ lookup, clock }: KeyLookupDeps): Lookup {
  const known = new Map<Hash, Entry>();
  const underWay = new Map<Hash, Promise<CallerOfKey | null>>();

  async function ask(key: string, hash: Hash): Promise<CallerOfKey | null> {
    const askedAtMs = clock.now();
    const found = await lookup(key);
    known.delete(hash);
    if (!found) return null;
    const { expiresAt, ...owner } = found;
    const freshMs = askedAtMs + FRESH_MS;
    const untilMs = expiresAt === null ? freshMs : Math.min(freshMs, Date.parse(expiresAt));
    if (known.size >= MAX_REMEMBERED) forgetOldest(known);
    known.set(hash, { owner, untilMs });
    return owner;
  }

  return async (key) => {
    const hash = hashText(key);
    const entry = known.get(hash);
    if (entry && clock.now() < entry.untilMs) return entry.owner;
    const asked = underWay.get(hash) ?? ask(key, hash).finally(() => underWay.delete(hash));
    underWay.set(hash, asked);
    return asked;
  };
}

/** Entries stand in the order of their look-ups, so the first is the stalest. */
function forgetOldest(known: Map<Hash, Entry>): void {
  const oldest = known.keys().next();
  if (!oldest.done) known.delete(oldest.value);
}
