/**
 * The cache of this process, wired: memory before Redis before the store. Every role tells of what it
 * commits; only an API keeps anything, and hears (docs/caching.md).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import {
  ALL_CONTEXTS,
  contextCacheKey,
  contextTags,
  createCache,
  createContextCache,
  createMemoryLayer,
  createRedisLayer,
  createRedisTags,
  createTagTable,
  guardLayer,
  type ContextCache,
} from '../cache/contract.ts';
import { withDeadline } from '../domain/with-deadline.ts';
import { systemClock } from '../domain/clock.ts';
import type { IdSource, TenantId } from '../domain/ids.ts';
import type { CommittedChange, OnChanges } from '../store/announce-changes.ts';
import type { ChangeSweep } from '../store/change-sweep.ts';
import { CONTEXTS_CHANNEL } from '../workers/contract.ts';
import { announcementOf, type Announcement } from './cache-announcement.ts';
import { createCacheCounts, measureLayers } from './cache-counts.ts';
import { createCacheNet, type CacheNet } from './cache-net.ts';
import type { Config } from './config.ts';
import type { Metrics } from './metrics/metrics.ts';
import { connectRedis, type RedisConnection } from './redis.ts';
import { listenToRedis } from './redis-listener.ts';

/** How long memory keeps a context, ms. */
const MEMORY_LIFE_MS = 300_000;
/** Contexts whose answers are larger are not kept. */
const MAX_KEPT_BYTES = 1_048_576;
const REFRESH_AHEAD = 0.8;
/** Longest a write waits until its announcement is out, ms; then it is sent without waiting. */
const ANNOUNCE_MS = 250;
const ANNOUNCE_REST_MS = 1_000;
/** Changes told by name in one announcement; of more, others look into the feed. */
const MAX_TOLD = 500;
/** Announcements remembered, so that the net does not repeat them. */
const MAX_HEARD = 50_000;
const MARK_DEADLINE_MS = 250;
const READY_TRIES = 100;
const READY_PAUSE_MS = 50;

export interface CachingDeps {
  readonly config: Config;
  /** For announcements. */
  readonly bus: RedisConnection;
  readonly redisUrl: string;
  readonly metrics: Metrics;
  readonly newId: IdSource;
  readonly log: Logger;
}

export interface Caching {
  /** Of no use before {@link Caching.follow}: it passes every read on. */
  readonly contexts: ContextCache;
  /** To be told of every commit. */
  readonly onChanges: OnChanges;
  /** Begins to hear of changes by others, and to keep contexts. */
  follow(sweep: ChangeSweep): {
    /** Resolves once it keeps contexts, in every layer that can be had, or when aborted. */
    ready(signal: AbortSignal): Promise<void>;
    stop(): Promise<void>;
  };
  readonly hot: HotContexts;
  close(): void;
}

/** The keys (of the cache) that are read most of late. */
export interface HotContexts {
  /** Those of this process. */
  now(most: number): readonly string[];
  save(keys: readonly string[]): Promise<void>;
  load(): Promise<readonly string[]>;
}

