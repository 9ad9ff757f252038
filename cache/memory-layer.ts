/** The layer inside the process: the entries used last, within a budget of bytes. */
import { LRUCache } from 'lru-cache';
import { NOTHING, type CacheLayer, type Entry, type Found } from './layer.ts';

/** What an entry costs besides its bytes: key, objects, a place in the list. */
const ENTRY_OVERHEAD_BYTES = 512;

export interface MemoryLayer extends CacheLayer {
  deleteMany(keys: readonly string[]): void;
  /** The keys asked for most of late, first the one asked for most. Each call halves what counts. */
  hottest(most: number): readonly string[];
  size(): { readonly entries: number; readonly bytes: number; readonly evictions: number };
}

interface Kept extends Found {
  readonly entry: Entry;
  uses: number;
}

export interface MemoryLayerOptions {
  readonly name: string;
  readonly lifeMs: number;
  /** Bytes of all entries together. */
  readonly maxBytes: number;
}

export function createMemoryLayer({ name, lifeMs, maxBytes }: MemoryLayerOptions): MemoryLayer {
  let evictions = 0;
  const entries = new LRUCache<string, Kept>({
    maxSize: Math.max(1, maxBytes),
    sizeCalculation: ({ entry }, key) => entry.bytes.length + 2 * key.length + ENTRY_OVERHEAD_BYTES,
    dispose: (_entry, _key, reason) => {
      if (reason === 'evict') evictions += 1;
    },
  });
  return {
    name,
    lifeMs,
    getMany: (keys) =>
      keys.map((key) => {
        const kept = entries.get(key);
        if (!kept) return NOTHING;
        kept.uses += 1;
        return kept;
      }),
    setMany: (fillings) =>
      fillings.map(({ key, entry }) => {
        const kept = { ...entry, bytes: ownBytes(entry.bytes) };
        entries.set(key, { entry: kept, fence: null, uses: entries.peek(key)?.uses ?? 0 });
        return entries.has(key);
      }),
    deleteMany(keys) {
      for (const key of keys) entries.delete(key);
    },
    hottest(most) {
      const used = [...entries.entries()].filter(([, { uses }]) => uses > 0);
      const keys = used.sort(([, a], [, b]) => b.uses - a.uses).slice(0, most);
      for (const [, kept] of used) kept.uses = Math.floor(kept.uses / 2);
      return keys.map(([key]) => key);
    },
    size: () => ({ entries: entries.size, bytes: entries.calculatedSize, evictions }),
  };
}

/** Bytes may be a part of something larger (of what came over a socket, say), which would be kept whole. */
function ownBytes(bytes: Buffer): Buffer {
  if (bytes.buffer.byteLength === bytes.length) return bytes;
  const own = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(own);
  return own;
}
