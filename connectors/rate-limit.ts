/**
 * One token bucket per tenant, remote host and credential, shared by all links of the process that
 * use it. Every call takes a token. A remote that answers "too many" is left alone for as long as it
 * asked, by every tenant. Short waits are waited out; a long one ends the pass, so that it holds up no worker.
 */
import { z } from 'zod';
import type { Clock } from '../domain/clock.ts';
import { AppError, retryAfterMsOf } from '../domain/errors.ts';
import { hashJson } from '../domain/hash.ts';
import type { TenantId } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';

/** Longest wait for a token inside a pass, ms; who would wait longer is refused. */
export const MAX_TOKEN_WAIT_MS = 5_000;
/** A pass makes a few calls: where tokens come too slowly to be waited for, it needs so many saved up. */
const MIN_SLOW_REQUESTS = 10;

/** For connector configs: at most `requests` calls in any `perMs` milliseconds, after a first burst. */
export const rateLimitSchema = z
  .strictObject({
    requests: z.int().min(1).max(1_000_000).describe('Calls allowed …'),
    perMs: z.int().min(1).max(86_400_000).describe('… in so many milliseconds.'),
  })
  .refine(
    ({ requests, perMs }) => requests >= MIN_SLOW_REQUESTS || perMs <= requests * MAX_TOKEN_WAIT_MS,
    `below one call in ${MAX_TOKEN_WAIT_MS} ms, \`requests\` must be at least ${MIN_SLOW_REQUESTS}, or no run could end`,
  )
  .describe(
    'How often this remote may be called, counted over all links of a tenant with one host and key.',
  );
export type RateLimit = z.infer<typeof rateLimitSchema>;

/** How long a remote is left alone that is busy and does not say for how long, ms. */
const UNTOLD_MS = 5_000;
/** Buckets remembered; beyond it those at rest are forgotten. */
const MAX_BUCKETS = 1_000;

export interface RateLimiterDeps {
  readonly clock: Clock;
  /** Ends early, by throwing, when the signal says so. */
  readonly wait: (ms: number, signal?: AbortSignal) => Promise<void>;
  readonly maxWaitMs?: number;
}

export interface TokenBucket {
  /**
   * Resolves when a call may be made; in the order of asking.
   * @throws AppError RATE_LIMITED (extra.retryAfterMs) when that takes too long; no token is spent
   */
  take(signal?: AbortSignal): Promise<void>;
  /** The remote asked to be left alone, by everybody who calls it, of whatever tenant. */
  hold(forMs: number): void;
}

export interface RateLimiter {
  /** A tenant's bucket for a remote; made with the limit at first, and given a changed one later. */
  bucket(tenant: TenantId, remote: string, limit: RateLimit | null): TokenBucket;
}

/** No bucket at first; one is made for each tenant and remote. */
export function createRateLimiter(deps: RateLimiterDeps): RateLimiter {
  const buckets = new Map<string, Bucket>();
  const holds = new Map<string, Hold>();

  function forgetThoseAtRest(): void {
    for (const [name, bucket] of buckets) if (bucket.isAtRest()) buckets.delete(name);
    const kept = new Set([...buckets.values()].map(({ shared }) => shared));
    for (const [remote, hold] of holds) {
      if (!kept.has(hold) && hold.untilMs <= deps.clock.now()) holds.delete(remote);
    }
  }

  return {
    bucket(tenant, remote, limit) {
      const name = `${tenant}/${remote}`;
      const known = buckets.get(name);
      if (known) {
        known.setLimit(limit);
        return known;
      }
      if (buckets.size >= MAX_BUCKETS) forgetThoseAtRest();
      const hold = holds.get(remote) ?? { untilMs: -Infinity };
      holds.set(remote, hold);
      const made = createBucket(deps, hold, limit);
      buckets.set(name, made);
      return made;
    },
  };
}

interface Bucket extends TokenBucket {
  readonly shared: Hold;
  setLimit(limit: RateLimit | null): void;
  /** Whether forgetting it changes nothing. */
  isAtRest(): boolean;
}

/** Until when a remote wants to be left alone; one for the buckets of all tenants. */
interface Hold {
  untilMs: number;
}

