/** The door of the cache. */
export {
  ALL_CONTEXTS,
  contextCacheKey,
  contextOfCacheKey,
  contextTags,
  createContextCache,
  type ContextCache,
  type ContextRef,
} from './context-cache.ts';
export { guardLayer, type GuardedLayer } from './guarded-layer.ts';
export { createMemoryLayer, type MemoryLayer } from './memory-layer.ts';
export { createRedisLayer } from './redis-layer.ts';
export { createCache, type CacheCounts, type Loaded } from './stack.ts';
export { createRedisTags, createTagTable } from './tags.ts';
