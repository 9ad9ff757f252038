/** What indexing large bodies costs: beginnings only, a few MiB at a time, and nobody's time. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Hash } from '../../../domain/hash.ts';
import type { Database, OpenTransaction } from '../../../store/database.ts';
import { MAX_TEXT_BYTES } from '../../../store/search/body-text.ts';
import { indexContexts } from '../../../store/search/index-contexts.ts';
import { createSearchIndex } from '../../../store/search/search-index.ts';
import { CALLER } from '../../support/engine.ts';
import { asKey, openStore, type StoreUnderTest } from './store-under-test.ts';

const COUNT = 24;
const MOST_BYTES = 5 * 1024 * 1024;
const { tenant } = CALLER;

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore({ maxContextBytes: 12 * 1024 * 1024 });
  // Random text hardly shrinks: its beginning is the beginning of what is stored, compressed or not.
  for (let nth = 0; nth < COUNT; nth += 1) {
    const text = `needle${nth} ${randomBytes(600_000).toString('base64')}`;
    const options = { ttl: null, compress: nth % 2 === 0 };
    await under.store.contexts.store(CALLER, { key: asKey(`big/${nth}`), data: text, options });
  }
}, 60_000);
afterAll(() => under.close());

interface Look {
  readonly sql: string;
  /** Bytes of each value that came back. */
  readonly sizes: readonly number[];
}

/** A transaction that tells what each statement brought. */
function watched(
  tx: OpenTransaction,
  onLook: (look: Look) => Promise<void> | void,
): OpenTransaction {
  return {
    ...tx,
    query: async <Row extends object>(sql: string, values?: readonly unknown[]) => {
      const rows = await tx.query<Row>(sql, values);
      const sizes = rows
        .flatMap((row): unknown[] => Object.values(row))
        .flatMap((value) => (Buffer.isBuffer(value) ? [value.length] : []));
      await onLook({ sql, sizes });
      return rows;
    },
  };
}

const sumOf = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0);

function expectBounded(looks: readonly Look[]): void {
  expect(looks.flatMap(({ sizes }) => sizes)).toHaveLength(COUNT);
  for (const { sizes } of looks) {
    expect(Math.max(0, ...sizes)).toBeLessThanOrEqual(MAX_TEXT_BYTES + 1024);
    expect(sumOf(sizes)).toBeLessThan(MOST_BYTES);
  }
}

async function foundBy(query: string): Promise<readonly string[]> {
  const asked = { query, mode: 'text', limit: 100, offset: 0 } as const;
  return (await under.store.search.search(CALLER, asked)).results.map(({ key }) => key);
}

it('mending reads beginnings in parts, holds no lock and no transaction id meanwhile', async () => {
  await under.admin('DELETE FROM context_search');
  const looks: Look[] = [];
  let isWritten = false;
  const database: Database = {
    ...under.database,
    withTenant: (id, work) =>
      under.database.withTenant(id, (tx) =>
        work(
          watched(tx, async (look) => {
            if (look.sizes.length === 0) return;
            looks.push(look);
            const [row] = await tx.query<{ xid: string | null }>(
              'SELECT pg_current_xact_id_if_assigned()::text AS xid',
            );
            expect(row!.xid).toBeNull();
            if (isWritten) return;
            isWritten = true;
            const key = asKey('big/1');
            await under.store.contexts.store(CALLER, { key, data: 'quokka', options: {} });
          }),
        ),
      ),
  };
  const done = await createSearchIndex(database).mend(tenant);
  expectBounded(looks);
  expect(looks.length).toBeGreaterThan(1);
  // The one that was written meanwhile was indexed by its writer, and is left as it is.
  expect(done).toEqual({ indexed: COUNT - 1, dropped: 0 });
  expect(await foundBy('quokka')).toEqual(['big/1']);
  expect(await foundBy('needle1')).toEqual([]);
  expect(await foundBy('needle2')).toEqual(['big/2']);
  expect(await foundBy('needle7')).toEqual(['big/7']);
});

it('a transaction that indexes many stored bodies reads beginnings, a few MiB at a time', async () => {
  const rows = await under.admin<{
    key: string;
    hash: Hash;
    size: number;
    codec: 'none' | 'gzip';
  }>(`
    SELECT 'copy/' || v.key AS key, encode(v.hash, 'hex') AS hash, b.size, b.codec
    FROM context_versions v JOIN blobs b USING (tenant_id, hash)
    WHERE v.version = 1 AND v.key LIKE 'big/%'`);
  const looks: Look[] = [];
  const facts = {
    ...{ kind: 'json', session_id: null, agent_id: null, tags: [], metadata: {} },
    expires_at: null,
  };
  await under.database.withTenant(tenant, (tx) =>
    indexContexts(
      watched(tx, (look) => {
        if (look.sizes.length > 0) looks.push(look);
      }),
      rows.map(({ key, ...body }) => ({
        ...{ key, version: 1, facts, updatedAt: new Date() },
        body: { ...body, bytes: null },
      })),
    ),
  );
  expectBounded(looks);
  const [{ count }] = (await under.admin<{ count: number }>(
    `SELECT count(*)::int AS count FROM context_search WHERE key LIKE 'copy/%' AND words @@ 'needle7 | needle8'`,
  )) as [{ count: number }];
  expect(count).toBe(2);
});
