import { Router } from 'express';
import { request, type IncomingHttpHeaders } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ApiServer } from '../../../api/server.ts';
import type { Scope } from '../../../api/contract.ts';
import type { TenantId } from '../../../domain/ids.ts';
import { startTestApi, testApiDeps } from '../../support/api-under-test.ts';
import { createStoreDouble } from '../../support/store-double.ts';

const ROOT_KEY = 'sk_root:with-a-colon';
const SCOPES: Readonly<Record<string, readonly Scope[]>> = {
  [ROOT_KEY]: ['root'],
  sk_admin: ['admin'],
};
const MAX_GUESSES = 3;

let keyed: ApiServer;
let open: ApiServer;
/** What reached the page behind the door. */
let reached: string[];

beforeAll(async () => {
  const page = Router().use((req, res) => {
    reached.push(req.method);
    res.send('the page');
  });
  const extraRouters = [['/admin/queues', page]] as const;
  const lookup = async (key: string) => {
    const scopes = SCOPES[key];
    return scopes ? { tenant: 'default' as TenantId, name: key, scopes } : null;
  };
  const rateLimit = { enabled: true, max: 20 * MAX_GUESSES, windowMs: 60_000 };
  const limits = { maxContextBytes: 1_000, rateLimit };
  const start = (overrides: object): Promise<ApiServer> =>
    startTestApi(testApiDeps(createStoreDouble(), { extraRouters, ...overrides }));
  keyed = await start({ auth: { mode: 'keys', lookup }, limits, trustProxy: 1 });
  open = await start({});
});
beforeEach(() => (reached = []));
afterAll(() => Promise.all([keyed.stop(1000), open.stop(1000)]));

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly code: unknown;
}

/** Like a browser's request, which `fetch` would not let us shape. */
function ask(server: ApiServer, target: string, headers: object = {}): Promise<Answer> {
  const [method = 'GET', path = '/'] = target.split(' ');
  return new Promise((resolve, reject) => {
    const sent = request(server.url + path, { method, headers: { ...headers } }, (answer) => {
      let text = '';
      answer.on('data', (part: Buffer) => (text += part.toString()));
      answer.on('end', () => {
        const { code } = (text.startsWith('{') ? JSON.parse(text) : {}) as { code?: unknown };
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, code });
      });
    });
    sent.on('error', reject).end();
  });
}

function basic(key: string, user = 'anybody'): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:${key}`).toString('base64')}` };
}

describe('a page behind keys', () => {
  it('makes a browser ask for a key, and takes it as the password of any user', async () => {
    const first = await ask(keyed, 'GET /admin/queues');
    expect([first.status, first.code]).toEqual([401, 'UNAUTHENTICATED']);
    expect(first.headers['www-authenticate']).toMatch(
      /^Basic realm="[^"]+", charset="UTF-8", Bearer$/,
    );
    for (const user of ['', 'ann', 'älter'])
      expect((await ask(keyed, 'GET /admin/queues/a', basic(ROOT_KEY, user))).status).toBe(200);
    expect(reached).toEqual(['GET', 'GET', 'GET']);
  });

  it('takes the key as a bearer token as before', async () => {
    const bearer = { authorization: `Bearer ${ROOT_KEY}` };
    expect((await ask(keyed, 'GET /admin/queues', bearer)).status).toBe(200);
    expect((await ask(keyed, 'PUT /admin/queues/api', bearer)).status).toBe(200);
  });

  it('lets nobody in with a key without the scope `root`, and asks for no other one', async () => {
    const refused = await ask(keyed, 'GET /admin/queues', basic('sk_admin'));
    expect([refused.status, refused.code]).toEqual([403, 'FORBIDDEN']);
    expect(refused.headers['www-authenticate']).toBeUndefined();
    expect(reached).toEqual([]);
  });

  it('counts a wrong password as any wrong key, and asks again', async () => {
    const guess = (authorization: string) =>
      ask(keyed, 'GET /admin/queues', { authorization, 'x-forwarded-for': '203.0.113.7' });
    for (let count = 0; count < MAX_GUESSES; count += 1) {
      const wrong = await guess(basic(`wrong-${count}`).authorization);
      expect(wrong.status).toBe(401);
      expect(wrong.headers['www-authenticate']).toContain('Basic realm=');
    }
    const late = await guess(basic('wrong-again').authorization);
    expect([late.status, late.code]).toEqual([429, 'RATE_LIMITED']);
    expect(reached).toEqual([]);
  });

  it.each(['Basic', 'Basic ', 'Basic %%%', 'Basic Og==', 'Basic bm9jb2xvbg==', 'Digest x'])(
    'answers 401 to what is no password: %s',
    async (authorization) => {
      const headers = { authorization, 'x-forwarded-for': '203.0.113.8' };
      expect((await ask(keyed, 'GET /admin/queues', headers)).status).toBeOneOf([401, 429]);
      expect(reached).toEqual([]);
    },
  );
});

describe('a password a browser remembers', () => {
  it('opens nothing but the page', async () => {
    for (const target of ['GET /api/context/list', 'GET /metrics', 'GET /admin/queuesx']) {
      const headers = { ...basic(ROOT_KEY), 'x-forwarded-for': '203.0.113.9' };
      const { status, headers: answered } = await ask(keyed, target, headers);
      expect([target, status]).toEqual([target, target.endsWith('x') ? 404 : 401]);
      expect(answered['www-authenticate'] ?? '').not.toContain('Basic');
    }
  });

  const there = (): string => new URL(keyed.url).host;
  it.each([
    ['another site', () => ({ 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' })],
    ['another port', () => ({ 'sec-fetch-site': 'same-site', origin: 'http://127.0.0.1:1' })],
    ['a claim of Origin alone', () => ({ 'sec-fetch-site': 'none', origin: `http://${there()}` })],
    ['another site, over plain http', () => ({ origin: 'http://evil.example' })],
    ['another port, over plain http', () => ({ origin: 'http://127.0.0.1:1' })],
    ['a sandboxed page', () => ({ origin: 'null' })],
    ['nobody knows where', () => ({})],
  ])('changes nothing for %s', async (_who, from) => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const headers = { ...basic(ROOT_KEY), ...from() };
      const refused = await ask(keyed, `${method} /admin/queues/api/queues/pause`, headers);
      expect([refused.status, refused.code]).toEqual([403, 'ORIGIN_REFUSED']);
    }
    expect(reached).toEqual([]);
  });

  it('changes what the page itself asks for', async () => {
    const origin = `http://${there()}`;
    for (const from of [{ 'sec-fetch-site': 'same-origin', origin }, { origin }])
      expect(
        (await ask(keyed, 'PUT /admin/queues/x', { ...basic(ROOT_KEY), ...from })).status,
      ).toBe(200);
  });
});

describe('a page without keys', () => {
  it('is open to this machine, and changes nothing for a page of another port', async () => {
    expect((await ask(open, 'GET /admin/queues')).status).toBe(200);
    expect((await ask(open, 'PUT /admin/queues/x')).status).toBe(200);
    expect((await ask(open, 'PUT /admin/queues/x', { origin: open.url })).status).toBe(200);
    const other = await ask(open, 'PUT /admin/queues/x', { origin: 'http://localhost:1' });
    expect([other.status, other.code]).toEqual([403, 'ORIGIN_REFUSED']);
  });
});
