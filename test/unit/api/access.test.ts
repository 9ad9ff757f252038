import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ApiDeps, CallerOfKey, Scope } from '../../../api/contract.ts';
import { holds } from '../../../api/middleware/authenticate.ts';
import { createKeyDoor, LATE_LOOKUPS_PER_SECOND } from '../../../api/middleware/key-door.ts';
import { createKeyLookup, FRESH_MS } from '../../../api/middleware/key-lookup.ts';
import type { SharedCounts } from '../../../api/middleware/shared-counts.ts';
import type { TenantId } from '../../../domain/ids.ts';
import { AppError } from '../../../domain/errors.ts';
import {
  callApi,
  startTestApi,
  testApiDeps,
  type TestAnswer,
  type TestRequest,
} from '../../support/api-under-test.ts';
import { createStoreDouble } from '../../support/store-double.ts';

const OWNER = { tenant: 'acme' as TenantId, name: 'laptop', scopes: ['read'] as const };

/** Calls an API that is there for this one call. */
async function once(
  overrides: Partial<ApiDeps>,
  target: string,
  request?: TestRequest,
): Promise<TestAnswer> {
  const api = await startTestApi(testApiDeps(createStoreDouble(), overrides));
  try {
    return await callApi(api.url, target, request);
  } finally {
    await api.stop(1000);
  }
}

describe('scopes', () => {
  it('of root hold all, of admin all but root, of others themselves', () => {
    const all: readonly Scope[] = ['read', 'write', 'sync', 'admin', 'root'];
    const heldBy = (...scopes: Scope[]): Scope[] => all.filter((scope) => holds(scopes, scope));
    expect(heldBy()).toEqual([]);
    expect(heldBy('read')).toEqual(['read']);
    expect(heldBy('write')).toEqual(['write']);
    expect(heldBy('sync', 'read')).toEqual(['read', 'sync']);
    expect(heldBy('admin')).toEqual(['read', 'write', 'sync', 'admin']);
    expect(heldBy('root')).toEqual(all);
  });
});

describe('a look-up', () => {
  function counted(expiresAt: string | null = null) {
    const asked: string[] = [];
    const clock = { ms: 0 };
    const known = new Set(['good']);
    const lookup = createKeyLookup({
      clock: { now: () => clock.ms },
      async lookup(key) {
        asked.push(key);
        return known.has(key) ? { ...OWNER, expiresAt } : null;
      },
    });
    return { lookup, asked, clock, known };
  }

  it('is remembered for three seconds, and not a moment longer', async () => {
    const { lookup, asked, clock, known } = counted();
    expect(await lookup('good')).toEqual(OWNER);
    known.clear();
    clock.ms = FRESH_MS - 1;
    expect(await lookup('good')).toEqual(OWNER);
    expect(asked).toEqual(['good']);
    clock.ms = FRESH_MS;
    expect(await lookup('good')).toBeNull();
    expect(await lookup('good')).toBeNull();
    expect(asked).toHaveLength(3);
  });

  it('is remembered no longer than the key lives', async () => {
    const { lookup, asked, clock } = counted(new Date(1_000).toISOString());
    await lookup('good');
    clock.ms = 999;
    await lookup('good');
    expect(asked).toHaveLength(1);
    clock.ms = 1_000;
    await lookup('good');
    expect(asked).toHaveLength(2);
  });

  it('is made once for requests that come together, and again after a failure', async () => {
    let isOut = true;
    let count = 0;
    const lookup = createKeyLookup({
      clock: { now: () => 0 },
      async lookup() {
        count += 1;
        if (isOut) throw new AppError('UNAVAILABLE', 'out');
        return { ...OWNER, expiresAt: null };
      },
    });
    const together = await Promise.allSettled([lookup('good'), lookup('good')]);
    expect(together.map((one) => one.status)).toEqual(['rejected', 'rejected']);
    isOut = false;
    expect(await Promise.all([lookup('good'), lookup('good'), lookup('good')])).toEqual(
      Array(3).fill(OWNER),
    );
    expect(count).toBe(2);
  });

  it('of guesses pushes no key out and is not remembered', async () => {
    const { lookup, asked } = counted();
    await lookup('good');
    for (let nth = 0; nth < 20_000; nth += 1) await lookup(`guess-${nth}`);
    await lookup('good');
    expect(asked.filter((key) => key === 'good')).toHaveLength(1);
  });
});

