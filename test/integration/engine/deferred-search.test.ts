/** What a large sync writes is indexed for search a moment later: by the worker, or by whoever searches. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import { waitUntil } from '../../../dev/wait-until.ts';
import { systemClock } from '../../../domain/clock.ts';
import type { TenantId } from '../../../domain/ids.ts';
import { itemKey } from '../../../domain/item.ts';
import { createStore } from '../../../store/create-store.ts';
import { createSearchIndexer } from '../../../workers/index-search.ts';
import { relayOnce } from '../../../workers/relay.ts';
import { encryptionWith, newMasterKey } from '../../support/encryption.ts';
import { CALLER, createTestEngine, TENANT, type TestEngine } from '../../support/engine.ts';
import { hasRealPostgres } from '../../support/servers.ts';
import { memory } from './pairs.ts';

const LOG = { warn: vi.fn() };
const WAIT_MS = 5_000;

let engine: TestEngine;
const remotes = new Map([['none', createFakeRemote({ grade: 'A' })]]);
beforeAll(async () => {
  const encryption = encryptionWith(newMasterKey());
  engine = await createTestEngine({ types: [createFakeType(remotes)], encryption });
});
afterAll(() => engine.close());

/** A first sync of so many items that all have `word`; nothing but the sync has run then. */
async function syncMany(word: string, count: number): Promise<FakeRemote> {
  const remote = createFakeRemote({ grade: 'A' });
  for (let nth = 0; nth < count; nth += 1) remote.put(memory(`${word} ${nth}`, [word]));
  remotes.set(word, remote);
  const scope = { prefix: `${word}/` };
  const link = await engine.addLink('fake', { remote: word }, { scope });
  const { status, counters } = await engine.drain(link);
  expect({ status, applied: counters.applied }).toEqual({ status: 'settled', applied: count });
  return remote;
}

const keyOf = (word: string, nth: number) => itemKey(`${word}/`, 'memory', `${word} ${nth}`);

function search(query: string, caller = CALLER) {
  const page = { mode: 'text', limit: 100, offset: 0 } as const;
  return engine.store.search.search(caller, { query, ...page });
}

