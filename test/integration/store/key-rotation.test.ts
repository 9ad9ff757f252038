import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Caller } from '../../../domain/context.ts';
import { createDataSource } from '../../../main/migrate.ts';
import { EncryptBodies1763740000002 } from '../../../migrations/1763740000002-encrypt-bodies.ts';
import type { FullStore } from '../../../store/create-store.ts';
import { reEncrypt } from '../../../workers/re-encrypt.ts';
import { encryptionWith, newMasterKey } from '../../support/encryption.ts';
import { asKey, codeOf, openStore, otherStore, type StoreUnderTest } from './store-under-test.ts';

const MASTER = newMasterKey();
const SILENT = { warn: () => undefined };

let under: StoreUnderTest;
let store: FullStore;
beforeAll(async () => {
  under = await openStore({ encryption: encryptionWith(MASTER) });
  store = under.store;
});
afterAll(() => under.close());

/** Another process on the same database, with nothing in memory. */
const freshStore = (encryption = encryptionWith(MASTER)): FullStore =>
  otherStore(under, { encryption });

async function sealMany(caller: Caller, count: number): Promise<void> {
  const options = { ttl: null, encrypt: true };
  for (let nth = 0; nth < count; nth += 1) {
    await store.contexts.store(caller, { key: asKey(`k/${nth}`), data: { nth }, options });
  }
}

async function readsAll(from: FullStore, caller: Caller, count: number): Promise<void> {
  for (let nth = 0; nth < count; nth += 1) {
    expect((await from.contexts.get(caller, asKey(`k/${nth}`)))?.data).toEqual({ nth });
  }
}

async function keysOf(
  tenant: string,
): Promise<{ id: string; purpose: string; master_id: string }[]> {
  return under.admin(
    'SELECT id, purpose, master_id FROM encryption_keys WHERE tenant_id = $1 ORDER BY created_at',
    [tenant],
  );
}

async function usersOf(tenant: string): Promise<Record<string, number>> {
  const rows = await under.admin<{ key_id: string; count: number }>(
    'SELECT key_id, count(*)::int AS count FROM blobs WHERE tenant_id = $1 AND key_id IS NOT NULL GROUP BY 1',
    [tenant],
  );
  return Object.fromEntries(rows.map((row) => [row.key_id, row.count]));
}

