/**
 * P14: a cursor of the change feed never passes a transaction that commits late. Every test here
 * holds transactions open only for moments: an open one holds back every feed of the same server.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import type { Change } from '../../../domain/context.ts';
import { encodeBody } from '../../../store/blobs.ts';
import type { Transaction } from '../../../store/database.ts';
import { lockContexts, writeVersions, type VersionWrite } from '../../../store/write-versions.ts';
import { CALLER, TENANT } from '../../support/engine.ts';
import { hasRealPostgres, testDatabase } from '../../support/servers.ts';
import { asKey, openStore, put, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());

const changes = (since: string | null, prefix: string, limit = 1000) =>
  under.store.contexts.changes(CALLER, { since, limit, prefix });
const head = async (): Promise<string> => (await changes('now', '')).cursor;

/** Reads on until there are `count` changes in all; fails when that never comes. */
async function readOn(since: string | null, prefix: string, count: number): Promise<Change[]> {
  const seen: Change[] = [];
  let cursor = since;
  await expect
    .poll(async () => {
      const page = await changes(cursor, prefix, 3);
      seen.push(...page.changes);
      cursor = page.cursor;
      return seen.length;
    })
    .toBe(count);
  return seen;
}

/** A real transaction of the store that is told when to write and when to commit. */
function openTransaction() {
  const steps: { work: (tx: Transaction) => Promise<void>; done: () => void }[] = [];
  let wake: () => void = () => undefined;
  let isOver = false;
  const committed = under.database.withTenant(TENANT, async (tx) => {
    for (;;) {
      const step = steps.shift();
      if (step) await step.work(tx).then(step.done);
      else if (isOver) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  });
  const run = (work: (tx: Transaction) => Promise<void>): Promise<void> =>
    new Promise((done) => {
      steps.push({ work, done });
      wake();
    });
  return {
    /** Takes a place in the order of transactions without writing anything yet. */
    takeNumber: () => run((tx) => tx.query('SELECT pg_current_xact_id()').then(() => undefined)),
    write: (key: string) => run((tx) => writeOne(tx, key)),
    commit: () => {
      isOver = true;
      wake();
      return committed;
    },
  };
}

async function writeOne(tx: Transaction, name: string): Promise<void> {
  const key = asKey(name);
  const row = (await lockContexts(tx, [key])).get(key);
  const at = new Date();
  const write: VersionWrite = {
    key,
    previousVersion: row?.version ?? 0,
    body: await encodeBody(name),
    facts: {
      kind: 'json',
      source: null,
      parent_id: null,
      session_id: null,
      agent_id: null,
      tags: [],
      metadata: {},
      compress: null,
      expires_at: null,
    },
    createdAt: at,
    createdBy: null,
    changeType: 'create',
    reason: null,
    changedBy: null,
    origin: null,
  };
  await writeVersions(tx, [write], at);
}

const keysOf = (found: readonly Change[]): string[] => found.map((change) => change.key);

describe('the change feed', () => {
  it('shows every version of every context once, in the order of their commits', async () => {
    const since = await head();
    await put(under, CALLER, 'seq/a', 1);
    await put(under, CALLER, 'seq/b', 1);
    await put(under, CALLER, 'seq/a', 2);
    await under.store.contexts.delete(CALLER, { key: asKey('seq/b') });
    const seen = await readOn(since, 'seq/', 4);
    expect(
      seen.map((one) => [one.key, one.version, one.changeType, one.deleted, one.reason]),
    ).toEqual([
      ['seq/a', 1, 'create', undefined, undefined],
      ['seq/b', 1, 'create', undefined, undefined],
      ['seq/a', 2, 'update', undefined, undefined],
      ['seq/b', 2, 'delete', true, 'user'],
    ]);
    expect(seen[0]).toMatchObject({
      changedBy: 'test',
      timestamp: expect.stringMatching(/Z$/) as string,
    });
  });

  it('answers an empty page with the cursor it was given, and the head with no change', async () => {
    await put(under, CALLER, 'head/a', 1);
    await readOn(null, 'head/', 1);
    const at = await changes('now', '');
    expect(at.changes).toEqual([]);
    expect(await changes(at.cursor, 'head/')).toEqual({ changes: [], cursor: at.cursor });
    expect(keysOf(await readOn(null, 'head/', 1))).toEqual(['head/a']);
  });

  it('takes a prefix as text', async () => {
    await put(under, CALLER, 'pre%/x', 1);
    await put(under, CALLER, 'preX/x', 1);
    expect(keysOf(await readOn(null, 'pre%', 1))).toEqual(['pre%/x']);
  });
});

describe.skipIf(!hasRealPostgres())(
  'with transactions that commit in another order than they began',
  () => {
    it('waits for the one that wrote first and commits last', async () => {
      const since = await head();
      const late = openTransaction();
      await late.write('p14/late');
      await put(under, CALLER, 'p14/early', 1);
      const between = await changes(since, 'p14/');
      expect(between).toEqual({ changes: [], cursor: since });
      await late.commit();
      expect(keysOf(await readOn(since, 'p14/', 2))).toEqual(['p14/late', 'p14/early']);
    });

    it('waits for one that took its number first and wrote last', async () => {
      const since = await head();
      const late = openTransaction();
      await late.takeNumber();
      const early = openTransaction();
      await early.write('number/early');
      await late.write('number/late');
      await early.commit();
      const between = await changes(since, 'number/');
      expect(between).toEqual({ changes: [], cursor: since });
      await late.commit();
      expect(keysOf(await readOn(since, 'number/', 2))).toEqual(['number/late', 'number/early']);
    });

    it('gives a head that hides nothing either', async () => {
      const late = openTransaction();
      await late.write('now/late');
      await put(under, CALLER, 'now/early', 1);
      const since = await head();
      await late.commit();
      expect(keysOf(await readOn(since, 'now/', 2))).toEqual(['now/late', 'now/early']);
    });

    it('skips nothing and repeats nothing for a reader that looks after every step', async () => {
      const since = await head();
      let cursor = since;
      const seen: Change[] = [];
      const look = async (): Promise<void> => {
        const page = await changes(cursor, 'steps/', 2);
        seen.push(...page.changes);
        cursor = page.cursor;
      };
      // Transaction n writes n keys, begun in order and committed inside out.
      const open = [1, 2, 3, 4].map(() => openTransaction());
      for (const [nth, transaction] of open.entries()) {
        for (let key = 0; key <= nth; key += 1) await transaction.write(`steps/${nth}-${key}`);
        await look();
      }
      for (const nth of [2, 3, 0, 1]) {
        await open[nth]!.commit();
        await look();
      }
      const rest = await readOn(cursor, 'steps/', 10 - seen.length);
      const all = keysOf([...seen, ...rest]);
      expect(new Set(all).size).toBe(10);
      expect(all).toEqual([...all].sort());
    });

    it('forgets a transaction that was rolled back', async () => {
      const since = await head();
      const failing = under.database.withTenant(TENANT, async (tx) => {
        await writeOne(tx, 'back/never');
        throw new Error('changed my mind');
      });
      await expect(failing).rejects.toThrow('changed my mind');
      await put(under, CALLER, 'back/after', 1);
      expect(keysOf(await readOn(since, 'back/', 1))).toEqual(['back/after']);
      expect(await under.store.contexts.get(CALLER, asKey('back/never'))).toBeNull();
    });

    it('waits even for a transaction of another database of the server, and then shows all', async () => {
      const elsewhere = await testDatabase();
      const client = new pg.Client({ connectionString: elsewhere.url });
      await client.connect();
      try {
        const since = await head();
        await client.query('BEGIN; SELECT pg_current_xact_id()');
        await put(under, CALLER, 'elsewhere/a', 1);
        expect(await changes(since, 'elsewhere/')).toEqual({ changes: [], cursor: since });
        await client.query('COMMIT');
        expect(keysOf(await readOn(since, 'elsewhere/', 1))).toEqual(['elsewhere/a']);
      } finally {
        await client.end();
        await elsewhere.drop();
      }
    });
  },
);
