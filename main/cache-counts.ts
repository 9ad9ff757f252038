/** Counts what the cache does in this process' metrics. */
import type { CacheCounts, GuardedLayer, MemoryLayer } from '../cache/contract.ts';
import type { Metrics } from './metrics/metrics.ts';

/** Where the cache tells what it does. */
export function createCacheCounts({ families, read }: Metrics): CacheCounts {
  let hits = 0;
  let misses = 0;
  // Bound once: a hit should cost next to nothing.
  const byLayer = new Map<string, { inc(): void }>();
  const hitsOf = (layer: string, freshness: string): { inc(): void } => {
    const name = `${layer} ${freshness}`;
    const known = byLayer.get(name) ?? families.cacheHits.labels(layer, freshness);
    byLayer.set(name, known);
    return known;
  };
  read.add('cache', 0, async () => {
    if (hits + misses > 0) families.cacheHitRatio.set(hits / (hits + misses));
  });
  return {
    hit(layer, freshness) {
      hits += 1;
      hitsOf(layer, freshness).inc();
    },
    miss() {
      misses += 1;
      families.cacheMisses.inc();
    },
    loaded(outcome, seconds) {
      families.cacheLoads.inc({ outcome });
      families.cacheLoadSeconds.observe(seconds);
    },
    coalesced: () => families.cacheCoalesced.inc(),
    refused: (layer) => families.cacheRefused.inc({ layer }),
    stale: (reason) => families.cacheStale.inc({ reason }),
    invalidated: (kind, count) => families.cacheInvalidations.inc({ kind }, count),
  };
}

/** Tells what is in the layers whenever somebody scrapes. */
export function measureLayers(
  { families, read }: Metrics,
  { near, shared }: { readonly near: MemoryLayer; readonly shared: GuardedLayer },
): void {
  let evictions = 0;
  read.add('cache_layers', 0, async () => {
    const size = near.size();
    families.cacheEntries.set({ layer: near.name }, size.entries);
    families.cacheBytes.set({ layer: near.name }, size.bytes);
    families.cacheEvictions.inc({ layer: near.name }, size.evictions - evictions);
    evictions = size.evictions;
    families.cacheBreaker.set({ layer: shared.name }, shared.isOpen() ? 1 : 0);
  });
}
