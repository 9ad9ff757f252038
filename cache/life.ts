/** How long entries live, and what state an entry is in: fresh, stale in one of two ways, or gone. */
import type { CachedValue, Entry } from './layer.ts';

export interface LifeRules {
  /** For so long after its life an entry is still given, while a new one is fetched behind it; ms. */
  readonly staleWhileRefreshMs: number;
  /** For so long after that it is given when the source fails, ms. */
  readonly staleOnErrorMs: number;
  /** Lives are spread by up to this part, so that what came together does not go together. */
  readonly jitter: number;
}

export type EntryState = 'fresh' | 'stale-while-refresh' | 'stale-on-error' | 'gone';

export function stateOf(entry: Entry, now: number, rules: LifeRules): EntryState {
  if (now >= entry.goneAt) return 'gone';
  if (now < entry.freshUntil) return 'fresh';
  return now < entry.freshUntil + rules.staleWhileRefreshMs
    ? 'stale-while-refresh'
    : 'stale-on-error';
}

/**
 * A value as a layer keeps it: never longer than the layer below (`below`), nor than the value itself.
 */
export function entryFor(
  value: CachedValue,
  of: {
    readonly tags: Entry['tags'];
    readonly lifeMs: number;
    readonly bornAt: number;
    readonly below: Pick<Entry, 'freshUntil' | 'goneAt'> | null;
    /** 0 to 1 */
    readonly random: number;
  },
  rules: LifeRules,
): Entry {
  const over = value.expiresAt ?? Infinity;
  const spread = 1 + rules.jitter * (2 * of.random - 1);
  const freshUntil = Math.min(
    of.bornAt + of.lifeMs * spread,
    over,
    of.below?.freshUntil ?? Infinity,
  );
  const staleMs = rules.staleWhileRefreshMs + rules.staleOnErrorMs;
  const goneAt = Math.min(freshUntil + staleMs, over, of.below?.goneAt ?? Infinity);
  const { bytes, version, expiresAt } = value;
  return { bytes, version, expiresAt, freshUntil, goneAt, tags: of.tags };
}
