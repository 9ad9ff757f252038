/**
 * Contexts in the cache: the current version of each, as the text that answers `get`. Keys and tags
 * begin with the tenant, so tenants never meet. Only what compares nothing may read it.
 */
import { LRUCache } from 'lru-cache';
import type { ContextKey, TenantId } from '../domain/ids.ts';
import type { Cache, Load, LoadMany } from './stack.ts';

export interface ContextRef {
  readonly tenant: TenantId;
  readonly key: ContextKey;
}

export interface CachedContext {
  /** The whole answer of `get`, JSON in UTF-8. */
  readonly bytes: Buffer;
  readonly version: number;
  /** `l1`, `l2` or `source`. */
  readonly from: string;
}

/** Reads of a tenant that asked this cache since the process began. */
export interface ContextCacheStats {
  readonly hits: number;
  readonly misses: number;
}

export interface ContextCache {
  /** Null: there is no such context, says the source. */
  get(ref: ContextRef, load: Load): Promise<CachedContext | null>;
  /** They have new versions: when it resolves, nothing older is given any more. */
  changed(tenant: TenantId, keys: readonly ContextKey[]): Promise<void>;
  /** The same where somebody else changed them, and has seen to the shared layers. */
  heard(tenant: TenantId, keys: readonly ContextKey[]): void;
  /** Forgets a tenant's contexts. */
  forgetTenant(tenant: TenantId): Promise<void>;
  /** Forgets everything, everywhere. */
  forgetAll(): Promise<void>;
  /** Loads contexts that no layer has; how many. None while changes by others are not heard of. */
  warm(
    refs: readonly ContextRef[],
    load: (refs: readonly ContextRef[]) => ReturnType<LoadMany>,
    options: Parameters<Cache['warm']>[2],
  ): Promise<number>;
  stats(tenant: TenantId): ContextCacheStats;
}

/** The tag that every context carries. */
export const ALL_CONTEXTS = 'all';
/** Neither a tenant nor a key has it. */
const BETWEEN = '\n';
const MAX_TENANTS = 10_000;

/** The cache's key of a context. */
export function contextCacheKey({ tenant, key }: ContextRef): string {
  return tenant + BETWEEN + key;
}

/** A cache key's context. */
export function contextOfCacheKey(cacheKey: string): ContextRef {
  const end = cacheKey.indexOf(BETWEEN);
  return {
    tenant: cacheKey.slice(0, end) as TenantId,
    key: cacheKey.slice(end + 1) as ContextKey,
  };
}

const tagOf = (tenant: string): string => `tenant:${tenant}`;

/** Tags of a context: its tenant's, and that of all. */
export function contextTags(cacheKey: string): readonly string[] {
  return [ALL_CONTEXTS, tagOf(contextOfCacheKey(cacheKey).tenant)];
}

export function createContextCache(deps: {
  readonly cache: Cache;
  /** Whether changes by others are heard of; else every read goes to the source. */
  readonly isOn: () => boolean;
}): ContextCache {
  const { cache, isOn } = deps;
  const counts = new LRUCache<string, { hits: number; misses: number }>({ max: MAX_TENANTS });

  function countOf(tenant: TenantId): { hits: number; misses: number } {
    const known = counts.get(tenant);
    if (known) return known;
    const fresh = { hits: 0, misses: 0 };
    counts.set(tenant, fresh);
    return fresh;
  }

  async function unasked(load: Load): Promise<CachedContext | null> {
    const loaded = await load();
    return loaded && { bytes: loaded.bytes, version: loaded.version, from: 'source' };
  }

  return {
    async get(ref, load) {
      if (!isOn()) return unasked(load);
      const answer = await cache.getOrLoad(contextCacheKey(ref), load);
      const count = countOf(ref.tenant);
      if (answer && answer.from !== 'source') count.hits += 1;
      else count.misses += 1;
      return answer;
    },
    changed: (tenant, keys) =>
      cache.invalidate({ keys: keys.map((key) => contextCacheKey({ tenant, key })) }),
    heard: (tenant, keys) => cache.dropNear(keys.map((key) => contextCacheKey({ tenant, key }))),
    forgetTenant: (tenant) => cache.invalidate({ tags: [tagOf(tenant)] }),
    forgetAll: () => cache.invalidate({ tags: [ALL_CONTEXTS] }),
    async warm(refs, load, options) {
      if (!isOn()) return 0;
      const loadKeys = (keys: readonly string[]) => load(keys.map(contextOfCacheKey));
      return cache.warm(refs.map(contextCacheKey), loadKeys, options);
    },
    stats: (tenant) => ({ ...countOf(tenant) }),
  };
}
