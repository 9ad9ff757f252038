import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Scope } from '../../api/contract.ts';
import { ContextClient } from '../../client/index.ts';
import type { TenantId } from '../../domain/ids.ts';
import { runTestCli } from '../support/cli-under-test.ts';
import { callApi, type TestAnswer, type TestRequest } from '../support/api-under-test.ts';
import { encryptionWith, newMasterKey } from '../support/encryption.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

const ROTATE = 'POST /api/admin/encryption/rotate';
const ROTATION = 'GET /api/admin/encryption/rotation';
const STORE = 'POST /api/context/store';

/** A key of each scope, all of tenant `acme`. */
const lookup = async (key: string) =>
  ['read', 'write', 'sync', 'admin', 'root'].includes(key)
    ? { tenant: 'acme' as TenantId, name: key, scopes: [key as Scope] }
    : null;

let api: RealApi;
let locked: RealApi;
let plain: RealApi;
beforeAll(async () => {
  const encryption = encryptionWith(newMasterKey());
  api = await startRealApi({}, {}, { encryption });
  locked = await startRealApi({ auth: { mode: 'keys', lookup } }, {}, { encryption });
  plain = await startRealApi();
});
afterAll(async () => {
  await Promise.all([api.stop(), locked.stop(), plain.stop()]);
});

const call = (target: string, request?: TestRequest, on = api): Promise<TestAnswer> =>
  callApi(on.url, target, request);
const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
const sealed = (key: string, data: unknown) => ({
  body: { key, data, options: { encrypt: true } },
});

const cli = (...args: string[]) => runTestCli(args, { environment: { url: api.url } });

describe('encryption over the API', () => {
  it('is an option of store and update, shown in the envelope and in lists', async () => {
    const stored = await call(STORE, sealed('e/a', { x: 1 }));
    expect(stored).toMatchObject({ status: 201, body: { encrypted: true } });
    const updated = await call('PUT /api/context/update/e%2Fa', {
      body: { data: { y: 2 }, options: { changeType: 'merge' } },
    });
    expect(updated).toMatchObject({ status: 200, body: { encrypted: true, version: 2 } });
    const read = await call('GET /api/context/get/e%2Fa');
    expect(read.body).toMatchObject({ encrypted: true, data: { x: 1, y: 2 } });
    const listed = await call('GET /api/context/list?prefix=e%2Fa');
    expect(listed.body).toMatchObject({ items: [{ key: 'e/a', encrypted: true }] });
    const opened = await call('PUT /api/context/update/e%2Fa', {
      body: { data: 3, options: { encrypt: false } },
    });
    expect(opened.body).toMatchObject({ encrypted: false, version: 3 });
  });

  it.each([['yes'], [1], [null], [{}]])('takes nothing but true or false: %j', async (encrypt) => {
    const answer = await call(STORE, { body: { key: 'e/bad', data: 1, options: { encrypt } } });
    expect(answer).toMatchObject({ status: 400, body: { code: 'VALIDATION' } });
    expect(answer.body['errors']).toMatchObject([{ pointer: '/options/encrypt' }]);
  });

  it('without a master key is refused, and nothing is written', async () => {
    const answer = await call(STORE, sealed('e/none', 1), plain);
    expect(answer).toMatchObject({ status: 400, body: { code: 'ENCRYPTION_NOT_CONFIGURED' } });
    expect((await call('GET /api/context/get/e%2Fnone', {}, plain)).status).toBe(404);
    for (const target of [ROTATE, ROTATION]) {
      expect(await call(target, {}, plain)).toMatchObject({
        status: 400,
        body: { code: 'ENCRYPTION_NOT_CONFIGURED' },
      });
    }
  });

  it('answers a request sent twice from what was kept, which tells nothing of it', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const operations = [
      { op: 'store', key: 'e/kept', data: 'hush', options: { encrypt: true } },
      { op: 'get', key: 'e/kept' },
    ];
    const request = { headers, body: { operations } };
    const first = await call('POST /api/context/batch', request);
    expect(first.text).toContain('hush');
    const again = await call('POST /api/context/batch', request);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.text).toBe(first.text);
    const other = { headers, body: { operations: operations.slice(1) } };
    const refused = await call('POST /api/context/batch', other);
    expect(refused).toMatchObject({ status: 409, body: { code: 'IDEMPOTENCY_MISMATCH' } });
  });
});