export function createCaching(deps: CachingDeps): Caching {
  const { config, bus, metrics, newId, log } = deps;
  const parts = createParts(deps);
  const { redis, near, raw, shared, table, cache, prefix } = parts;
  const heard = new LRUCache<string, number>({ max: MAX_HEARD });
  const channel = contextsChannelOf(config);
  const self = newId();
  const restsUntil = { announcing: 0 };
  const count = (event: string, many = 1): void => metrics.families.cacheBus.inc({ event }, many);

  const contexts = createContextCache({ cache, isOn: () => parts.net?.isSeeing() ?? false });
  measureLayers(metrics, { near, shared });

  /** Resolves when the message has left Redis for all who listen. */
  async function send(message: Announcement): Promise<void> {
    const listeners = await bus.publish(channel, JSON.stringify(message));
    // Redis may answer us before it writes to them; what it answers next comes after that.
    if (listeners > 1) await bus.ping();
  }

  async function announce(message: Announcement): Promise<void> {
    const sent = send(message);
    if (performance.now() < restsUntil.announcing) {
      sent.catch(() => count('unsent'));
      return;
    }
    try {
      await withDeadline(sent, ANNOUNCE_MS);
      count('sent');
    } catch {
      restsUntil.announcing = performance.now() + ANNOUNCE_REST_MS;
      count('unsent');
    }
  }

  function hear(text: string): void {
    const message = announcementOf(text);
    if (!message || message.from === self) return;
    count('heard');
    const { tenant, changes } = message;
    if (changes === null) return parts.net?.look();
    const keys = changes.map(({ key }) => key);
    if (!message.isClean) return void contexts.changed(tenant, keys);
    contexts.heard(tenant, keys);
    remember(tenant, changes);
  }

  function forgetting<Args extends unknown[]>(
    forget: (...args: Args) => Promise<void>,
  ): (...args: Args) => Promise<void> {
    return async (...args) => {
      heard.clear();
      await forget(...args);
    };
  }

  function remember(tenant: TenantId, changes: readonly CommittedChange[]): void {
    for (const { key, version } of changes) heard.set(contextCacheKey({ tenant, key }), version);
  }

  return {
    contexts,
    async onChanges(tenant, changes, isCommitted) {
      const newest = newestOf(changes);
      await contexts.changed(
        tenant,
        newest.map(({ key }) => key),
      );
      // What Redis did not take is deleted there before it is read again, here; others do it, too. What
      // may be committed later is remembered nowhere: the net is to find it.
      const isClean = isCommitted && !shared.isOpen();
      if (isClean) remember(tenant, newest);
      const told = newest.length > MAX_TOLD ? null : newest;
      await announce({ from: self, tenant, changes: told, isClean });
    },
    follow(sweep) {
      const net = createCacheNet({
        sweep,
        contexts: {
          changed: contexts.changed,
          // Versions may begin anew under these names.
          forgetTenant: forgetting(contexts.forgetTenant),
          forgetAll: forgetting(contexts.forgetAll),
        },
        isHeard: (change) => (heard.get(contextCacheKey(change)) ?? 0) >= change.version,
        onUnheard(changes) {
          count('gap', changes.length);
          if (shared.isOpen()) return;
          for (const { tenant, ...change } of changes) remember(tenant, [change]);
        },
        shared: {
          isOpen: shared.isOpen,
          deleteAll: async (changes) => raw.deleteMany(changes.map(contextCacheKey)),
          forgetAll: () => table.bump([ALL_CONTEXTS]),
          loadMark: () => withDeadline(redis.get(`${prefix}mark`), MARK_DEADLINE_MS),
          async saveMark(mark) {
            await withDeadline(redis.set(`${prefix}mark`, mark), MARK_DEADLINE_MS);
          },
        },
        log,
      });
      parts.net = net;
      const listener = listenToRedis({
        url: deps.redisUrl,
        channel,
        onMessage: hear,
        // What was said while nobody listened is in the feed.
        onListening: () => net.look(),
        log,
      });
      shared.distrust({ probeAfterMs: 0 });
      return {
        async ready(signal) {
          for (let tries = 0; tries < READY_TRIES && !signal.aborted; tries += 1) {
            if (net.isSeeing() && !shared.isOpen()) return;
            await delay(READY_PAUSE_MS, undefined, { signal }).catch(() => undefined);
          }
        },
        async stop() {
          listener.stop();
          await net.stop();
        },
      };
    },
    hot: {
      now: near.hottest,
      async save(keys) {
        await withDeadline(redis.set(`${prefix}hot`, JSON.stringify(keys)), MARK_DEADLINE_MS);
      },
      async load() {
        const text = await withDeadline(redis.get(`${prefix}hot`), MARK_DEADLINE_MS);
        return text === null ? [] : (JSON.parse(text) as readonly string[]);
      },
    },
    close() {
      shared.stop();
      redis.disconnect();
    },
  };
}

function createParts({ config, redisUrl, metrics, newId, log }: CachingDeps) {
  const { lifeMs, isAggressive, memoryBytes, url } = config.cache;
  const { now } = systemClock;
  const prefix = `${config.redis.prefix}:cache:`;
  const redis = connectRedis(url?.reveal() ?? redisUrl, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
  });
  redis.on('error', (error: Error) => log.debug({ error: error.message }, 'Redis cache'));
  const near = createMemoryLayer({
    name: 'l1',
    lifeMs: isAggressive ? lifeMs : Math.min(lifeMs, MEMORY_LIFE_MS),
    maxBytes: memoryBytes,
  });
  const raw = createRedisLayer({ name: 'l2', lifeMs, redis, prefix: `${prefix}c:`, now, newId });
  const store = createRedisTags({ redis, prefix: `${prefix}t:`, newId });
  // The net hears of changes when Redis is out, so memory may go on.
  const table = createTagTable({ store, now, newId, isTrusting: true });
  const parts = { redis, near, raw, table, prefix, net: null as CacheNet | null };
  const shared = guardLayer(raw, {
    random: Math.random,
    async recover(hasForgotten) {
      if (parts.net) await parts.net.recover(hasForgotten);
      else if (hasForgotten) await table.bump([ALL_CONTEXTS]);
    },
    onChange: (isOpen) => log.debug({ isOpen }, 'the cache in Redis is skipped, or read again'),
  });
  redis.on('close', () => shared.distrust());
  // A cluster's node went away; the one in its place may lack its newest writes.
  redis.on('-node', () => shared.distrust({ hasForgotten: true }));
  const cache = createCache({
    layers: [near, shared],
    tags: table,
    tagsOf: contextTags,
    maxBytes: MAX_KEPT_BYTES,
    refreshAhead: isAggressive ? REFRESH_AHEAD : null,
    counts: createCacheCounts(metrics),
    now,
    random: Math.random,
  });
  return Object.assign(parts, { shared, cache });
}

/** The Redis channel on which processes of this installation tell which contexts they changed. */
function contextsChannelOf(config: Config): string {
  return `${config.redis.prefix}:${CONTEXTS_CHANNEL}`;
}

/** Each key once. */
function newestOf(changes: readonly CommittedChange[]): readonly CommittedChange[] {
  const newest = new Map<string, CommittedChange>();
  for (const change of changes) newest.set(change.key, change);
  return [...newest.values()];
}
