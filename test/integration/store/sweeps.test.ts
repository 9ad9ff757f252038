import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import { messageOf } from '../../../domain/errors.ts';
import type { Memory } from '../../../domain/item.ts';
import { createSweeps } from '../../../store/sweeps.ts';
import { expireContexts } from '../../../workers/expire-contexts.ts';
import { CALLER, createTestEngine, TENANT, type TestEngine } from '../../support/engine.ts';
import { hasRealPostgres } from '../../support/servers.ts';
import { newLink } from '../../support/sample-link.ts';
import { asKey, openStore, put, type StoreUnderTest } from './store-under-test.ts';

describe('the expiry sweep', () => {
  let under: StoreUnderTest;
  beforeAll(async () => {
    under = await openStore();
  });
  beforeEach(async () => {
    under.clock.offsetMs = 0;
    await under.admin('DELETE FROM contexts; DELETE FROM context_versions; DELETE FROM changes');
  });
  afterAll(() => under.close());

  const storeFor = (ttl: number | null, key: string, caller = CALLER) =>
    under.store.contexts.store(caller, { key: asKey(key), data: key, options: { ttl } });
  const deletes = () =>
    under.admin(
      'SELECT tenant_id AS tenant, key, version, reason, changed_by AS by FROM changes WHERE change_type = $1 ORDER BY tenant_id, key',
      ['delete'],
    );

  it('deletes what is over, in every tenant, with reason ttl and a change row', async () => {
    const other = await under.addTenant('other');
    await storeFor(10, 'short');
    await storeFor(10, 'short', other);
    await storeFor(1000, 'long');
    await storeFor(null, 'for ever');
    expect(await under.store.sweeps.expireContexts(100)).toBe(0);
    under.clock.offsetMs = 11_000;
    const commits = under.commits();
    expect(await under.store.sweeps.expireContexts(100)).toBe(2);
    expect(under.commits()).toBe(commits + 1);
    const row = { key: 'short', version: 2, reason: 'ttl', by: 'expiry' };
    expect(await deletes()).toEqual([
      { tenant: 'default', ...row },
      { tenant: 'other', ...row },
    ]);
    expect(await under.store.sweeps.expireContexts(100)).toBe(0);
    expect((await under.store.contexts.list(CALLER, { limit: 10 })).items).toHaveLength(2);
  });

  it('works through any number in batches', async () => {
    for (let nth = 0; nth < 7; nth += 1) await storeFor(10, `k${nth}`);
    under.clock.offsetMs = 11_000;
    expect(await under.store.sweeps.expireContexts(3)).toBe(3);
    expect(await expireContexts(under.store.sweeps)).toEqual({ expired: 4 });
    expect(await deletes()).toHaveLength(7);
  });

  it('passes over a context whose version numbers are used up, and goes on with the others', async () => {
    const other = await under.addTenant('beside');
    await storeFor(10, 'used up');
    await storeFor(10, 'ordinary', other);
    await under.admin(
      `UPDATE contexts SET version = 2147483647, expires_at = '2020-01-01' WHERE key = 'used up'`,
    );
    under.clock.offsetMs = 11_000;
    expect(await under.store.sweeps.expireContexts(1)).toBe(1);
    expect(await deletes()).toMatchObject([{ tenant: 'beside', key: 'ordinary' }]);
    expect(await under.store.contexts.get(CALLER, asKey('used up'))).toBeNull();
    const all = 'SELECT context_system.cleanup_expired_contexts() AS gone';
    expect(await under.admin(all)).toEqual([{ gone: 0 }]);
  });

  it('of one tenant that fails costs no other tenant its expiry, and is told', async () => {
    const other = await under.addTenant('unharmed');
    for (const key of ['a', 'b', 'c']) await storeFor(10, key);
    await storeFor(20, 'd', other);
    await under.admin(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'refused'; END $$;
      CREATE TRIGGER refuse BEFORE UPDATE ON contexts FOR EACH ROW
        WHEN (old.tenant_id = 'default') EXECUTE FUNCTION refuse()`);
    const { database, clock } = under;
    const failed: unknown[] = [];
    const deps = {
      database,
      clock: { now: () => Date.now() + clock.offsetMs },
      onCommitted: () => undefined,
    };
    const onSweepFailed = (tenant: string, error: unknown) =>
      failed.push([tenant, messageOf(error)]);
    try {
      clock.offsetMs = 21_000;
      expect(await createSweeps({ ...deps, onSweepFailed }).expireContexts(2)).toBe(1);
      expect(failed).toEqual([['default', 'refused']]);
      expect(await deletes()).toMatchObject([{ tenant: 'unharmed', key: 'd' }]);
      // Whoever does not ask to be told learns it from the sweep itself.
      await expect(createSweeps(deps).expireContexts(2)).rejects.toThrow('refused');
    } finally {
      await under.admin('DROP FUNCTION refuse CASCADE');
    }
  });

  it.skipIf(!hasRealPostgres())(
    'deletes each once when several sweep at once, and spares one given more time',
    async () => {
      for (let nth = 0; nth < 20; nth += 1) await storeFor(10, `k${nth}`);
      under.clock.offsetMs = 9_000;
      await under.store.contexts.update(CALLER, {
        key: asKey('k7'),
        data: 'renewed',
        changeType: 'replace',
        options: { ttl: 1000 },
      });
      under.clock.offsetMs = 11_000;
      const counts = await Promise.all(
        [1, 2, 3, 4].map(() => under.store.sweeps.expireContexts(100)),
      );
      expect(counts.reduce((sum, count) => sum + count)).toBe(19);
      expect(await deletes()).toHaveLength(19);
      expect((await under.store.contexts.get(CALLER, asKey('k7')))?.data).toBe('renewed');
    },
  );

  it('wakes the links that cover the key', async () => {
    const link = await under.store.links.create(CALLER, newLink({ scope: { prefix: 'w/' } }));
    await storeFor(10, 'w/a');
    under.clock.offsetMs = 11_000;
    await under.admin('DELETE FROM outbox');
    await under.store.sweeps.expireContexts(100);
    const { links: refs } = await under.store.outbox.claim(10);
    expect(refs).toEqual([{ tenant: TENANT, linkId: link.id, name: link.name }]);
  });
});

describe('the pulse', () => {
  let under: StoreUnderTest;
  beforeAll(async () => {
    under = await openStore();
  });
  beforeEach(() => under.admin('DELETE FROM sync_links'));
  afterAll(() => under.close());

  const allDue = () =>
    under.admin(`UPDATE sync_links SET next_due_at = now() - interval '1 minute'`);
  const take = async (limit = 100): Promise<string[]> =>
    (await under.store.sweeps.takeDueLinks({ limit, maxLive: 1000 })).map((ref) => ref.linkId);

  it('takes each due link once per interval, longest overdue first', async () => {
    const link = await under.store.links.create(CALLER, newLink());
    const other = await under.addTenant('other');
    const theirs = await under.store.links.create(other, newLink());
    await allDue();
    await under.admin(
      `UPDATE sync_links SET next_due_at = now() - interval '1 hour' WHERE tenant_id = 'other'`,
    );
    expect(await take(1)).toEqual([theirs.id]);
    expect(await take()).toEqual([link.id]);
    expect(await take()).toEqual([]);
  });

  it('takes failed links too, but neither paused, parked nor manual ones', async () => {
    const states = ['active', 'failed', 'paused', 'parked'];
    const made = [];
    for (const name of states) made.push(await under.store.links.create(CALLER, newLink({ name })));
    await under.store.links.create(CALLER, newLink({ name: 'manual', trigger: 'manual' }));
    await under.admin(`UPDATE sync_links SET state = name WHERE name <> 'manual'`);
    await allDue();
    const expected = made
      .slice(0, 2)
      .map((link) => link.id)
      .sort();
    expect((await take()).sort()).toEqual(expected);
    const live = (await under.store.sweeps.liveLinks()).map((ref) => ref.linkId);
    expect(live.sort()).toEqual(expected);
  });

  it.skipIf(!hasRealPostgres())('gives no link twice to pulses at once', async () => {
    for (let nth = 0; nth < 20; nth += 1) await under.store.links.create(CALLER, newLink());
    await allDue();
    const taken = (await Promise.all([1, 2, 3, 4].map(() => take(8)))).flat();
    const all = [...taken, ...(await take())];
    expect(all).toHaveLength(20);
    expect(new Set(all).size).toBe(20);
  });
});

describe.each(['A', 'B', 'C'] as const)(
  'a context that expires under a link with a grade-%s remote',
  (grade) => {
    const remotes = new Map<string, FakeRemote>([['remote', createFakeRemote({ grade })]]);
    let engine: TestEngine;
    beforeAll(async () => {
      engine = await createTestEngine({ types: [createFakeType(remotes)] });
    });
    afterAll(() => engine.close());

    const memory = (name: string): Memory => ({
      name,
      type: 'thing',
      observations: ['x'],
      relations: [],
    });

    it.each(['before', 'after'])(
      '%s the sweep is not deleted on the remote, and trips no guard',
      async (when) => {
        const remote = createFakeRemote({ grade });
        remotes.set(when, remote);
        const prefix = `${when}/`;
        const link = await engine.addLink('fake', { remote: when }, { scope: { prefix } });
        const names = ['Ann', 'Bob', 'Cid'];
        for (const name of names) {
          const key = asKey(`${prefix}${name.toLowerCase()}`);
          await engine.store.contexts.store(CALLER, {
            key,
            data: { ...memory(name) },
            options: { kind: 'memory', ttl: 3600 },
          });
        }
        expect(await engine.drain(link)).toMatchObject({
          status: 'settled',
          counters: { applied: 3 },
        });
        // The database's clock cannot be moved, so the expiry is: an hour passes for all three.
        await engine.database.withTenant(TENANT, (tx) =>
          tx.query(
            `UPDATE contexts SET expires_at = now() - interval '1 second' WHERE starts_with(key, $1)`,
            [prefix],
          ),
        );
        if (when === 'after')
          expect(await engine.store.sweeps.expireContexts(100)).toBeGreaterThan(0);
        for (let nth = 0; nth < 3; nth += 1) {
          const result = await engine.drain(link);
          expect(result).toMatchObject({
            status: 'settled',
            guard: null,
            counters: { deletedRemote: 0, planned: 0 },
          });
        }
        expect(names.map((name) => remote.get(name))).toEqual(names.map(memory));
        expect((await engine.store.links.status(CALLER, link.id)).state).toBe('active');
      },
    );
  },
);

describe('a store that is written while it is swept', () => {
  it.skipIf(!hasRealPostgres())('loses no write', async () => {
    const under = await openStore();
    try {
      const { contexts, sweeps } = under.store;
      for (let nth = 0; nth < 10; nth += 1) {
        await contexts.store(CALLER, { key: asKey(`r/${nth}`), data: 0, options: { ttl: 5 } });
      }
      under.clock.offsetMs = 6_000;
      const writes = Array.from({ length: 10 }, (_, nth) =>
        put(under, CALLER, `r/${nth}`, 'alive'),
      );
      await Promise.all([sweeps.expireContexts(100), ...writes, sweeps.expireContexts(100)]);
      const { items } = await contexts.list(CALLER, { prefix: 'r/', limit: 100 });
      expect(items).toHaveLength(10);
      expect(items.every((item) => item.expiresAt === null)).toBe(true);
    } finally {
      await under.close();
    }
  });
});
