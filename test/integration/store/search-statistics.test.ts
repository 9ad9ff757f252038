/** How common words are, of tenants with long texts and of a Postgres that does not answer. */
import pg from 'pg';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createDatabase, type Database } from '../../../store/database.ts';
import { createTermStatistics } from '../../../store/search/term-statistics.ts';
import { openStore, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
let database: Database;
beforeAll(async () => {
  under = await openStore();
  database = createDatabase({ url: under.url, poolMin: 0, poolMax: 4, statementTimeoutMs: 400 });
});
afterAll(async () => {
  await database.close();
  await under.close();
});

it('are taken from as many contexts as have half a million words', async () => {
  const wordy = await under.addTenant('wordy');
  await under.admin('DROP INDEX context_search_words');
  await under.admin(`
    INSERT INTO context_search (tenant_id, key, version, words, facets, updated_at, sample)
    SELECT 'wordy', 'w/' || n, 1, w.words, ARRAY['t:wordy'], now(), -2147483648 + n * 1000
    FROM generate_series(1, 450) n, (SELECT array_to_tsvector(array_agg('word' || m)) AS words
      FROM generate_series(1, 8000) m) w`);
  const read: unknown[] = [];
  const watched: Database = {
    ...under.database,
    withTenant: (tenant, work) =>
      under.database.withTenant(tenant, (tx) =>
        work({
          ...tx,
          query: async <Row extends object>(sql: string, values?: readonly unknown[]) => {
            const rows = await tx.query<Row>(sql, values);
            read.push(...rows);
            return rows;
          },
        }),
      ),
  };
  const clock = { now: () => 0 };
  const statistics = createTermStatistics({ database: watched, clock });
  await statistics.of(wordy.tenant);
  await vi.waitFor(() => expect(read).toHaveLength(1), { timeout: 20_000 });
  const [{ sampled }] = read as [{ sampled: number }];
  expect(sampled).toBeGreaterThan(20);
  expect(sampled * 8_000).toBeLessThan(800_000);
  const taken = await vi.waitFor(async () => {
    const found = await statistics.of(wordy.tenant);
    expect(found.shareOfTerm.get('word17')).toBe(1);
    return found;
  });
  // The estimate of how many there are comes from all that were counted, not from those read.
  expect(taken).toMatchObject({ contexts: 7_200, meanWords: 8_000 });
});

it('are the last ones, or a guess, while they cannot be taken, and no search waits for them', async () => {
  const { tenant } = await under.addTenant('stuck');
  await under.admin(`
    INSERT INTO context_search (tenant_id, key, version, words, facets, updated_at, sample)
    SELECT 'stuck', 's/' || n, 1, 'word', ARRAY['t:stuck'], now(), 1 FROM generate_series(1, 1500) n`);
  const time = { ms: 1_000_000 };
  const statistics = createTermStatistics({ database, clock: { now: () => time.ms } });
  const holder = new pg.Client({ connectionString: under.url });
  await holder.connect();
  const hold = () =>
    holder.query('BEGIN; LOCK TABLE context_system.context_search IN ACCESS EXCLUSIVE MODE');
  try {
    await hold();
    const guess = await statistics.of(tenant);
    expect(guess.contexts).toBe(100_000);
    expect(guess.shareOfFacet.get('t:stuck')).toBe(1);
    await holder.query('COMMIT');
    time.ms += 3_600_000;
    await vi.waitFor(
      async () => expect((await statistics.of(tenant)).contexts).toBe(1_500),
      20_000,
    );

    await hold();
    time.ms += 3_600_000;
    const began = performance.now();
    expect((await statistics.of(tenant)).contexts).toBe(1_500);
    expect(performance.now() - began).toBeLessThan(200);
    // It goes on so when they could not be taken.
    await vi.waitFor(() => expect(database.pools()['primary']?.idle).toBe(1), 20_000);
    expect((await statistics.of(tenant)).contexts).toBe(1_500);
    await holder.query('COMMIT');
  } finally {
    await holder.end();
  }
});
