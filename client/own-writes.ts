/**
 * What this client wrote of late. Another server process than the one that took a write may answer
 * the next read from its cache, and hear of the write a moment later; such an answer is known by its
 * version, and asked for again.
 */

/** Longer than any server's cache is behind the others, ms. */
const REMEMBERED_MS = 10_000;
const MAX_KEYS = 1_000;

export interface OwnWrites {
  /** A write of a key was acknowledged with this version. */
  add(key: string, version: number): void;
  /** The newest version written of late; null: none. */
  versionOf(key: string): number | null;
}

/** @param now monotonic time, ms */
export function createOwnWrites(now: () => number): OwnWrites {
  // Oldest first, as they were written.
  const writes = new Map<string, { readonly version: number; readonly at: number }>();

  function forgetOld(): void {
    for (const [key, { at }] of writes) {
      if (writes.size <= MAX_KEYS && now() - at <= REMEMBERED_MS) return;
      writes.delete(key);
    }
  }

  return {
    add(key, version) {
      const known = writes.get(key)?.version ?? 0;
      writes.delete(key);
      writes.set(key, { version: Math.max(version, known), at: now() });
      forgetOld();
    },
    versionOf(key) {
      forgetOld();
      return writes.get(key)?.version ?? null;
    },
  };
}
