/** A shared layer in memory that keeps its promises like the one in Redis, and breaks down on demand. */
import { NOTHING, type CacheLayer, type Entry, type Found } from '../../cache/layer.ts';
import type { CacheCounts, Loaded } from '../../cache/stack.ts';

export interface SharedDouble extends CacheLayer {
  /** Calls so far, by method. */
  readonly calls: Record<'getMany' | 'setMany' | 'deleteMany', number>;
  readonly values: Map<string, { entry: Entry | null; lease: string }>;
  /** Called before and after each operation does its work; it may wait or throw. */
  step: (when: 'before' | 'after') => Promise<void>;
  /** Forgets everything. */
  flush(): void;
}

export function createSharedDouble(lifeMs = 3_600_000, name = 'l2'): SharedDouble {
  let leases = 0;
  const values: SharedDouble['values'] = new Map();
  const calls = { getMany: 0, setMany: 0, deleteMany: 0 };
  const layer: SharedDouble = {
    name,
    lifeMs,
    calls,
    values,
    step: async () => undefined,
    flush: () => values.clear(),
    async getMany(keys) {
      calls.getMany += 1;
      await layer.step('before');
      const found = keys.map(read);
      await layer.step('after');
      return found;
    },
    async setMany(fillings) {
      calls.setMany += 1;
      await layer.step('before');
      const taken = fillings.map(({ key, entry, fence }) => {
        const known = values.get(key);
        if (fence === null || known?.lease !== fence) return false;
        known.entry = entry;
        return true;
      });
      await layer.step('after');
      return taken;
    },
    async deleteMany(keys) {
      calls.deleteMany += 1;
      await layer.step('before');
      for (const key of keys) values.delete(key);
      await layer.step('after');
    },
  };

  function read(key: string): Found {
    const known = values.get(key);
    if (known) return { entry: known.entry, fence: known.lease };
    leases += 1;
    const lease = `lease-${leases}`;
    values.set(key, { entry: null, lease });
    return { ...NOTHING, fence: lease };
  }

  return layer;
}

/** A value whose bytes tell its version. */
export function valueOf(version: number, more: Partial<Loaded> = {}): Loaded {
  return { bytes: Buffer.from(`v${version}`), version, expiresAt: null, isKept: true, ...more };
}

/** Counts calls by name, with what they were told. */
export function countingCounts(): CacheCounts & { readonly seen: Record<string, number> } {
  const seen: Record<string, number> = {};
  const add =
    (name: string) =>
    (what?: unknown): void => {
      const key = typeof what === 'string' ? `${name}:${what}` : name;
      seen[key] = (seen[key] ?? 0) + 1;
    };
  return {
    seen,
    hit: add('hit'),
    miss: add('miss'),
    loaded: add('loaded'),
    coalesced: add('coalesced'),
    refused: add('refused'),
    stale: add('stale'),
    invalidated: add('invalidated'),
  };
}