describe('a rotation', () => {
  it('seals new bodies with the new key at once, and the others in batches, readable throughout', async () => {
    const caller = await under.addTenant('turn');
    await sealMany(caller, 25);
    const before = await store.rotation.status(caller.tenant);
    expect(before).toMatchObject({ state: 'idle', retiring: [] });

    const begun = await store.rotation.rotate(caller);
    expect(begun.state).toBe('running');
    expect(begun.retiring).toMatchObject([{ id: before.current!.id, bodies: 25, left: 25 }]);
    expect(begun.current!.id).not.toBe(before.current!.id);
    await sealMany(caller, 1);
    const options = { ttl: null, encrypt: true };
    await store.contexts.store(caller, { key: asKey('new'), data: 'new', options });
    expect(await usersOf('turn')).toEqual({ [before.current!.id]: 25, [begun.current!.id]: 1 });

    expect(await store.rotation.work(caller.tenant, 10)).toEqual({ sealed: 10, isDone: false });
    const halfway = await store.rotation.status(caller.tenant);
    expect(halfway.retiring).toMatchObject([{ bodies: 25, left: 15 }]);
    await readsAll(store, caller, 25);
    await readsAll(freshStore(), caller, 25);

    // A process that was killed here left nothing behind: the next one goes on.
    const next = freshStore();
    expect(await reEncrypt(next.rotation, SILENT)).toEqual({ sealed: 15, failed: 0 });
    expect(await next.rotation.status(caller.tenant)).toMatchObject({
      state: 'idle',
      retiring: [],
    });
    expect(await usersOf('turn')).toEqual({ [begun.current!.id]: 26 });
    expect((await keysOf('turn')).map((key) => key.id)).not.toContain(before.current!.id);
    await readsAll(store, caller, 25);
    await readsAll(freshStore(), caller, 25);
  });

  it('changes no name: contexts, versions and their hashes are as before', async () => {
    const caller = await under.addTenant('names');
    await sealMany(caller, 3);
    const list = () => store.contexts.list(caller, { prefix: 'k/', limit: 10 });
    const before = await list();
    await store.rotation.rotate(caller);
    await reEncrypt(store.rotation, SILENT);
    expect(await list()).toEqual(before);
    // Equal content still has the same name, sealed by the new key or the old.
    await sealMany(caller, 1);
    expect((await list()).items[0]).toMatchObject({ hash: before.items[0]!.hash, version: 2 });
  });

  it('leaves other tenants alone, and writes who asked for it into the audit log', async () => {
    const [mine, other] = [await under.addTenant('mine'), await under.addTenant('other')];
    await sealMany(mine, 1);
    await sealMany(other, 1);
    const before = await keysOf('other');
    const { current } = await store.rotation.rotate(mine);
    await reEncrypt(store.rotation, SILENT);
    expect(await keysOf('other')).toEqual(before);
    const { items } = await store.auditLog.list(mine.tenant, { limit: 10 });
    expect(items).toMatchObject([
      { action: 'encryption.rotate', actor: mine.actor, target: current!.id },
    ]);
  });

  it('asked for twice at once makes one history, and every body ends under the current key', async () => {
    const caller = await under.addTenant('twice');
    await sealMany(caller, 5);
    await Promise.all([store.rotation.rotate(caller), freshStore().rotation.rotate(caller)]);
    await reEncrypt(store.rotation, SILENT);
    const { state, current } = await store.rotation.status(caller.tenant);
    expect(state).toBe('idle');
    expect(await usersOf('twice')).toEqual({ [current!.id]: 5 });
    await readsAll(freshStore(), caller, 5);
  });

  it('goes on while many write and read: nothing is lost, and no key goes that is needed', async () => {
    const caller = await under.addTenant('busy');
    await sealMany(caller, 30);
    let isOver = false;
    const options = { ttl: null, encrypt: true };
    const writers = [0, 1, 2].map(async (lane) => {
      for (let nth = 0; !isOver; nth += 1) {
        const key = asKey(`w/${lane}/${nth}`);
        await store.contexts.store(caller, { key, data: { lane, nth }, options });
        expect((await store.contexts.get(caller, key))?.data).toEqual({ lane, nth });
        expect((await store.contexts.get(caller, asKey(`k/${nth % 30}`)))?.data).toEqual({
          nth: nth % 30,
        });
      }
    });
    try {
      for (let round = 0; round < 4; round += 1) {
        await store.rotation.rotate(caller);
        for (let isDone = false; !isDone;) {
          isDone = (await store.rotation.work(caller.tenant, 7)).isDone;
        }
      }
    } finally {
      isOver = true;
    }
    await Promise.all(writers);
    await reEncrypt(store.rotation, SILENT);
    await readsAll(freshStore(), caller, 30);
    expect(await store.rotation.status(caller.tenant)).toMatchObject({ state: 'idle' });
  });

  it('is stuck at a body that does not open, says so, and lets others go on', async () => {
    const [broken, sound] = [await under.addTenant('broken'), await under.addTenant('sound')];
    await sealMany(broken, 2);
    await sealMany(sound, 2);
    await under.admin(
      `UPDATE blobs SET body = set_byte(body, 20, get_byte(body, 20) # 1) WHERE tenant_id = 'broken' AND sealed_for = 'k/1'`,
    );
    await store.rotation.rotate(broken);
    await store.rotation.rotate(sound);
    const said: object[] = [];
    const { failed } = await reEncrypt(store.rotation, { warn: (fields) => said.push(fields) });
    expect(failed).toBe(1);
    expect(said).toEqual([{ tenant: 'broken', code: 'DECRYPTION_FAILED' }]);
    expect((await store.rotation.status(sound.tenant)).state).toBe('idle');
    // What still opens is readable, under the key that is kept for it.
    expect((await store.contexts.get(broken, asKey('k/0')))?.data).toEqual({ nth: 0 });
    await under.admin(`DELETE FROM blobs WHERE tenant_id = 'broken'`);
  });

  it('needs a master key', async () => {
    const plain = otherStore(under);
    const caller = await under.addTenant('none');
    expect(await codeOf(plain.rotation.rotate(caller))).toBe('ENCRYPTION_NOT_CONFIGURED');
    expect(await codeOf(plain.rotation.status(caller.tenant))).toBe('ENCRYPTION_NOT_CONFIGURED');
    expect(await plain.rotation.pending()).toEqual([]);
  });

  it('of a tenant that encrypted nothing yet makes its first key', async () => {
    const caller = await under.addTenant('early');
    const empty = { current: null, state: 'idle', retiring: [] };
    expect(await store.rotation.status(caller.tenant)).toMatchObject(empty);
    const { current, state } = await store.rotation.rotate(caller);
    expect(current).not.toBeNull();
    expect(state).toBe('idle');
  });
});

describe('the migration', () => {
  it('goes back only once no body needs a key', async () => {
    const source = createDataSource(under.url);
    await source.initialize();
    const runner = source.createQueryRunner();
    try {
      await runner.startTransaction();
      const back = new EncryptBodies1763740000002().down(runner);
      await expect(back).rejects.toThrow(/contexts are encrypted/);
    } finally {
      await runner.rollbackTransaction();
      await runner.release();
      await source.destroy();
    }
  });
});

describe('a new master key', () => {
  it('opens what the old one wrapped, wraps it anew, and then the old one may go', async () => {
    const caller = await under.addTenant('master');
    await sealMany(caller, 3);
    const next = newMasterKey();
    const both = freshStore(encryptionWith(next, { oldKeys: [MASTER] }));
    await readsAll(both, caller, 3);
    expect((await both.rotation.status(caller.tenant)).master.keysToRewrap).toBe(2);
    await both.rotation.work(caller.tenant, 10);
    const { master } = await both.rotation.status(caller.tenant);
    expect(master.keysToRewrap).toBe(0);
    expect((await keysOf('master')).every((key) => key.master_id === master.id)).toBe(true);
    const alone = freshStore(encryptionWith(next));
    await readsAll(alone, caller, 3);
    // And the old one alone opens nothing any more.
    const old = freshStore(encryptionWith(MASTER));
    expect(await codeOf(old.contexts.get(caller, asKey('k/0')))).toBe('ENCRYPTION_NOT_CONFIGURED');
  });
});