describe('the door, past the wrong keys an address may try', () => {
  function guarded() {
    const looked: string[] = [];
    const clock = { ms: 5_000 };
    let wrong = 0;
    const counts = {
      get: async () => ({ totalHits: wrong, resetTime: new Date(900_000) }),
      increment: async () => ({ totalHits: (wrong += 1), resetTime: undefined }),
    } as unknown as SharedCounts;
    const { admit } = createKeyDoor({
      clock: { now: () => clock.ms },
      guesses: { counts, max: 3, windowMs: 900_000 },
      log: { warn: () => undefined },
      async lookup(key) {
        looked.push(key);
        return key.startsWith('good') ? OWNER : null;
      },
    });
    const outcome = (key: string, address = 'here'): Promise<string> =>
      admit(key, address).then(
        () => 'in',
        (error: unknown) => (error as AppError).code,
      );
    return { outcome, looked, clock, wrong: () => wrong };
  }

  it('looks a few keys up a second and refuses the others unseen; a right one gets in', async () => {
    const { outcome, looked, clock, wrong } = guarded();
    for (let nth = 0; nth < 3; nth += 1) {
      expect(await outcome(`guess-${nth}`)).toBe('UNAUTHENTICATED');
    }
    expect(await outcome('good-new')).toBe('in');
    for (let nth = 0; nth < 100; nth += 1) {
      expect(await outcome(`more-${nth}`)).toBe('RATE_LIMITED');
    }
    expect(looked).toHaveLength(3 + LATE_LOOKUPS_PER_SECOND);
    expect(wrong()).toBe(3);
    // The guesser has used up this second, but not for those who are known, nor for other addresses.
    expect(await outcome('good-late')).toBe('RATE_LIMITED');
    expect(await outcome('good-new')).toBe('in');
    expect(await outcome('good-late', 'elsewhere')).toBe('in');
    clock.ms += 1_000;
    expect(await outcome('good-late')).toBe('in');
  });
});

describe('a key in use', () => {
  afterEach(() => vi.useRealTimers());

  function door() {
    const live = new Map<string, CallerOfKey>([['good', OWNER]]);
    let asked = 0;
    let isOut = false;
    const keyDoor = createKeyDoor({
      clock: { now: () => 0 },
      guesses: null,
      log: { warn: () => undefined },
      async lookup(key) {
        asked += 1;
        if (isOut) throw new AppError('UNAVAILABLE', 'out');
        return live.get(key) ?? null;
      },
    });
    return { keyDoor, live, asked: () => asked, setOut: (out: boolean) => (isOut = out) };
  }

  it('is watched: who uses it hears once, seconds after it was revoked', async () => {
    vi.useFakeTimers();
    const { keyDoor, live, asked } = door();
    const heard: string[] = [];
    keyDoor.watch('good', () => heard.push('first'));
    keyDoor.watch('good', () => heard.push('second'));
    const stop = keyDoor.watch('good', () => heard.push('gone before'));
    stop();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(heard).toEqual([]);
    const looks = asked();
    expect(looks).toBeLessThanOrEqual(4);
    live.clear();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(heard).toEqual(['first', 'second']);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(heard).toHaveLength(2);
    expect(asked()).toBe(looks + 1);
  });

  it('stays in use while nobody can be asked about it', async () => {
    vi.useFakeTimers();
    const { keyDoor, live, setOut } = door();
    const heard: string[] = [];
    keyDoor.watch('good', () => heard.push('gone'));
    setOut(true);
    live.clear();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(heard).toEqual([]);
    setOut(false);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(heard).toEqual(['gone']);
  });

  it('whose look-up fails makes calls that need it 503, and no others', async () => {
    const auth: ApiDeps['auth'] = {
      mode: 'keys',
      lookup: async () => {
        throw new AppError('UNAVAILABLE', 'Postgres is out');
      },
    };
    const headers = { authorization: 'Bearer key' };
    const list = await once({ auth }, 'GET /api/context/list', { headers });
    expect([list.status, list.body['code']]).toEqual([503, 'UNAVAILABLE']);
    expect((await once({ auth }, 'GET /api/context/health', { headers })).status).toBe(200);
  });
});

