import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  callLimited,
  createRateLimiter,
  rateLimitOf,
  remoteNameOf,
  retryAfterFrom,
  type RateLimit,
} from '../../../connectors/rate-limit.ts';
import { AppError } from '../../../domain/errors.ts';
import type { TenantId } from '../../../domain/ids.ts';

const OURS = 'ours' as TenantId;
const THEIRS = 'theirs' as TenantId;

/** A clock that moves when somebody waits, to the end of the wait. */
function timeline(maxWaitMs?: number) {
  const state = { now: 1_000_000, waited: [] as number[] };
  const limiter = createRateLimiter({
    clock: { now: () => state.now },
    wait: async (ms, signal) => {
      signal?.throwIfAborted();
      state.waited.push(ms);
      state.now += ms;
    },
    ...(maxWaitMs === undefined ? {} : { maxWaitMs }),
  });
  return { state, limiter };
}

const TEN_A_SECOND: RateLimit = { requests: 10, perMs: 1_000 };

async function faultOf(promise: Promise<unknown>): Promise<AppError> {
  const thrown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  if (thrown instanceof AppError) return thrown;
  throw new Error('no AppError was thrown');
}

describe('a token bucket', () => {
  it('lets a burst through, then one call per token', async () => {
    const { state, limiter } = timeline();
    const bucket = limiter.bucket(OURS, 'a', TEN_A_SECOND);
    for (let nth = 0; nth < 10; nth += 1) await bucket.take();
    expect(state.waited).toEqual([]);
    for (let nth = 0; nth < 3; nth += 1) await bucket.take();
    expect(state.waited.map(Math.round)).toEqual([100, 100, 100]);
  });

  it('never lets more through in any window than a burst and what the window earns', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 2_000 }),
        fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 80 }),
        async (requests, perMs, pauses) => {
          const { state, limiter } = timeline(1e9);
          const bucket = limiter.bucket(OURS, 'a', { requests, perMs });
          const calls: number[] = [];
          for (const pause of pauses) {
            state.now += pause;
            await bucket.take();
            calls.push(state.now);
          }
          calls.forEach((from, first) => {
            for (let last = first; last < calls.length; last += 1) {
              const earned = ((calls[last]! - from) * requests) / perMs;
              expect(last - first + 1).toBeLessThanOrEqual(requests + earned + 1e-3);
            }
          });
        },
      ),
    );
  });

  it('is one for all who use its name, and another for another name', async () => {
    const { state, limiter } = timeline();
    const limit = { requests: 1, perMs: 100 };
    await limiter.bucket(OURS, 'a', limit).take();
    await limiter.bucket(OURS, 'b', limit).take();
    expect(state.waited).toEqual([]);
    await limiter.bucket(OURS, 'a', limit).take();
    expect(state.waited).toEqual([100]);
  });

  it('does not keep a worker waiting for long: the pass ends and says when to come back', async () => {
    const { state, limiter } = timeline();
    const bucket = limiter.bucket(OURS, 'a', TEN_A_SECOND);
    bucket.hold(60_000);
    const fault = await faultOf(bucket.take());
    expect([fault.code, fault.retryable, fault.extra]).toEqual([
      'RATE_LIMITED',
      true,
      { retryAfterMs: 60_000 },
    ]);
    expect(state.waited).toEqual([]);
    state.now += 60_000;
    await bucket.take();
    // Nobody comes back with a saved-up burst.
    await bucket.take();
    expect(state.waited.map(Math.round)).toEqual([100]);
  });

  it('is not shared by tenants: nobody spends or sets the tokens of another', async () => {
    const { state, limiter } = timeline();
    const slow = { requests: 1, perMs: 4_000 };
    await limiter.bucket(OURS, 'a', slow).take();
    const theirs = limiter.bucket(THEIRS, 'a', TEN_A_SECOND);
    for (let nth = 0; nth < 10; nth += 1) await theirs.take();
    expect(state.waited).toEqual([]);
    await limiter.bucket(OURS, 'a', slow).take();
    expect(state.waited).toEqual([4_000]);
  });

  it('is held for every tenant by a remote that is busy, and none has a burst left after', async () => {
    const { state, limiter } = timeline();
    const theirs = limiter.bucket(THEIRS, 'a', TEN_A_SECOND);
    limiter.bucket(OURS, 'a', TEN_A_SECOND).hold(60_000);
    const fault = await faultOf(theirs.take());
    expect(fault.extra).toEqual({ retryAfterMs: 60_000 });
    await limiter.bucket(THEIRS, 'b', TEN_A_SECOND).take();
    state.now += 60_000;
    await theirs.take();
    await theirs.take();
    expect(state.waited.map(Math.round)).toEqual([100]);
  });

  it('never keeps a call waiting for longer than its bound, and books no token for one refused', async () => {
    const { state, limiter } = timeline();
    const bucket = limiter.bucket(OURS, 'a', { requests: 10, perMs: 3_600_000 });
    for (let nth = 0; nth < 10; nth += 1) await bucket.take();
    // Tokens that come so slowly are gathered, or each would be spent on the beginning of a pass.
    for (let nth = 0; nth < 3; nth += 1) {
      const fault = await faultOf(bucket.take());
      expect([fault.code, fault.extra]).toEqual(['RATE_LIMITED', { retryAfterMs: 3_600_000 }]);
    }
    state.now += 1_800_000;
    expect((await faultOf(bucket.take())).extra).toEqual({ retryAfterMs: 1_800_000 });
    state.now += 1_800_000;
    for (let nth = 0; nth < 10; nth += 1) await bucket.take();
    expect(state.waited).toEqual([]);
  });

  it('gives the token of a call back that is called off while it waits', async () => {
    const { state, limiter } = timeline();
    const bucket = limiter.bucket(OURS, 'a', { requests: 1, perMs: 1_000 });
    await bucket.take();
    await expect(bucket.take(AbortSignal.abort())).rejects.toThrow('aborted');
    await bucket.take();
    expect(state.waited).toEqual([1_000]);
  });

  it('has no limit that lets no pass come to its end', () => {
    const isAllowed = (requests: number, perMs: number): boolean =>
      rateLimitOf({ rateLimit: { requests, perMs } }) !== null;
    expect([isAllowed(1, 5_000), isAllowed(10, 86_400_000)]).toEqual([true, true]);
    expect([isAllowed(1, 5_001), isAllowed(9, 86_400_000)]).toEqual([false, false]);
  });

  it('a short wait asked for by the remote is waited out', async () => {
    const { state, limiter } = timeline();
    const bucket = limiter.bucket(OURS, 'a', null);
    bucket.hold(1_500);
    await bucket.take();
    expect(state.waited).toEqual([1_500]);
  });
});