async function admin<Row extends object>(sql: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: engine.databaseUrl });
  await client.connect();
  try {
    await client.query('SET search_path = context_system, public');
    return (await client.query<Row>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

/** Contexts under `word` that the index has at their version, and notes there are. */
async function indexed(word: string): Promise<{ indexed: number; pending: number }> {
  const [row] = await admin<{ indexed: number; pending: number }>(
    `SELECT (SELECT count(*)::int FROM context_search s JOIN contexts c USING (tenant_id, key, version)
         WHERE starts_with(c.key, $1)) AS indexed,
       (SELECT coalesce(sum(contexts), 0)::int FROM search_pending) AS pending`,
    [`${word}/`],
  );
  return row!;
}

async function drainAll(): Promise<void> {
  for (let left = 1; left > 0;)
    left = (await engine.store.searchIndex.drain(TENANT, WAIT_MS))!.left;
}

describe('a large sync', () => {
  it('leaves the index to others, and the next search finds all of it', async () => {
    await syncMany('walrus', 300);
    expect(await indexed('walrus')).toEqual({ indexed: 0, pending: 300 });
    const found = await search('walrus');
    expect(found).toMatchObject({ total: 300 });
    expect(found).not.toHaveProperty('pending');
    expect(await indexed('walrus')).toEqual({ indexed: 300, pending: 0 });
  });

  it('is found by several who search at once, each context indexed once', async () => {
    await syncMany('lemur', 250);
    const found = await Promise.all([search('lemur'), search('lemur'), search('lemur')]);
    expect(found.map(({ total, pending }) => [total, pending])).toEqual(
      Array(3).fill([250, undefined]),
    );
  });

  it('tells a search how much is missing where that is more than it can help with', async () => {
    await syncMany('otter', 2_100);
    const early = await search('otter');
    expect(early).toMatchObject({ results: [], pending: 2_100 });
    await drainAll();
    const late = await search('otter');
    expect(late.results).toHaveLength(100);
    expect(late).not.toHaveProperty('pending');
    expect(await indexed('otter')).toEqual({ indexed: 2_100, pending: 0 });
  });

  it('that updates and deletes is found by what it wrote, and not by what it deleted', async () => {
    const remote = await syncMany('heron', 300);
    await search('heron');
    for (let nth = 0; nth < 200; nth += 1) remote.put(memory(`heron ${nth}`, ['egret']));
    for (let nth = 200; nth < 250; nth += 1) remote.remove(`heron ${nth}`);
    const { items: links } = await engine.store.links.list(CALLER, { limit: 100 });
    const link = links.find(({ scope }) => scope.prefix === 'heron/');
    await engine.drain(link!);
    expect(await indexed('heron')).toMatchObject({ pending: 200 });
    expect(await search('egret')).toMatchObject({ total: 200 });
    expect(await indexed('heron')).toEqual({ indexed: 250, pending: 0 });
  });
});

it('a small sync is indexed in its own transaction', async () => {
  await syncMany('gecko', 40);
  expect(await indexed('gecko')).toEqual({ indexed: 40, pending: 0 });
});

describe('what is pending', () => {
  it('is indexed as it is now: not deleted, not expired, not encrypted, not as it was', async () => {
    await syncMany('ibis', 120);
    const { contexts } = engine.store;
    const [gone, over, sealed, edited] = [0, 1, 2, 3].map((nth) => keyOf('ibis', nth));
    await contexts.delete(CALLER, { key: gone! });
    await admin(`UPDATE contexts SET expires_at = now() - interval '1 second' WHERE key = $1`, [
      over,
    ]);
    const store = (key: typeof gone, data: string, encrypt: boolean) =>
      contexts.store(CALLER, { key: key!, data, options: { kind: 'memory', ttl: null, encrypt } });
    await store(sealed, 'ibis in secret', true);
    await store(edited, 'flamingo', false);
    await drainAll();
    const rows = await admin<{ key: string; words: string }>(
      `SELECT key, words::text FROM context_search WHERE key = ANY ($1) ORDER BY key`,
      [[gone, over, sealed, edited]],
    );
    expect(rows.map(({ key }) => key)).toEqual([sealed, edited]);
    expect(rows[0]!.words).not.toContain('secret');
    expect(rows[1]!.words).toContain('flamingo');
    expect(await search('flamingo')).toMatchObject({ results: [{ key: edited }] });
    expect(await indexed('ibis')).toEqual({ indexed: 118, pending: 0 });
  });

  it.skipIf(!hasRealPostgres())('waits for a context that is being written', async () => {
    await syncMany('tapir', 110);
    await engine.database.withTenant(TENANT, async (tx) => {
      await tx.query('SELECT 1 FROM contexts WHERE key = $1 FOR UPDATE', [keyOf('tapir', 7)]);
      const part = await engine.store.searchIndex.drain(TENANT, WAIT_MS);
      expect(part).toEqual({ indexed: 109, left: 0 });
    });
    expect(await indexed('tapir')).toEqual({ indexed: 109, pending: 1 });
    expect(await search('tapir')).toMatchObject({ total: 110 });
    expect(await indexed('tapir')).toEqual({ indexed: 110, pending: 0 });
  });

  it.skipIf(!hasRealPostgres())('survives a process that dies while it indexes', async () => {
    await syncMany('okapi', 130);
    const holder = new pg.Client({ connectionString: engine.databaseUrl });
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE context_system.context_search IN EXCLUSIVE MODE');
    const dying = engine.store.searchIndex.drain(TENANT, WAIT_MS).catch((error: unknown) => error);
    const killed = await waitUntil(
      async () => {
        const { rowCount } = await holder.query(
          `SELECT pg_terminate_backend(pid) FROM pg_locks
           WHERE NOT granted AND relation = 'context_system.context_search'::regclass`,
        );
        return rowCount === 0 ? null : rowCount;
      },
      { timeoutMs: 10_000, everyMs: 20 },
    );
    expect(killed).toBe(1);
    expect(await dying).toBeInstanceOf(Error);
    await holder.end();
    expect(await indexed('okapi')).toEqual({ indexed: 0, pending: 130 });
    // Nobody tells of it any more: another process finds it by looking.
    const other = createStore({
      database: engine.database,
      clock: systemClock,
      newId: randomUUID,
      maxContextBytes: 1_000_000,
      onCommitted: () => undefined,
    });
    const indexer = createSearchIndexer({ index: other.searchIndex, log: LOG });
    expect(await indexer.all()).toEqual({ indexed: 130 });
    expect(await indexed('okapi')).toEqual({ indexed: 130, pending: 0 });
    expect(await indexer.all()).toEqual({ indexed: 0 });
  });

  it('is told of by the outbox, and indexed by the worker', async () => {
    const { outbox, searchIndex } = engine.store;
    const indexer = createSearchIndexer({ index: searchIndex, log: LOG });
    const told: TenantId[] = [];
    const relay = {
      outbox,
      log: LOG,
      wake: () => Promise.resolve(),
      onSearchPending(tenant: TenantId) {
        told.push(tenant);
        indexer.nudge(tenant);
      },
    };
    while ((await relayOnce(relay)) > 0);
    told.length = 0;
    await syncMany('quokka', 1_200);
    while ((await relayOnce(relay)) > 0);
    expect(new Set(told)).toEqual(new Set([TENANT]));
    await vi.waitFor(
      async () => expect(await indexed('quokka')).toEqual({ indexed: 1_200, pending: 0 }),
      { timeout: 20_000, interval: 50 },
    );
    await indexer.stop();
    expect(LOG.warn).not.toHaveBeenCalled();
  });

  it('of one tenant is neither seen nor indexed for another', async () => {
    await syncMany('puffin', 140);
    const other = { tenant: 'tenant10' as TenantId, actor: 'other' };
    await admin(`INSERT INTO tenants (id, name) VALUES ('tenant10', 'other')`);
    const seen = await engine.database.withTenant(other.tenant, (tx) =>
      tx.query('SELECT * FROM search_pending'),
    );
    expect(seen).toEqual([]);
    expect(await engine.store.searchIndex.drain(other.tenant, WAIT_MS)).toEqual({
      indexed: 0,
      left: 0,
    });
    const answer = await search('puffin', other);
    expect([answer.total, answer.pending]).toEqual([0, undefined]);
    expect(await indexed('puffin')).toEqual({ indexed: 0, pending: 140 });
    expect(await engine.store.searchIndex.pending()).toEqual([TENANT]);
    await drainAll();
    expect(await engine.store.searchIndex.pending()).toEqual([]);
  });

  it('of large bodies is indexed a part at a time', async () => {
    const text = 'the quick brown fox jumps over the lazy dog '.repeat(1_800);
    const remote = createFakeRemote({ grade: 'A' });
    for (let nth = 0; nth < 110; nth += 1) remote.put(memory(`bison ${nth}`, [text]));
    remotes.set('bison', remote);
    const link = await engine.addLink('fake', { remote: 'bison' }, { scope: { prefix: 'bison/' } });
    await engine.drain(link);
    const part = await engine.store.searchIndex.drain(TENANT, WAIT_MS);
    expect(part!.indexed).toBeGreaterThan(0);
    expect(part!.indexed + part!.left).toBe(110);
    expect(part!.left).toBeGreaterThan(90);
    await drainAll();
    expect(await indexed('bison')).toEqual({ indexed: 110, pending: 0 });
  });
});
