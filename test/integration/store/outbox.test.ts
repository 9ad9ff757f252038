import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Link } from '../../../domain/link.ts';
import type { LinkRef, OutboxMessage } from '../../../store/contract.ts';
import { relayOnce, startRelay } from '../../../workers/relay.ts';
import { CALLER, TENANT } from '../../support/engine.ts';
import { hasRealPostgres } from '../../support/servers.ts';
import { newLink } from '../../support/sample-link.ts';
import { asKey, openStore, put, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore();
});
beforeEach(async () => {
  await under.admin('DELETE FROM outbox; DELETE FROM sync_links');
});
afterAll(() => under.close());

const rows = () =>
  under.admin<{ topic: string; payload: object; attempts: number; isDue: boolean }>(
    'SELECT topic, payload, attempts, not_before <= now() AS "isDue" FROM outbox ORDER BY id',
  );
const addLink = (prefix: string, more: Parameters<typeof newLink>[0] = {}): Promise<Link> =>
  under.store.links.create(CALLER, newLink({ scope: { prefix }, ...more }));
const forget = () => under.admin('DELETE FROM outbox');
const leasesEnd = () => under.admin('UPDATE outbox SET not_before = now()');
const claim = async (limit: number) => (await under.store.outbox.claim(limit)).messages;
const ids = (messages: readonly OutboxMessage[]): string[] => messages.map((one) => one.id);

function fakeRelay(wake: (link: LinkRef) => Promise<void> = () => Promise.resolve()) {
  const woken: LinkRef[] = [];
  const warnings: object[] = [];
  const deps = {
    outbox: under.store.outbox,
    wake: (link: LinkRef) => {
      woken.push(link);
      return wake(link);
    },
    log: { warn: (fields: object) => void warnings.push(fields) },
  };
  return { deps, woken, warnings };
}

describe('the outbox', () => {
  it('gets one row with each write, in its transaction, and none from a write that failed', async () => {
    await put(under, CALLER, 'p/a', 1);
    await under.store.contexts.delete(CALLER, { key: asKey('p/a') });
    await expect(
      under.store.contexts.store(CALLER, { key: asKey('p/a'), data: 1, options: { ifVersion: 7 } }),
    ).rejects.toThrow();
    const message = { topic: 'contexts.changed', payload: { keys: ['p/a'], origin: null } };
    expect(await rows()).toMatchObject([message, message]);
  });

  it('leases what is claimed: nobody else gets it until the lease is over', async () => {
    await put(under, CALLER, 'p/a', 1);
    const first = await claim(10);
    expect(first).toHaveLength(1);
    expect(await claim(10)).toEqual([]);
    expect(await rows()).toMatchObject([{ attempts: 1, isDue: false }]);
    await leasesEnd();
    expect(ids(await claim(10))).toEqual(ids(first));
    expect(await rows()).toMatchObject([{ attempts: 2, isDue: false }]);
    await under.store.outbox.done(ids(first));
    expect(await rows()).toEqual([]);
  });

  it('gives at most as many as asked for, oldest first', async () => {
    for (const nth of [1, 2, 3]) await put(under, CALLER, `p/${nth}`, nth);
    const keys = (await claim(2)).map((one) => one.payload);
    expect(keys).toMatchObject([{ keys: ['p/1'] }, { keys: ['p/2'] }]);
  });

  it('leaves a message it does not know alone, and gives the others', async () => {
    await under.admin(
      `INSERT INTO outbox (tenant_id, topic, payload) VALUES ('default', 'from.the.future', '{"x":1}')`,
    );
    await put(under, CALLER, 'p/a', 1);
    expect(await claim(10)).toMatchObject([{ topic: 'contexts.changed' }]);
    expect(await rows()).toMatchObject([
      { topic: 'from.the.future' },
      { topic: 'contexts.changed' },
    ]);
  });

  it.skipIf(!hasRealPostgres())('gives no row twice to relays that claim at once', async () => {
    for (let nth = 0; nth < 60; nth += 1) await put(under, CALLER, `p/${nth}`, nth);
    const claims = await Promise.all([1, 2, 3, 4, 5, 6].map(() => claim(15)));
    const all = claims.flat().map((one) => one.id);
    expect(new Set(all).size).toBe(all.length);
    const rest = await claim(60);
    expect(all.length + rest.length).toBe(60);
  });

  it.skipIf(!hasRealPostgres())('does not wait for a claim that is under way', async () => {
    await put(under, CALLER, 'p/a', 1);
    await put(under, CALLER, 'p/b', 1);
    const other = await under.database.withSystem(async (tx) => {
      await tx.query('SELECT id FROM outbox ORDER BY id LIMIT 1 FOR UPDATE');
      return claim(10);
    });
    expect(other).toMatchObject([{ payload: { keys: ['p/b'] } }]);
  });
});

