import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Context, ContextOptions } from '../../../domain/context.ts';
import { hashJson } from '../../../domain/hash.ts';
import type { Json } from '../../../domain/json.ts';
import type { FullStore } from '../../../store/create-store.ts';
import { encryptionWith, newMasterKey } from '../../support/encryption.ts';
import { CALLER } from '../../support/engine.ts';
import { asKey, codeOf, openStore, otherStore, type StoreUnderTest } from './store-under-test.ts';

const MASTER = newMasterKey();
const SECRET: Json = { word: 'the canary sings at dawn', list: [1, -0, 'é', { deep: null }] };

let under: StoreUnderTest;
let store: FullStore;
beforeAll(async () => {
  under = await openStore({ encryption: encryptionWith(MASTER) });
  store = under.store;
});
afterAll(() => under.close());

function seal(key: string, data: Json = SECRET, options: ContextOptions = {}) {
  const all = { ttl: null, encrypt: true, ...options };
  return store.contexts.store(CALLER, { key: asKey(key), data, options: all });
}

function update(
  key: string,
  data: Json,
  options: ContextOptions = {},
  changeType: 'replace' | 'merge' | 'append' = 'replace',
) {
  return store.contexts.update(CALLER, { key: asKey(key), data, changeType, options });
}

const read = (key: string, version?: number): Promise<Context | null> =>
  store.contexts.get(CALLER, asKey(key), version);

/** What the database holds of one context's body. */
async function blobOf(key: string) {
  const [row] = await under.admin<{
    hash: string;
    body: Buffer;
    key_id: string | null;
    sealed_for: string | null;
  }>(
    `SELECT encode(b.hash, 'hex') AS hash, b.body, b.key_id, b.sealed_for
     FROM contexts c JOIN blobs b ON b.tenant_id = c.tenant_id AND b.hash = c.hash WHERE c.key = $1`,
    [key],
  );
  return row!;
}

describe('an encrypted context', () => {
  it('comes back equal, says that it is encrypted, and is stored sealed', async () => {
    const { envelope } = await seal('e/round');
    expect(envelope).toMatchObject({ encrypted: true, version: 1 });
    const context = await read('e/round');
    expect(context).toMatchObject({ encrypted: true, hash: envelope.hash, data: SECRET });
    const blob = await blobOf('e/round');
    expect(blob.key_id).not.toBeNull();
    expect(blob.sealed_for).toBe('e/round');
    expect(blob.body.includes('canary')).toBe(false);
  });

  it('comes back equal when it is large, compressed or not', async () => {
    const large = { text: 'all work and no play '.repeat(2_000) };
    for (const compress of [true, false, undefined]) {
      const { envelope } = await seal(`e/large-${compress}`, large, { compress });
      expect(envelope).toMatchObject({ encrypted: true, compressed: compress !== false });
      expect((await read(`e/large-${compress}`))?.data).toEqual(large);
    }
    // Compressed first: what is sealed no longer shrinks.
    expect((await blobOf('e/large-true')).body.length).toBeLessThan(2_000);
  });

  it('has a hash that tells nothing: not of equal bodies elsewhere, and not of guesses', async () => {
    const { envelope: one } = await seal('e/same-1');
    const { envelope: two } = await seal('e/same-2');
    expect(one.hash).not.toBe(two.hash);
    expect([one.hash, two.hash]).not.toContain(hashJson(SECRET));
    // Equal bodies of one context share their name, so that a version is cheap.
    expect((await seal('e/same-1')).envelope).toMatchObject({ hash: one.hash, version: 2 });
  });

  it('stays encrypted through merge, append, store and rollback, until an update says otherwise', async () => {
    await seal('e/life', { a: 1, list: [1] });
    expect((await update('e/life', { b: 2 }, {}, 'merge')).encrypted).toBe(true);
    expect((await read('e/life'))?.data).toEqual({ a: 1, b: 2, list: [1] });
    expect((await update('e/life', { list: [2] }, {}, 'append')).encrypted).toBe(true);
    expect((await read('e/life'))?.data).toEqual({ a: 1, b: 2, list: [1, 2] });
    const stored = await store.contexts.store(CALLER, {
      key: asKey('e/life'),
      data: { c: 3 },
      options: { ttl: null },
    });
    expect(stored.envelope.encrypted).toBe(true);
    const rollback = { key: asKey('e/life'), version: 2 };
    expect((await store.contexts.rollback(CALLER, rollback)).encrypted).toBe(true);
    expect((await read('e/life'))?.data).toEqual({ a: 1, b: 2, list: [1] });

    const opened = await update('e/life', { d: 4 }, { encrypt: false }, 'merge');
    expect(opened).toMatchObject({
      encrypted: false,
      hash: hashJson({ a: 1, b: 2, d: 4, list: [1] }),
    });
    expect((await read('e/life'))?.data).toEqual({ a: 1, b: 2, d: 4, list: [1] });
    // Its history is as it was.
    expect(await read('e/life', 3)).toMatchObject({ encrypted: true, data: { list: [1, 2] } });
  });

  it('tells the difference of two of its versions to those who may read them', async () => {
    await seal('e/diff', { a: 1 });
    await update('e/diff', { a: 2 });
    const diff = await store.contexts.diff(CALLER, { key: asKey('e/diff'), from: 1, to: 2 });
    expect(diff.patch).toEqual([{ op: 'replace', path: '/a', value: 2 }]);
  });

  it('is made in a batch like anywhere else', async () => {
    const operation = (key: string, encrypt: boolean | undefined) =>
      ({ op: 'store', key: asKey(key), data: SECRET, options: { ttl: null, encrypt } }) as const;
    await store.contexts.batch(CALLER, {
      atomic: true,
      operations: [operation('e/batch-1', true), operation('e/batch-2', undefined)],
    });
    expect(await read('e/batch-1')).toMatchObject({ encrypted: true, data: SECRET });
    expect(await read('e/batch-2')).toMatchObject({ encrypted: false, data: SECRET });
  });

  it('is what every new context becomes where the server says so, but for those that ask not to', async () => {
    const other = otherStore(under, { encryption: encryptionWith(MASTER, { isDefault: true }) });
    const put = (key: string, encrypt?: boolean) =>
      other.contexts.store(CALLER, { key: asKey(key), data: 1, options: { ttl: null, encrypt } });
    expect((await put('e/default')).envelope.encrypted).toBe(true);
    expect((await put('e/default-not', false)).envelope.encrypted).toBe(false);
    expect(await read('e/default')).toMatchObject({ data: 1 });
  });

  it('survives that many write the first one of a tenant at once: there is one key each', async () => {
    const caller = await under.addTenant('crowd');
    const keys = Array.from({ length: 12 }, (_, nth) => asKey(`c/${nth}`));
    const options = { ttl: null, encrypt: true };
    await Promise.all(
      keys.map((key) => store.contexts.store(caller, { key, data: SECRET, options })),
    );
    for (const key of keys) expect((await store.contexts.get(caller, key))?.data).toEqual(SECRET);
    const rows = await under.admin<{ purpose: string }>(
      `SELECT purpose FROM encryption_keys WHERE tenant_id = 'crowd' ORDER BY 1`,
    );
    expect(rows.map((row) => row.purpose)).toEqual(['data', 'id']);
  });
});

