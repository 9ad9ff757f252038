/** The door of the cache. */
export {
  ALL_CONTEXTS,
  contextCacheKey,
  contextOfCacheKey,
  contextTags,
  createContextCache,
  type CachedContext,
  type ContextCache,
  type ContextCacheStats,
  type ContextRef,
} from './context-cache.ts';
export { guardLayer, type GuardedLayer, type GuardOptions } from './guarded-layer.ts';
export type { CachedValue, CacheLayer, Entry, Filling, Found } from './layer.ts';
export { createMemoryLayer, type MemoryLayer } from './memory-layer.ts';
export { createRedisLayer } from './redis-layer.ts';
export type { RedisCommands } from './redis-script.ts';
export {
  createCache,
  type Cache,
  type CacheAnswer,
  type CacheCounts,
  type CacheOptions,
  type Invalidation,
  type Loaded,
} from './stack.ts';
export {
  createRedisTags,
  createTagTable,
  prefixTags,
  type TagStore,
  type TagTable,
} from './tags.ts';