describe('a call under a bucket', () => {
  const busy = (extra: Record<string, unknown>) => () =>
    Promise.reject(new AppError('RATE_LIMITED', 'busy', { retryable: true, extra }));

  it('that is told to come back later holds the bucket for everybody', async () => {
    const { limiter } = timeline();
    const bucket = limiter.bucket(OURS, 'a', null);
    const fault = await faultOf(callLimited(bucket, busy({ retryAfterMs: 30_000 })));
    expect(fault.extra).toEqual({ retryAfterMs: 30_000 });
    const next = await faultOf(
      callLimited(limiter.bucket(OURS, 'a', null), async () => 'never made'),
    );
    expect([next.code, next.extra]).toEqual(['RATE_LIMITED', { retryAfterMs: 30_000 }]);
  });

  it('that is not told for how long waits a few seconds', async () => {
    const { limiter } = timeline();
    const fault = await faultOf(callLimited(limiter.bucket(OURS, 'a', null), busy({})));
    expect(fault.extra).toEqual({ retryAfterMs: 5_000 });
  });

  it('passes every other error on as it is', async () => {
    const { limiter } = timeline();
    const bucket = limiter.bucket(OURS, 'a', null);
    const gone = new AppError('CONNECTOR_UNREACHABLE', 'gone');
    expect(await faultOf(callLimited(bucket, () => Promise.reject(gone)))).toBe(gone);
    await bucket.take();
  });
});

it('a Retry-After header may hold seconds or a date, and need not make sense', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  expect(retryAfterFrom('120', now)).toBe(120_000);
  expect(retryAfterFrom(' 0 ', now)).toBe(0);
  expect(retryAfterFrom('Thu, 01 Jan 2026 00:00:30 GMT', now)).toBe(30_000);
  expect(retryAfterFrom('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0);
  for (const senseless of [null, '', 'soon']) expect(retryAfterFrom(senseless, now)).toBe(5_000);
});

describe('the name of a remote', () => {
  const named = (config: unknown) => remoteNameOf('hub', config);

  it('is the same for one host and credential, whatever the path', () => {
    const apiKey = { env: 'KEY' };
    expect(named({ url: 'https://a.example/x', apiKey })).toBe(
      named({ url: 'https://A.example/y', apiKey, collection: 'c' }),
    );
    expect(named({ url: 'https://a.example/x', apiKey })).not.toBe(
      named({ url: 'https://a.example/x', apiKey: { env: 'OTHER' } }),
    );
    expect(named({ url: 'https://a.example', apiKey })).not.toBe(
      named({ url: 'https://b.example', apiKey }),
    );
  });

  it('of a local remote is its config, and shows no credential', () => {
    expect(named({ root: '/a' })).not.toBe(named({ root: '/b' }));
    const secret = 'sk_very_secret';
    expect(named({ url: 'https://a.example', apiKey: secret })).not.toContain(secret);
  });

  it('a limit is taken from the config only where it is one', () => {
    expect(rateLimitOf({ rateLimit: TEN_A_SECOND })).toEqual(TEN_A_SECOND);
    for (const config of [null, 'x', {}, { rateLimit: { requests: 0, perMs: 1 } }]) {
      expect(rateLimitOf(config)).toBeNull();
    }
  });
});