describe('without a master key', () => {
  const plain = (): FullStore => otherStore(under);

  it('encryption that is asked for is refused, and nothing is written', async () => {
    const key = asKey('n/asked');
    const options = { ttl: null, encrypt: true };
    const write = plain().contexts.store(CALLER, { key, data: 1, options });
    expect(await codeOf(write)).toBe('ENCRYPTION_NOT_CONFIGURED');
    expect(await read('n/asked')).toBeNull();
  });

  it('an encrypted context can be neither read nor changed, and stays as it is', async () => {
    await seal('n/kept');
    const { contexts } = plain();
    const key = asKey('n/kept');
    expect(await codeOf(contexts.get(CALLER, key))).toBe('ENCRYPTION_NOT_CONFIGURED');
    for (const changeType of ['replace', 'merge', 'append'] as const) {
      const change = contexts.update(CALLER, { key, data: { x: 1 }, changeType, options: {} });
      expect(await codeOf(change)).toBe('ENCRYPTION_NOT_CONFIGURED');
    }
    expect(await read('n/kept')).toMatchObject({ version: 1, data: SECRET });
  });

  it('it can still be listed, replaced in clear and deleted', async () => {
    await seal('n/replaced');
    const { contexts } = plain();
    const key = asKey('n/replaced');
    const listed = await contexts.list(CALLER, { prefix: 'n/replaced', limit: 10 });
    expect(listed.items).toMatchObject([{ key, encrypted: true }]);
    const options = { encrypt: false };
    await contexts.update(CALLER, { key, data: 2, changeType: 'replace', options });
    expect(await contexts.get(CALLER, key)).toMatchObject({ data: 2, encrypted: false });
    await contexts.delete(CALLER, { key });
  });

  it('another master key opens nothing, and says which one is missing', async () => {
    await seal('n/other');
    const other = otherStore(under, { encryption: encryptionWith(newMasterKey()) });
    const reading = other.contexts.get(CALLER, asKey('n/other'));
    await expect(reading).rejects.toThrow(/fingerprint [0-9a-f]{16} is not configured/);
    expect(await codeOf(other.contexts.get(CALLER, asKey('n/other')))).toBe(
      'ENCRYPTION_NOT_CONFIGURED',
    );
  });
});