describe('pages of other origins', () => {
  const APP = 'https://app.example.com';
  const keys: ApiDeps['auth'] = { mode: 'keys', lookup: async () => OWNER };
  const allowed: Partial<ApiDeps> = { auth: keys, corsOrigins: [APP] };
  const headersFor = (origin: string, method?: string): Record<string, string> => ({
    origin,
    authorization: 'Bearer good',
    ...(method === undefined
      ? {}
      : {
          'access-control-request-method': method,
          'access-control-request-headers': 'authorization,content-type,idempotency-key,if-match',
        }),
  });
  const corsOf = ({ headers }: TestAnswer): string[] =>
    [...headers.keys()].filter((name) => name.startsWith('access-control-'));

  it('get no word that they may call, by default and when they are not listed', async () => {
    for (const overrides of [{ auth: keys }, allowed]) {
      for (const origin of [
        'https://evil.example',
        `${APP}.evil.example`,
        'null',
        'http://app.example.com',
      ]) {
        const headers = headersFor(origin);
        const answer = await once(overrides, 'GET /api/context/list', { headers });
        expect(answer.headers.get('access-control-allow-origin')).toBeNull();
        const preflight = { headers: headersFor(origin, 'PUT') };
        const before = await once(overrides, 'OPTIONS /api/context/list', preflight);
        expect(before.headers.get('access-control-allow-origin')).toBeNull();
      }
    }
  });

  it('that are listed may call, read the headers that matter, and never send cookies', async () => {
    const answer = await once(allowed, 'GET /api/context/list', { headers: headersFor(APP) });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('access-control-allow-origin')).toBe(APP);
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull();
    expect(answer.headers.get('vary')).toMatch(/Origin/);
    const exposed = answer.headers.get('access-control-expose-headers')?.split(',');
    for (const name of ['ETag', 'Location', 'Retry-After', 'Idempotency-Replayed', 'X-Cache']) {
      expect(exposed).toContain(name);
    }
    expect(exposed).toContain('RateLimit-Remaining');
  });

  it('that are listed are told so by a preflight without a key, on every path', async () => {
    const { authorization: _none, ...headers } = headersFor(APP, 'DELETE');
    const answer = await once(allowed, 'OPTIONS /api/context/delete/a', { headers });
    expect(answer.status).toBe(204);
    expect(answer.headers.get('access-control-allow-methods')).toContain('DELETE');
    const named = answer.headers.get('access-control-allow-headers')?.split(',');
    expect(named).toEqual(
      expect.arrayContaining([
        'Authorization',
        'Content-Type',
        'Idempotency-Key',
        'If-Match',
        'If-None-Match',
        'Cache-Control',
      ]),
    );
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull();
  });

  it('that are listed can read errors, too', async () => {
    const headers = { origin: APP };
    const answer = await once(allowed, 'GET /api/context/list', { headers });
    expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([401, APP]);
  });

  it('leave a plain OPTIONS what it was, and say nothing to who names no origin', async () => {
    const plain = await once(allowed, 'OPTIONS /api/context/list', { headers: { origin: APP } });
    expect([plain.status, plain.headers.get('allow')]).toEqual([204, 'GET, HEAD, OPTIONS']);
    const program = await once(allowed, 'GET /api/context/list', {
      headers: { authorization: 'Bearer good' },
    });
    expect(corsOf(program)).toEqual([]);
  });
});

describe('every answer', () => {
  it.each(['/api/context/list', '/api/context/docs', '/metrics', '/', '/nowhere'])(
    'of %s has the headers that keep browsers out of trouble',
    async (path) => {
      const { headers } = await once({}, `GET ${path}`);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toBe('SAMEORIGIN');
      expect(headers.get('content-security-policy')).toMatch(/default-src 'none'/);
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('x-powered-by')).toBeNull();
    },
  );
});

describe('callers behind a proxy', () => {
  const limits: ApiDeps['limits'] = {
    maxContextBytes: 1024,
    rateLimit: { enabled: true, max: 1, windowMs: 60_000 },
  };
  const auth: ApiDeps['auth'] = { mode: 'keys', lookup: async () => OWNER };

  /** Statuses of three callers without a key, as `X-Forwarded-For` names them. */
  async function statuses(trustProxy: ApiDeps['trustProxy'], from: readonly string[]) {
    const trust = trustProxy === undefined ? {} : { trustProxy };
    const api = await startTestApi(testApiDeps(createStoreDouble(), { limits, auth, ...trust }));
    const found: number[] = [];
    for (const address of from) {
      const headers = { 'x-forwarded-for': address };
      found.push((await callApi(api.url, 'GET /api/context/list', { headers })).status);
    }
    await api.stop(1000);
    return found;
  }

  it('are one caller while the proxy is not trusted, whatever they claim', async () => {
    expect(await statuses(undefined, ['203.0.113.1', '203.0.113.2'])).toEqual([401, 429]);
  });

  it('are told apart by a proxy that is trusted', async () => {
    for (const trust of [1, ['loopback'], ['127.0.0.0/8']]) {
      expect(await statuses(trust, ['203.0.113.1', '203.0.113.2', '203.0.113.1'])).toEqual([
        401, 401, 429,
      ]);
    }
  });

  it('cannot choose their address: only what the trusted proxy added counts', async () => {
    const claimed = ['198.51.100.1, 203.0.113.9', '198.51.100.2, 203.0.113.9'];
    expect(await statuses(1, claimed)).toEqual([401, 429]);
  });
});