describe('a rotation over the API', () => {
  it('begins, shows how far it is, and ends', async () => {
    await call(STORE, sealed('r/a', 1));
    const begun = await call(ROTATE, {});
    expect(begun.status).toBe(202);
    expect(begun.body).toMatchObject({ state: 'running', master: { keysToRewrap: 0 } });
    const client = new ContextClient({ url: api.url });
    const retiring = (await client.encryption.rotation()).retiring;
    expect(retiring[0]!.left).toBeGreaterThan(0);
    for (let isDone = false; !isDone;) {
      isDone = (await api.store.rotation.work('default' as TenantId, 100)).isDone;
    }
    expect(await client.encryption.rotation()).toMatchObject({ state: 'idle', retiring: [] });
    expect(await client.get('r/a')).toMatchObject({ data: 1 });
    client.close();
  });

  it('is asked for and shown by `syncline keys rotate`', async () => {
    await call(STORE, sealed('r/cli', 1));
    const begun = await cli('keys', 'rotate');
    expect([begun.code, begun.stderr]).toEqual([0, '']);
    expect(begun.stdout).toMatch(/^Current key [0-9a-f-]{36}, since /);
    expect(begun.stdout).toMatch(/Retiring [0-9a-f-]{36}: 0 of \d+ bodies are sealed anew\./);
    const { current } = await api.store.rotation.status('default' as TenantId);
    const shown = await cli('keys', 'rotate', '--status', '--json');
    expect(JSON.parse(shown.stdout)).toMatchObject({ state: 'running', current });
    const none = await cli('keys', 'rotate', '--tenant', 'no tenant');
    expect([none.code, none.stdout]).toEqual([1, '']);
    expect(await cli('keys', 'rotate', '--now')).toMatchObject({ code: 2 });
    expect((await cli('keys', 'rotate', '--help')).stdout).toContain('$ syncline keys rotate');
  });

  it.each([
    [ROTATE, { body: { now: true } }],
    [ROTATE, { body: { tenant: 'No Tenant' } }],
    [ROTATE, { body: [] }],
    [`${ROTATE}?tenant=default`, {}],
    [`${ROTATION}?key=1`, {}],
    [`${ROTATION}?tenant=`, {}],
  ])('refuses what it does not know: %s %j', async (target, request) => {
    const answer = await call(target, request);
    expect(answer).toMatchObject({ status: 400, body: { code: 'VALIDATION' } });
  });

  it.each(['read', 'write', 'sync'])('is not for the scope %s', async (scope) => {
    for (const target of [ROTATE, ROTATION]) {
      const answer = await call(target, as(scope), locked);
      expect(answer).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } });
    }
    expect((await call(ROTATE, {}, locked)).status).toBe(401);
  });

  it('is of the own tenant for an admin, and of any for root', async () => {
    const { store } = locked;
    await store.tenants.create(
      { tenant: 'default' as TenantId, actor: null },
      {
        id: 'other' as TenantId,
        name: 'Other',
      },
    );
    expect((await call(ROTATE, as('admin'), locked)).status).toBe(202);
    const other = { ...as('admin'), body: { tenant: 'other' } };
    expect(await call(ROTATE, other, locked)).toMatchObject({
      status: 404,
      body: { code: 'TENANT_NOT_FOUND' },
    });
    expect((await call(ROTATE, { ...other, ...as('root') }, locked)).status).toBe(202);
    const { items } = await store.auditLog.list('other' as TenantId, { limit: 5 });
    expect(items).toMatchObject([{ action: 'encryption.rotate', actor: 'acme/root' }]);
    expect((await store.auditLog.list('acme' as TenantId, { limit: 5 })).items).toHaveLength(1);
  });
});