describe('the links that must look', () => {
  it('are those whose prefix is the start of a key, each once', async () => {
    const near = await addLink('p/');
    const all = await addLink('');
    await addLink('p%');
    await addLink('q/');
    await forget();
    for (const key of ['p/a', 'p/b', 'p/a']) await put(under, CALLER, key, key);
    const { links: refs } = await under.store.outbox.claim(10);
    expect(new Set(refs.map((ref) => ref.linkId))).toEqual(new Set([near.id, all.id]));
    expect(refs).toHaveLength(2);
  });

  it('are not the paused, the manual, nor the one that wrote the change itself', async () => {
    const paused = await addLink('p/');
    await under.store.links.pause(CALLER, paused.id);
    await addLink('p/', { trigger: 'manual' });
    const writer = await addLink('p/');
    const other = await addLink('p/');
    await forget();
    await put(under, CALLER, 'p/a', 1);
    await under.admin(
      `UPDATE outbox SET payload = payload || jsonb_build_object('origin', $1::text)`,
      [writer.id],
    );
    const { links: refs } = await under.store.outbox.claim(10);
    expect(refs).toEqual([{ tenant: TENANT, linkId: other.id, name: other.name }]);
  });

  it('include a link that was asked for by name, whatever its trigger', async () => {
    const link = await addLink('p/', { trigger: 'manual' });
    await forget();
    await under.store.runs.request(CALLER, link.id, 'now');
    await under.store.runs.request(CALLER, link.id, 'again');
    const { links: refs } = await under.store.outbox.claim(10);
    expect(refs).toEqual([{ tenant: TENANT, linkId: link.id, name: link.name }]);
  });
});

describe('the relay', () => {
  it('coalesces a batch to one wake per link, and is done with it', async () => {
    const link = await addLink('p/');
    for (let nth = 0; nth < 20; nth += 1) await put(under, CALLER, `p/${nth}`, nth);
    const { deps, woken } = fakeRelay();
    expect(await relayOnce(deps)).toBe(21);
    expect(woken).toMatchObject([{ tenant: TENANT, linkId: link.id }]);
    expect(await rows()).toEqual([]);
    expect(await relayOnce(deps)).toBe(0);
  });

  it('keeps every row of the batch when a wake fails, and sends it again after the lease', async () => {
    const first = await addLink('p/');
    const second = await addLink('p/');
    await forget();
    await put(under, CALLER, 'p/a', 1);
    let isDown = true;
    const { deps, woken } = fakeRelay((ref) =>
      isDown && ref.linkId === second.id
        ? Promise.reject(new Error('Temporal is out'))
        : Promise.resolve(),
    );
    await expect(relayOnce(deps)).rejects.toThrow('Temporal is out');
    expect(await rows()).toMatchObject([{ topic: 'contexts.changed', attempts: 1, isDue: false }]);
    isDown = false;
    await leasesEnd();
    expect(await relayOnce(deps)).toBe(1);
    expect(woken.filter((ref) => ref.linkId === second.id)).toHaveLength(2);
    expect(woken.some((ref) => ref.linkId === first.id)).toBe(true);
    expect(await rows()).toEqual([]);
  });

  it('sends at a nudge without waiting for its poll, and stops when told', async () => {
    const link = await addLink('p/');
    await forget();
    const { deps, woken, warnings } = fakeRelay();
    const relay = startRelay(deps);
    try {
      await put(under, CALLER, 'p/a', 1);
      relay.nudge();
      await expect.poll(() => woken).toMatchObject([{ tenant: TENANT, linkId: link.id }]);
      await expect.poll(rows).toEqual([]);
    } finally {
      await relay.stop();
    }
    expect(warnings).toEqual([]);
  });
});
