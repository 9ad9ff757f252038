/**
 * Remembers which contexts are read most, and loads them when a process starts
 * (`production.caching.preload_hot_contexts`). The list lies in Redis, so that a restart finds it; the
 * API process that saved last speaks for all.
 */
import type { Logger } from 'pino';
import { cachedForm } from '../api/routes/get-context.ts';
import {
  contextCacheKey,
  contextOfCacheKey,
  type ContextCache,
  type ContextRef,
  type Loaded,
} from '../cache/contract.ts';
import { messageOf } from '../domain/errors.ts';
import { sideBySide } from '../domain/side-by-side.ts';
import type { ContextStore } from '../store/contract.ts';
import type { HotContexts } from './cache.ts';

const SAVE_EVERY_MS = 30_000;
const MAX_HOT = 1_000;
/** So fast contexts are loaded at most; the callers have the right of way. */
const PER_SECOND = 250;
/** Contexts read from Postgres at once. */
const AT_ONCE = 4;

export interface HotListDeps {
  readonly hot: HotContexts;
  readonly cache: Pick<ContextCache, 'warm'>;
  readonly contexts: Pick<ContextStore, 'get'>;
  /** Whether contexts are loaded now; else the list is only kept. */
  readonly isPreloaded: boolean;
  /** Resolves when the cache may be used. */
  readonly ready: (signal: AbortSignal) => Promise<void>;
  readonly log: Pick<Logger, 'info' | 'debug'>;
}

export interface HotList {
  /** When what was hot is loaded; tests wait for it. Never rejects. */
  readonly preloaded: Promise<void>;
  stop(): Promise<void>;
}

export function startHotList(deps: HotListDeps): HotList {
  const { hot, cache, contexts, log } = deps;
  const stopping = new AbortController();

  async function save(): Promise<void> {
    const keys = hot.now(MAX_HOT);
    if (keys.length === 0) return;
    await hot.save(keys).catch((error: unknown) => {
      log.debug({ error: messageOf(error) }, 'the list of hot contexts could not be kept');
    });
  }

  async function load(refs: readonly ContextRef[]): Promise<Map<string, Loaded>> {
    const loaded = new Map<string, Loaded>();
    await sideBySide(refs, AT_ONCE, async (ref) => {
      const context = await contexts.get({ tenant: ref.tenant, actor: null }, ref.key);
      if (context) loaded.set(contextCacheKey(ref), cachedForm(context));
    });
    return loaded;
  }

  async function preload(): Promise<void> {
    try {
      await deps.ready(stopping.signal);
      const refs = (await hot.load()).map(contextOfCacheKey);
      const options = { perSecond: PER_SECOND, signal: stopping.signal };
      const loaded = await cache.warm(refs, load, options);
      log.info({ hot: refs.length, loaded }, 'hot contexts are in the cache');
    } catch (error) {
      log.debug({ error: messageOf(error) }, 'hot contexts could not be loaded');
    }
  }

  const timer = setInterval(() => void save(), SAVE_EVERY_MS);
  timer.unref();
  const preloaded = deps.isPreloaded ? preload() : Promise.resolve();
  return {
    preloaded,
    async stop() {
      clearInterval(timer);
      stopping.abort();
      await preloaded;
      await save();
    },
  };
}
