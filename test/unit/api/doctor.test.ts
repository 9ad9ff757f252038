import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuthConfig } from '../../../api/ports.ts';
import type { ApiServer } from '../../../api/server.ts';
import type { TenantId } from '../../../domain/ids.ts';
import { HEALTHY, callApi, startTestApi, testApiDeps } from '../../support/api-under-test.ts';
import { createStoreDouble } from '../../support/store-double.ts';

const SCOPES: Readonly<Record<string, readonly ('read' | 'sync' | 'admin')[]>> = {
  reader: ['read'],
  syncer: ['read', 'sync'],
  admin: ['read', 'sync', 'admin'],
};
const auth: AuthConfig = {
  mode: 'keys',
  lookup: async (key) =>
    SCOPES[key] ? { tenant: 'default' as TenantId, name: key, scopes: SCOPES[key] } : null,
};

let open: ApiServer;
let guarded: ApiServer;
const asked: string[] = [];

beforeAll(async () => {
  const doctor = {
    examine: async () => {
      asked.push('examine');
      return HEALTHY;
    },
    repair: async () => {
      asked.push('repair');
      return HEALTHY;
    },
  };
  const store = createStoreDouble();
  open = await startTestApi(testApiDeps(store, { doctor }));
  guarded = await startTestApi(testApiDeps(store, { doctor, auth }));
  const body = {
    name: 'files',
    connector: 'files',
    config: { root: '/allowed' },
    scope: { prefix: 'p/' },
  };
  await callApi(open.url, 'POST /api/sync/links', { body });
});
afterAll(async () => {
  await open.stop(1000);
  await guarded.stop(1000);
});

const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

describe('the doctor', () => {
  it('examines, and repairs when it is told to', async () => {
    asked.length = 0;
    expect((await callApi(open.url, 'GET /api/sync/doctor')).body).toEqual(HEALTHY);
    expect((await callApi(open.url, 'POST /api/sync/doctor', { body: { fix: true } })).status).toBe(
      200,
    );
    expect(asked).toEqual(['examine', 'repair']);
  });

  it('wants scope `sync` to look and `admin` to repair', async () => {
    const status = async (key: string, target: string, more = {}): Promise<number> =>
      (await callApi(guarded.url, target, { ...as(key), ...more })).status;
    const fix = { body: { fix: true } };
    expect(await status('reader', 'GET /api/sync/doctor')).toBe(403);
    expect(await status('syncer', 'GET /api/sync/doctor')).toBe(200);
    expect(await status('syncer', 'POST /api/sync/doctor', fix)).toBe(403);
    expect(await status('admin', 'POST /api/sync/doctor', fix)).toBe(200);
    expect((await callApi(guarded.url, 'GET /api/sync/doctor')).status).toBe(401);
  });

  it.each([[{}], [{ fix: false }], [{ fix: 'yes' }], [{ fix: true, force: true }], [[]]])(
    'repairs nothing for the body %j',
    async (body) => {
      asked.length = 0;
      const answer = await callApi(open.url, 'POST /api/sync/doctor', { body });
      expect([answer.status, answer.body['code'], asked]).toEqual([400, 'VALIDATION', []]);
    },
  );

  it('refuses what it does not know in the query, and other methods', async () => {
    expect((await callApi(open.url, 'GET /api/sync/doctor?deep=1')).status).toBe(400);
    const other = await callApi(open.url, 'PUT /api/sync/doctor');
    expect([other.status, other.headers.get('allow')]).toEqual([405, 'GET, POST, HEAD, OPTIONS']);
  });
});

describe.each(['retry', 'release'])('quarantine/%s', (act) => {
  const call = (body: unknown, link = 'files') =>
    callApi(open.url, `POST /api/sync/links/${link}/quarantine/${act}`, { body });

  it('takes keys or all, and tells which keys are not set aside', async () => {
    expect((await call({ all: true })).body).toEqual({ count: 1, skipped: [] });
    expect((await call({ keys: ['p/bad', 'p/good'] })).body).toEqual({
      count: 1,
      skipped: ['p/good'],
    });
  });

  it.each([
    [{}],
    [{ all: false }],
    [{ keys: [] }],
    [{ keys: 'p/bad' }],
    [{ keys: ['p/bad'], all: true }],
    [{ keys: Array.from({ length: 1_001 }, (_, nth) => `p/${nth}`) }],
    [{ all: true, why: 'because' }],
  ])('refuses the body %j', async (body) => {
    expect(await call(body)).toMatchObject({ status: 400, body: { code: 'VALIDATION' } });
  });

  it('refuses keys that are none, and links that are not there', async () => {
    expect((await call({ keys: ['a\u0000'] })).body['code']).toBe('INVALID_KEY');
    expect((await call({ all: true }, 'nope')).body['code']).toBe('LINK_NOT_FOUND');
  });

  it('wants scope `sync`', async () => {
    const target = `POST /api/sync/links/files/quarantine/${act}`;
    const answer = await callApi(guarded.url, target, { body: { all: true }, ...as('reader') });
    expect(answer.status).toBe(403);
  });
});
