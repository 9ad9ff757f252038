/**
 * Counts that several processes share through Redis, and that go on in this process when Redis is
 * out or hangs: a limit must never take the API down, nor slow it. A request waits for Redis for
 * {@link DEADLINE_MS} at most; after a failure none does until Redis has answered again, which is
 * found out beside the requests.
 */
import {
  MemoryStore,
  type ClientRateLimitInfo,
  type Options,
  type Store,
} from 'express-rate-limit';
import { RedisStore, type RedisReply } from 'rate-limit-redis';
import type { Clock } from '../../domain/clock.ts';
import { withDeadline } from '../../domain/with-deadline.ts';

export interface SharedCountsDeps {
  /** Sends Redis one command; null: there is no Redis, every process counts alone. */
  readonly send: ((...command: string[]) => Promise<unknown>) | null;
  /** Of the keys in Redis: one per installation and limit. */
  readonly prefix: string;
  readonly windowMs: number;
  readonly clock: Clock;
  /** Told when counting moves to this process, and back. */
  readonly onMoved: (to: 'this process' | 'redis') => void;
}

/** The counts, as express-rate-limit wants them; no call ever rejects. */
export interface SharedCounts extends Store {
  get(key: string): Promise<ClientRateLimitInfo | undefined>;
  increment(key: string): Promise<ClientRateLimitInfo>;
}

/** Longest a request waits for Redis. */
export const DEADLINE_MS = 50;
/** Between two tries to reach a Redis that failed. */
const REST_MS = 1_000;
const TRY_MS = 1_000;

export function createSharedCounts(deps: SharedCountsDeps): SharedCounts {
  const { send, clock, onMoved } = deps;
  // The library's stores read nothing of the options but the window.
  const options = { windowMs: deps.windowMs } as Options;
  const here = new MemoryStore();
  here.init(options);
  const there =
    send &&
    new RedisStore({
      prefix: deps.prefix,
      sendCommand: async (...command) => (await send(...command)) as RedisReply,
    });
  let state: 'up' | 'down' | 'trying' = 'down';
  let tryAtMs = 0;
  const isUp = (): boolean => state === 'up';

  async function tryRedis(deadlineMs: number): Promise<void> {
    if (!there || state !== 'down' || clock.now() < tryAtMs) return;
    state = 'trying';
    try {
      await withDeadline(there.init(options), deadlineMs);
      state = 'up';
      onMoved('redis');
    } catch {
      state = 'down';
      tryAtMs = clock.now() + REST_MS;
    }
  }

  /** What Redis answers in time; else, and while it is out, what is known here. */
  async function ask<T>(remote: (store: RedisStore) => Promise<T>, local: T): Promise<T> {
    await first;
    if (!there || !isUp()) {
      void tryRedis(TRY_MS);
      return local;
    }
    try {
      return await withDeadline(remote(there), DEADLINE_MS);
    } catch {
      // Of many requests that failed together, one tells.
      if (isUp()) onMoved('this process');
      state = 'down';
      tryAtMs = clock.now() + REST_MS;
      return local;
    }
  }

  const first = withDeadline(tryRedis(TRY_MS), DEADLINE_MS).catch(() => undefined);
  return {
    // Counted here too, so that a limit does not begin anew when Redis goes.
    increment: async (key) => ask((store) => store.increment(key), await here.increment(key)),
    get: async (key) => ask((store) => knownHits(store, key), await here.get(key)),
    async decrement(key) {
      await here.decrement(key);
      await ask((store) => store.decrement(key), undefined);
    },
    async resetKey(key) {
      await here.resetKey(key);
      await ask((store) => store.resetKey(key), undefined);
    },
    shutdown: () => here.shutdown(),
  };
}

/** The library says NaN of a key that Redis does not have. */
async function knownHits(store: RedisStore, key: string): Promise<ClientRateLimitInfo | undefined> {
  const found = await store.get(key);
  return found && Number.isFinite(found.totalHits) ? found : undefined;
}