describe('what was tampered with', () => {
  const TAMPERED = 'DECRYPTION_FAILED';

  async function refusesToOpen(key: string): Promise<void> {
    try {
      await read(key);
    } catch (error) {
      expect(error).toMatchObject({ code: TAMPERED });
      expect(JSON.stringify(error) + String(error)).not.toContain('canary');
      return;
    }
    throw new Error('it was opened');
  }

  it('does not open: any bit of nonce, text or tag', async () => {
    await seal('t/bits');
    const { hash, body } = await blobOf('t/bits');
    for (const at of [0, 11, 12, Math.floor(body.length / 2), body.length - 16, body.length - 1]) {
      const bent = Buffer.from(body);
      bent[at]! ^= 1;
      await under.admin(`UPDATE blobs SET body = $2 WHERE hash = decode($1, 'hex')`, [hash, bent]);
      await refusesToOpen('t/bits');
    }
    await under.admin(`UPDATE blobs SET body = $2 WHERE hash = decode($1, 'hex')`, [hash, body]);
    expect((await read('t/bits'))?.data).toEqual(SECRET);
  });

  it('does not open when cut short, or emptied', async () => {
    await seal('t/short');
    const { hash, body } = await blobOf('t/short');
    for (const length of [0, 5, 27, body.length - 1]) {
      const values = [hash, body.subarray(0, length)];
      await under.admin(`UPDATE blobs SET body = $2 WHERE hash = decode($1, 'hex')`, values);
      await refusesToOpen('t/short');
    }
  });

  it('does not open for another context, tenant or name', async () => {
    await seal('t/one', { word: 'canary one' });
    await seal('t/two', { word: 'canary two' });
    const [one, two] = [await blobOf('t/one'), await blobOf('t/two')];
    // A row of one context points to the body of another.
    const point = (key: string, hash: string): Promise<unknown> =>
      under.admin(`UPDATE contexts SET hash = decode($2, 'hex') WHERE key = $1`, [key, hash]);
    await point('t/two', one.hash);
    await refusesToOpen('t/two');
    await point('t/two', two.hash);
    // The bytes of one body lie under the name of another.
    await under.admin(`UPDATE blobs SET body = $2 WHERE hash = decode($1, 'hex')`, [
      two.hash,
      one.body,
    ]);
    await refusesToOpen('t/two');
    // A whole context is moved to another tenant, its keys too.
    await under.addTenant('thief');
    await under.admin(
      `INSERT INTO encryption_keys (tenant_id, id, purpose, wrapped, master_id)
         SELECT 'thief', id, purpose, wrapped, master_id FROM encryption_keys WHERE tenant_id = 'default';
       INSERT INTO blobs (tenant_id, hash, codec, size, body, key_id, sealed_for)
         SELECT 'thief', hash, codec, size, body, key_id, sealed_for FROM blobs WHERE sealed_for = 't/one';
       INSERT INTO contexts (tenant_id, key, version, hash, kind, encrypted, size, created_at, updated_at)
         SELECT 'thief', key, version, hash, kind, encrypted, size, created_at, updated_at
         FROM contexts WHERE key = 't/one'`,
    );
    const thief = { tenant: 'thief', actor: 'thief' } as typeof CALLER;
    expect(await codeOf(store.contexts.get(thief, asKey('t/one')))).toBe(TAMPERED);
  });

  it('is not read as plain, nor a plain body as encrypted', async () => {
    await seal('t/down');
    await store.contexts.store(CALLER, { key: asKey('t/up'), data: 'x', options: { ttl: null } });
    await under.admin(
      `UPDATE contexts SET encrypted = NOT encrypted WHERE key IN ('t/down', 't/up')`,
    );
    await refusesToOpen('t/down');
    await refusesToOpen('t/up');
  });

  it('does not open with a key that was swapped or bent', async () => {
    const caller = await under.addTenant('bent');
    const key = asKey('k');
    const options = { ttl: null, encrypt: true };
    await store.contexts.store(caller, { key, data: SECRET, options });
    await under.admin(
      `UPDATE encryption_keys k SET wrapped = o.wrapped FROM encryption_keys o
       WHERE k.tenant_id = 'bent' AND o.tenant_id = 'bent' AND k.id <> o.id`,
    );
    // This process has the key in memory; the next one does not.
    const next = otherStore(under, { encryption: encryptionWith(MASTER) });
    expect(await codeOf(next.contexts.get(caller, key))).toBe(TAMPERED);
  });
});
