/** The cache's net: every committed change is found by the first look that can see it. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  announceChanges,
  noteChanges,
  type CommittedChange,
} from '../../../store/announce-changes.ts';
import { mendFeed } from '../../../store/backup/mend-feed.ts';
import { createChangeSweep, type ChangeSweep } from '../../../store/change-sweep.ts';
import type { Transaction } from '../../../store/database.ts';
import { CALLER, TENANT } from '../../support/engine.ts';
import { hasRealPostgres } from '../../support/servers.ts';
import { asKey, openStore, otherStore, put, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
let sweep: ChangeSweep;

beforeAll(async () => {
  under = await openStore();
  sweep = createChangeSweep(under.database);
});
afterAll(() => under.close());

const markNow = async (): Promise<string> => (await sweep.look(null)).mark;

describe('a look for changes', () => {
  it('tells of all tenants, each context once with its newest version, and nothing twice', async () => {
    const other = await under.addTenant('swept-2');
    const mark = await markNow();
    await put(under, CALLER, 'sweep/a', 1);
    await put(under, CALLER, 'sweep/a', 2);
    await put(under, other, 'sweep/a', 1);
    await under.store.contexts.delete(CALLER, { key: asKey('sweep/a') });
    const seen = await sweep.look(mark);
    expect(new Set(seen.changes)).toEqual(
      new Set([
        { tenant: CALLER.tenant, key: 'sweep/a', version: 3 },
        { tenant: other.tenant, key: 'sweep/a', version: 1 },
      ]),
    );
    expect((await sweep.look(seen.mark)).changes).toEqual([]);
  });

  it.skipIf(!hasRealPostgres())(
    'tells at once what commits while an older transaction runs, and that one when it commits',
    async () => {
      let write: () => void = () => undefined;
      const mayWrite = new Promise<void>((resolve) => (write = resolve));
      let begun: () => void = () => undefined;
      const hasBegun = new Promise<void>((resolve) => (begun = resolve));
      const late = under.database.withTenant(TENANT, async (tx: Transaction) => {
        await tx.query('SELECT pg_current_xact_id()');
        begun();
        await mayWrite;
        await tx.query(
          `INSERT INTO changes (tenant_id, key, version, change_type, changed_at)
           VALUES (current_setting('app.tenant'), 'sweep/late', 1, 'create', now())`,
        );
      });
      await hasBegun;
      const mark = await markNow();
      await put(under, CALLER, 'sweep/early', 1);
      const first = await sweep.look(mark);
      expect(first.changes?.map(({ key }) => key)).toEqual(['sweep/early']);
      write();
      await late;
      const second = await sweep.look(first.mark);
      expect(second.changes?.map(({ key }) => key)).toEqual(['sweep/late']);
      expect((await sweep.look(second.mark)).changes).toEqual([]);
    },
  );

  it('says so when there is too much to tell', async () => {
    const mark = await markNow();
    await under.admin(
      `INSERT INTO changes (tenant_id, key, version, change_type, changed_at)
       SELECT '${TENANT}', 'sweep/many/' || n, 1, 'create', now() FROM generate_series(1, 5001) n`,
    );
    const seen = await sweep.look(mark);
    expect(seen.changes).toBeNull();
    expect((await sweep.look(seen.mark)).changes).toEqual([]);
  });

  it('says so when the store was restored since, or the mark is none of ours', async () => {
    const mark = await markNow();
    const client = new pg.Client({ connectionString: under.url });
    await client.connect();
    try {
      await client.query('BEGIN');
      const tx = {
        query: async <Row extends object>(sql: string, values?: readonly unknown[]) =>
          (await client.query<Row>(sql, values as unknown[])).rows,
      };
      await mendFeed(tx, Date.now());
      await client.query('COMMIT');
    } finally {
      await client.end();
    }
    const seen = await sweep.look(mark);
    expect(seen.changes).toBeNull();
    await put(under, CALLER, 'sweep/after', 1);
    expect((await sweep.look(seen.mark)).changes?.map(({ key }) => key)).toEqual(['sweep/after']);
    expect((await sweep.look('nonsense')).changes).toBeNull();
  });

  it('names tenants that are being removed', async () => {
    const gone = await under.addTenant('swept-away');
    await put(under, gone, 'k', 1);
    expect((await sweep.look(null)).removing).toEqual([]);
    await under.admin(`UPDATE tenants SET removing_at = now() WHERE id = 'swept-away'`);
    expect((await sweep.look(null)).removing).toEqual(['swept-away']);
  });
});

describe('a database that announces', () => {
  it('tells what a transaction wrote once it is committed, before its caller knows', async () => {
    const told: { tenant: string; changes: readonly CommittedChange[]; seen: number }[] = [];
    const store = otherStore({
      ...under,
      database: announceChanges(under.database, async (tenant, changes) => {
        // Another connection sees it already.
        const seen = await under.store.contexts.get(CALLER, changes[0]!.key);
        told.push({ tenant, changes, seen: seen?.version ?? 0 });
      }),
    });
    const key = asKey('told/one');
    await store.contexts.store(CALLER, { key, data: 1, options: {} });
    await store.contexts.update(CALLER, { key, data: 2, changeType: 'replace', options: {} });
    await store.contexts.rollback(CALLER, { key, version: 1 });
    await store.contexts.delete(CALLER, { key });
    expect(told.map(({ changes, seen }) => [changes, seen])).toEqual([
      [[{ key, version: 1 }], 1],
      [[{ key, version: 2 }], 2],
      [[{ key, version: 3 }], 3],
      [[{ key, version: 4 }], 0],
    ]);
    expect(new Set(told.map(({ tenant }) => tenant))).toEqual(new Set([CALLER.tenant]));
  });

  it('tells of every version of a batch, and of none that failed before it wrote', async () => {
    const told: CommittedChange[] = [];
    const store = otherStore({
      ...under,
      database: announceChanges(under.database, async (_tenant, changes) => {
        told.push(...changes);
      }),
    });
    const operations = ['x', 'y', 'x'].map((name) => ({
      op: 'store' as const,
      key: asKey(`told/${name}`),
      data: name,
      options: {},
    }));
    await store.contexts.batch(CALLER, { atomic: true, operations });
    expect(new Set(told.map(({ key, version }) => `${key} ${version}`))).toEqual(
      new Set(['told/x 1', 'told/y 1', 'told/x 2']),
    );
    told.length = 0;
    const ifVersion = 99;
    const refused = store.contexts.delete(CALLER, { key: asKey('told/x'), ifVersion });
    await expect(refused).rejects.toMatchObject({ code: 'VERSION_CONFLICT' });
    expect(told).toEqual([]);
  });

  it('says whether they are committed for certain: of a transaction that failed nobody knows', async () => {
    const told: [version: number, isCommitted: boolean][] = [];
    const database = announceChanges(under.database, async (_tenant, changes, isCommitted) => {
      told.push([changes[0]!.version, isCommitted]);
    });
    const write = (version: number, isFailing: boolean): Promise<void> =>
      database.withTenant(TENANT, async (tx) => {
        noteChanges(tx, [{ key: asKey('told/perhaps'), version }]);
        if (isFailing) throw new Error('its answer was lost');
      });
    await expect(write(1, true)).rejects.toThrow('its answer was lost');
    await write(2, false);
    expect(told).toEqual([
      [1, false],
      [2, true],
    ]);
  });
});