function createBucket(deps: RateLimiterDeps, shared: Hold, first: RateLimit | null): Bucket {
  const { clock, wait, maxWaitMs = MAX_TOKEN_WAIT_MS } = deps;
  let limit = first;
  // Below 0: tokens promised to calls that wait.
  let tokens = first?.requests ?? 0;
  let filledAt = clock.now();
  let knownHold = shared.untilMs;
  /** Until when tokens that come too slowly to be waited for are saved up. */
  let savesUntil = -Infinity;

  function refill(): void {
    const now = clock.now();
    if (shared.untilMs > knownHold) {
      // Afterwards nobody may come with the calls that were saved up meanwhile.
      knownHold = shared.untilMs;
      tokens = Math.min(tokens, 1);
      filledAt = Math.max(filledAt, knownHold);
    }
    if (!limit || now <= filledAt) return;
    const gained = ((now - filledAt) * limit.requests) / limit.perMs;
    tokens = Math.min(limit.requests, tokens + gained);
    filledAt = now;
  }

  function refuse(waitMs: number): AppError {
    const retryAfterMs = Math.ceil(waitMs);
    const message = `the remote may be called again in ${retryAfterMs} ms`;
    return new AppError('RATE_LIMITED', message, { retryable: true, extra: { retryAfterMs } });
  }

  const heldMs = (): number => Math.max(0, shared.untilMs - clock.now());

  /** Until the next token is ours, ms. */
  function turnMs(): number {
    if (!limit) return 0;
    const tokenMs = limit.perMs / limit.requests;
    // One token would be spent on the beginning of a pass that the next one refuses again.
    if (tokens < 1 && tokenMs > maxWaitMs)
      savesUntil = filledAt + (limit.requests - tokens) * tokenMs;
    return Math.max((1 - tokens) * tokenMs, savesUntil - clock.now(), 0);
  }

  /** Another call may have been told to wait while this one did. */
  async function waitOut(firstMs: number, signal?: AbortSignal): Promise<void> {
    for (let ms = firstMs; ms > 0; ms = heldMs()) {
      if (ms > maxWaitMs) throw refuse(ms);
      await wait(ms, signal);
    }
  }

  return {
    shared,
    async take(signal) {
      refill();
      const waitMs = Math.max(turnMs(), heldMs());
      if (waitMs > maxWaitMs) throw refuse(waitMs);
      if (limit) tokens -= 1;
      try {
        await waitOut(waitMs, signal);
      } catch (error) {
        if (limit) tokens += 1;
        throw error;
      }
    },
    hold(forMs) {
      refill();
      shared.untilMs = Math.max(shared.untilMs, clock.now() + forMs);
      refill();
    },
    setLimit(next) {
      if (next?.requests === limit?.requests && next?.perMs === limit?.perMs) return;
      refill();
      tokens = Math.min(tokens, next?.requests ?? 0);
      savesUntil = -Infinity;
      limit = next;
    },
    isAtRest() {
      refill();
      return heldMs() === 0 && tokens >= (limit?.requests ?? 0);
    },
  };
}

/**
 * Makes a call under a bucket: takes a token first, and holds the bucket when the remote says that
 * it is busy. @throws AppError RATE_LIMITED with `extra.retryAfterMs`, what the call throws
 */
export async function callLimited<T>(
  bucket: TokenBucket,
  call: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  await bucket.take(signal);
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const told = retryAfterMsOf(error);
    if (told === null && error.code !== 'RATE_LIMITED') throw error;
    bucket.hold(told ?? UNTOLD_MS);
    if (told !== null) throw error;
    throw new AppError('RATE_LIMITED', error.message, {
      retryable: true,
      cause: error,
      extra: { ...error.extra, retryAfterMs: UNTOLD_MS },
    });
  }
}

/**
 * The wait an HTTP `Retry-After` header asks for, ms: seconds or a date (RFC 9110, 10.2.3). What is
 * missing or unreadable counts as a few seconds.
 */
export function retryAfterFrom(header: string | null, nowMs: number): number {
  const text = header?.trim() ?? '';
  if (/^\d+$/.test(text)) return Number(text) * 1_000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? UNTOLD_MS : Math.max(0, at - nowMs);
}

/**
 * Names the remote a config speaks to: host and credential of an address, else the config itself.
 * Credentials are references or end in the hash; the name gives none away.
 */
export function remoteNameOf(kind: string, config: unknown): string {
  const members = isRecord(config) ? config : {};
  const { url, headers, apiKey, token } = members;
  if (typeof url !== 'string' || !URL.canParse(url)) return `${kind}:${digest(members)}`;
  return `${new URL(url).host}:${digest({ headers, apiKey, token })}`;
}

/** The limit a config asks for; null where it names none. */
export function rateLimitOf(config: unknown): RateLimit | null {
  const given = isRecord(config) ? rateLimitSchema.safeParse(config['rateLimit']) : null;
  return given?.success ? given.data : null;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

const digest = (value: object): string => hashJson(JSON.parse(JSON.stringify(value)) as Json);
