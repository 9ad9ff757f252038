/** What a layer of the cache is: a place that keeps entries for a while and may forget any at any time. */

/** A value as its source gives it. */
export interface CachedValue {
  readonly bytes: Buffer;
  /** Order among the values of one key; whatever the source has for it. */
  readonly version: number;
  /** From then on the value is over, ms since the epoch; null: never. */
  readonly expiresAt: number | null;
}

export interface Entry extends CachedValue {
  /** Until then it is as good as the source, ms since the epoch. */
  readonly freshUntil: number;
  /** From then on it is never given, ms since the epoch. */
  readonly goneAt: number;
  /** Tag → its version before the value was read. */
  readonly tags: Readonly<Record<string, string>>;
}

/** What a layer says of a key. */
export interface Found {
  readonly entry: Entry | null;
  /**
   * Proves to `setMany` that nothing was deleted since; null: the layer keeps nothing under this key
   * now, or (the nearest layer) needs no proof.
   */
  readonly fence: string | null;
}

export interface Filling {
  readonly key: string;
  readonly entry: Entry;
  /** What `getMany` gave before the value was read. */
  readonly fence: string | null;
}

type MaybeLater<T> = T | Promise<T>;

/** A cache stack is an ordered list of these, the nearest first. A layer in memory answers at once. */
export interface CacheLayer {
  /** As `X-Cache` and metrics call it. */
  readonly name: string;
  /** How long it keeps an entry at most, ms. */
  readonly lifeMs: number;
  /** One answer per key, in order. */
  getMany(keys: readonly string[]): MaybeLater<readonly Found[]>;
  /** Whether each was taken. A layer others share refuses one whose key was deleted since its fence. */
  setMany(fillings: readonly Filling[]): MaybeLater<readonly boolean[]>;
  /** Once this is done no value from before is given any more, and none is taken. */
  deleteMany(keys: readonly string[]): MaybeLater<void>;
}

/** An answer that knows nothing. */
export const NOTHING: Found = { entry: null, fence: null };
