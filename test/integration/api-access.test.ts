import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CALLS, SCOPES, type Scope } from '../../api/contract.ts';
import { FRESH_MS } from '../../api/middleware/key-lookup.ts';
import { ContextClient, type SyncError } from '../../client/index.ts';
import { startTestApi, testApiDeps, type TestAnswer } from '../support/api-under-test.ts';
import { keysOn, startKeyedApi, type KeyedApi } from '../support/keyed-api.ts';

let api: KeyedApi;
let admin: string;
beforeAll(async () => {
  api = await startKeyedApi();
  admin = await api.keyFor('acme', ['admin']);
});
afterAll(() => api.stop());

const asAdmin = (target: string, body?: unknown): Promise<TestAnswer> =>
  api.call(admin, target, body === undefined ? {} : { body });
const asRoot = (target: string, body?: unknown): Promise<TestAnswer> =>
  api.call(api.rootKey, target, body === undefined ? {} : { body });
const codeOf = ({ status, body }: TestAnswer): unknown[] => [status, body['code']];
const itemsOf = ({ body }: TestAnswer) => body['items'] as Record<string, unknown>[];
const newName = (): string => `name-${randomUUID().slice(0, 8)}`;

describe('keys', () => {
  it('are made, used, listed without their secret, and revoked', async () => {
    const name = newName();
    const made = await asAdmin('POST /api/admin/keys', { name, scopes: ['write', 'read'] });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ tenant: 'acme', name, scopes: ['read', 'write'] });
    const key = String(made.body['key']);
    expect(key).toMatch(/^sk_[\w-]{43}$/);
    expect((await api.call(key, 'GET /api/context/list')).status).toBe(200);
    const listed = await asAdmin('GET /api/admin/keys');
    expect(itemsOf(listed).find((row) => row['name'] === name)).toMatchObject({
      prefix: key.slice(0, 10),
      lastUsedAt: expect.any(String) as string,
      revokedAt: null,
    });
    expect(listed.text).not.toContain(key);
    const revoked = await asAdmin(`DELETE /api/admin/keys/${name}`);
    expect(revoked.body).toMatchObject({ name, revokedAt: expect.any(String) as string });
    expect(codeOf(await asAdmin(`DELETE /api/admin/keys/${name}`))).toEqual([404, 'KEY_NOT_FOUND']);
    const all = itemsOf(await asAdmin('GET /api/admin/keys?revoked=true'));
    expect(all.map((row) => row['name'])).toContain(name);
  });

  it('open nothing within seconds of being revoked, in every process', async () => {
    const { under, clock } = api;
    const now = (): number => Date.now() + clock.offsetMs;
    const other = await startTestApi(testApiDeps(under.store, { auth: keysOn(under, { now }) }));
    const { body } = await asAdmin('POST /api/admin/keys', { name: newName(), scopes: ['read'] });
    const both = async (): Promise<number[]> => {
      const headers = { authorization: `Bearer ${String(body['key'])}` };
      const answers = [api.url, other.url].map((url) =>
        fetch(`${url}/api/context/list`, { headers }),
      );
      return (await Promise.all(answers)).map((answer) => answer.status);
    };
    expect(await both()).toEqual([200, 200]);
    await asAdmin(`DELETE /api/admin/keys/${String(body['id'])}`);
    clock.offsetMs += FRESH_MS;
    expect(await both()).toEqual([401, 401]);
    await other.stop(1000);
  });

  it('let a client begin, whatever their scopes; without a good one it does not', async () => {
    const begin = (apiKey?: string): Promise<unknown> => {
      const client = new ContextClient({ url: api.url, ...(apiKey !== undefined && { apiKey }) });
      return client.initialize().then(
        () => 'begun',
        (error: unknown) => (error as SyncError).code,
      );
    };
    for (const scope of SCOPES)
      expect([scope, await begin(await api.keyFor('acme', [scope]))]).toEqual([scope, 'begun']);
    expect(await begin()).toBe('UNAUTHENTICATED');
    expect(await begin('sk_wrong')).toBe('UNAUTHENTICATED');
    const { body } = await asAdmin('POST /api/admin/keys', { name: newName(), scopes: ['read'] });
    await asAdmin(`DELETE /api/admin/keys/${String(body['id'])}`);
    expect(await begin(String(body['key']))).toBe('UNAUTHENTICATED');
  });

  it('open nothing from the moment they expire, however fresh they are', async () => {
    const now = Date.now() + api.clock.offsetMs;
    const expiresAt = new Date(now + 60_000).toISOString();
    const asked = { name: newName(), scopes: ['read'], expiresAt };
    const { body } = await asAdmin('POST /api/admin/keys', asked);
    const list = (): Promise<TestAnswer> => api.call(String(body['key']), 'GET /api/context/list');
    api.clock.offsetMs += 59_000;
    expect((await list()).status).toBe(200);
    const [row] = await api.under.admin(
      'UPDATE api_keys SET expires_at = now() WHERE id = $1 RETURNING 1',
      [body['id']],
    );
    expect(row).toBeDefined();
    // The look-up before is still fresh; the moment it names is over.
    api.clock.offsetMs += 1_001;
    expect((await list()).status).toBe(401);
  });

  it('cannot make or revoke keys that may more than they may', async () => {
    for (const scopes of [['root'], ['read', 'root']]) {
      const answer = await asAdmin('POST /api/admin/keys', { name: newName(), scopes });
      expect(codeOf(answer)).toEqual([403, 'FORBIDDEN']);
    }
    const name = newName();
    await asRoot('POST /api/admin/keys', { name, scopes: ['root'], tenant: 'acme' });
    expect(codeOf(await asAdmin(`DELETE /api/admin/keys/${name}`))).toEqual([403, 'FORBIDDEN']);
    expect((await asRoot(`DELETE /api/admin/keys/${name}?tenant=acme`)).status).toBe(200);
    const writer = await api.keyFor('acme', ['read', 'write', 'sync']);
    const body = { name: newName(), scopes: ['read'] };
    const refused = await api.call(writer, 'POST /api/admin/keys', { body });
    expect(codeOf(refused)).toEqual([403, 'FORBIDDEN']);
  });

  it('are shown once: a replayed request gets the row, and the key is nowhere kept', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const body = { name: newName(), scopes: ['read'] };
    const first = await api.call(admin, 'POST /api/admin/keys', { headers, body });
    const again = await api.call(admin, 'POST /api/admin/keys', { headers, body });
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.body).toEqual({ ...first.body, key: null });
    const secret = String(first.body['key']).slice(10);
    const tables = await api.under.admin<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'context_system'::regnamespace AND relkind = 'r'`,
    );
    for (const { name } of tables) {
      const sql = `SELECT 1 FROM ${name} t WHERE t::text LIKE '%' || $1 || '%'`;
      expect(await api.under.admin(sql, [secret]), name).toEqual([]);
    }
  });

  it.each([
    ['no name', { scopes: ['read'] }, '/name'],
    ['a name with a slash', { name: 'a/b', scopes: ['read'] }, '/name'],
    ['a name as we give them', { name: 'root (configured)', scopes: ['read'] }, '/name'],
    ['too long a name', { name: 'x'.repeat(65), scopes: ['read'] }, '/name'],
    ['no scope', { name: 'a', scopes: [] }, '/scopes'],
    ['an unknown scope', { name: 'a', scopes: ['all'] }, '/scopes/0'],
    [
      'a past end',
      { name: 'a', scopes: ['read'], expiresAt: '2020-01-01T00:00:00Z' },
      '/expiresAt',
    ],
    ['an end that is no time', { name: 'a', scopes: ['read'], expiresAt: 'soon' }, '/expiresAt'],
    ['a bad tenant', { name: 'a', scopes: ['read'], tenant: 'A B' }, '/tenant'],
    ['an unknown field', { name: 'a', scopes: ['read'], secret: 'mine' }, '/secret'],
  ])('are refused with %s', async (_what, body, pointer) => {
    const answer = await asAdmin('POST /api/admin/keys', body);
    expect(answer.status).toBe(400);
    const errors = answer.body['errors'] as { pointer: string }[];
    expect(errors.map((error) => error.pointer)).toEqual([pointer]);
  });
});

describe('scopes', () => {
  const RANKS: Readonly<Record<Scope, readonly Scope[]>> = {
    read: ['read'],
    write: ['write'],
    sync: ['sync'],
    admin: ['read', 'write', 'sync', 'admin'],
    root: ['read', 'write', 'sync', 'admin', 'root'],
  };

  it('let a key do what they hold and nothing else, on every call there is', async () => {
    const keys = new Map<Scope, string>();
    for (const scope of Object.keys(RANKS) as Scope[]) {
      keys.set(scope, await api.keyFor('scoped', [scope]));
    }
    for (const call of CALLS.filter(
      (each) => each.scope !== null && !each.id.includes('changes'),
    )) {
      const path = call.path.replace(/\{\w+\}/g, 'nothing-of-that-name');
      for (const [scope, key] of keys) {
        const answer = await fetch(`${api.url}${path}?no-such-parameter=1`, {
          method: call.method.toUpperCase(),
          headers: { authorization: `Bearer ${key}` },
        });
        const may = [call.scope, call.orScope].some((one) => one && RANKS[scope].includes(one));
        expect([call.id, scope, answer.status === 403]).toEqual([call.id, scope, !may]);
      }
      const anonymous = await fetch(api.url + path, { method: call.method.toUpperCase() });
      expect([call.id, anonymous.status]).toEqual([call.id, 401]);
    }
  });
});

describe('a key that may only write', () => {
  it('takes part in a batch, but for its reads', async () => {
    const key = await api.keyFor('writes', ['write']);
    const send = (...operations: object[]): Promise<TestAnswer> =>
      api.call(key, 'POST /api/context/batch', { body: { operations } });
    const store = { op: 'store', key: 'b', data: 1 };
    expect((await send(store, { op: 'delete', key: 'b' })).status).toBe(200);
    expect(codeOf(await send(store, { op: 'get', key: 'b' }))).toEqual([403, 'FORBIDDEN']);
    const reader = await api.keyFor('writes', ['read']);
    const read = { body: { operations: [{ op: 'get', key: 'b' }, { op: 'get' }] } };
    expect((await api.call(reader, 'POST /api/context/batch', read)).status).toBe(200);
    const write = { body: { operations: [store] } };
    expect((await api.call(reader, 'POST /api/context/batch', write)).status).toBe(403);
  });
});

describe('a key for sync', () => {
  it('sees what it manages, and no contexts', async () => {
    const key = await api.keyFor('syncs', ['sync']);
    for (const path of ['links', 'connectors', 'conflicts']) {
      expect((await api.call(key, `GET /api/sync/${path}`)).status).toBe(200);
    }
    expect((await api.call(key, 'GET /api/context/list')).status).toBe(403);
    expect((await api.call(key, 'POST /api/context/search', { body: { query: 'a' } })).status).toBe(
      403,
    );
  });
});

describe('tenants', () => {
  it('are made, listed and removed by root alone', async () => {
    const id = newName();
    const body = { id, name: 'New' };
    for (const target of ['GET /api/admin/tenants', `DELETE /api/admin/tenants/${id}`]) {
      expect(codeOf(await asAdmin(target))).toEqual([403, 'FORBIDDEN']);
    }
    expect(codeOf(await asAdmin('POST /api/admin/tenants', body))).toEqual([403, 'FORBIDDEN']);
    expect((await asRoot('POST /api/admin/tenants', body)).status).toBe(201);
    expect(itemsOf(await asRoot('GET /api/admin/tenants')).map((row) => row['id'])).toContain(id);
    const removed = await asRoot(`DELETE /api/admin/tenants/${id}`);
    expect(removed.body).toEqual({ id, removed: true, rows: 0 });
    expect(codeOf(await asRoot(`DELETE /api/admin/tenants/${id}`))).toEqual([
      404,
      'TENANT_NOT_FOUND',
    ]);
  });

  it('with data go only by force, and their keys stop at once', async () => {
    const id = newName();
    const key = await api.keyFor(id, ['write', 'read']);
    await api.call(key, 'POST /api/context/store', { body: { key: 'a', data: 1 } });
    const refused = await asRoot(`DELETE /api/admin/tenants/${id}`);
    expect(codeOf(refused)).toEqual([409, 'TENANT_NOT_EMPTY']);
    expect((await api.call(key, 'GET /api/context/get/a')).status).toBe(200);
    const first = await asRoot(`DELETE /api/admin/tenants/${id}?force=true`);
    expect(first.body).toMatchObject({ id, removed: false });
    api.clock.offsetMs += FRESH_MS;
    expect((await api.call(key, 'GET /api/context/get/a')).status).toBe(401);
    const late = { name: 'late', scopes: ['read'], tenant: id };
    expect(codeOf(await asRoot('POST /api/admin/keys', late))).toEqual([404, 'TENANT_NOT_FOUND']);
    await api.under.admin(
      `UPDATE tenants SET removing_at = removing_at - interval '1 minute' WHERE id = $1`,
      [id],
    );
    const last = await asRoot(`DELETE /api/admin/tenants/${id}?force=true`);
    expect(last.body).toMatchObject({ id, removed: true });
  });

  it.each([
    ['POST /api/admin/tenants', { id: 'UPPER' }],
    ['POST /api/admin/tenants', { id: 'x'.repeat(64) }],
    ['POST /api/admin/tenants', { id: '' }],
    ['POST /api/admin/tenants', { id: 'a', more: 1 }],
    ['POST /api/admin/tenants', { id: 'default' }],
    ['DELETE /api/admin/tenants/default?force=true', undefined],
    ['DELETE /api/admin/tenants/acme?force=maybe', undefined],
    ['GET /api/admin/tenants?limit=0', undefined],
    ['GET /api/admin/audit?cursor=nonsense', undefined],
    ['GET /api/admin/audit?limit=1001', undefined],
    ['GET /api/admin/keys?revoked=1', undefined],
  ])('refuse what makes no sense: %s %j', async (target, body) => {
    expect((await asRoot(target, body)).status).toBe(400);
  });
});

describe('the audit log', () => {
  it('tells who changed what, page by page, by action and by actor', async () => {
    const boss = await api.keyFor('audited', ['admin']);
    const ask = (target: string, body?: unknown): Promise<TestAnswer> =>
      api.call(boss, target, body === undefined ? {} : { body });
    const made = await ask('POST /api/admin/keys', { name: 'first', scopes: ['read'] });
    const link = { name: 'l', connector: 'files', config: { root: '/allowed/a' } };
    await ask('POST /api/sync/links', { ...link, scope: { prefix: 'p/' } });
    await ask('PATCH /api/sync/links/l', { strategy: 'latest' });
    await ask('POST /api/sync/links/l/pause');
    await ask('POST /api/sync/links/l/resume');
    await ask('POST /api/sync/links/l/reset');
    await ask('DELETE /api/sync/links/l');
    await ask(`DELETE /api/admin/keys/${String(made.body['id'])}`);
    const actions = itemsOf(await ask('GET /api/admin/audit')).map((row) => row['action']);
    expect(actions).toEqual([
      'key.revoke',
      'link.remove',
      'link.reset',
      'link.resume',
      'link.pause',
      'link.patch',
      'link.create',
      'key.create',
      'key.create',
    ]);
    const links = itemsOf(await ask('GET /api/admin/audit?action=link'));
    expect(links.map((row) => row['detail'])).toEqual([
      { name: 'l' },
      {},
      {},
      {},
      { fields: ['strategy'] },
      { name: 'l', connector: 'files' },
    ]);
    const keys = itemsOf(await ask('GET /api/admin/audit?action=key'));
    expect(keys.map((row) => row['actor'])).toEqual([
      expect.stringMatching(/^key /) as string,
      expect.stringMatching(/^key /) as string,
      'default/root',
    ]);
    const byRoot = itemsOf(await ask('GET /api/admin/audit?actor=default%2Froot'));
    expect(byRoot).toHaveLength(1);
    expect(itemsOf(await ask('GET /api/admin/audit?action=key.revoke'))).toHaveLength(1);
    expect(itemsOf(await ask('GET /api/admin/audit?action=k'))).toEqual([]);
    const pages: unknown[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const from = cursor === '' ? '' : `&cursor=${cursor}`;
      const page: TestAnswer = await ask(`GET /api/admin/audit?limit=4${from}`);
      pages.push(...itemsOf(page).map((row) => row['action']));
      cursor = page.body['nextCursor'] as string | null;
    }
    expect(pages).toEqual(actions);
    const seenByRoot = await asRoot('GET /api/admin/audit?tenant=audited');
    expect(itemsOf(seenByRoot).map((row) => row['action'])).toEqual(actions);
  });

  it('holds no secret and no body', async () => {
    const body = { name: newName(), scopes: ['read'] };
    const made = await asAdmin('POST /api/admin/keys', body);
    const { text } = await asAdmin('GET /api/admin/audit');
    expect(text).toContain(body.name);
    expect(text).not.toContain(String(made.body['key']).slice(10));
  });
});
