/** The store over a migrated database of the test file's own, with a clock that can be moved. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { systemClock } from '../../../domain/clock.ts';
import type { Caller } from '../../../domain/context.ts';
import type { ContextKey, TenantId } from '../../../domain/ids.ts';
import type { Json } from '../../../domain/json.ts';
import { createStore, type FullStore, type StoreDeps } from '../../../store/create-store.ts';
import { createDatabase, type Database } from '../../../store/database.ts';
import { feedShown } from '../../support/feed-shown.ts';
import { migratedDatabase } from '../../support/migrated-database.ts';

/** Bytes one context may have in these tests. */
export const MAX_CONTEXT_BYTES = 256 * 1024;

export interface StoreUnderTest {
  readonly store: FullStore;
  readonly database: Database;
  readonly url: string;
  /** Added to the store's idea of now; the database's own clock stays. */
  readonly clock: { offsetMs: number };
  /** How often the store said that it had committed something. */
  commits(): number;
  /** One statement as the superuser, past all row-level security. */
  admin<Row extends object = Record<string, unknown>>(
    sql: string,
    values?: readonly unknown[],
  ): Promise<Row[]>;
  /** Makes a tenant, as the system role does, and answers a caller for it. */
  addTenant(id: string): Promise<Caller>;
  close(): Promise<void>;
}

/** Another process on the same database, with nothing in memory and a clock of its own. */
export function otherStore({ database }: StoreUnderTest, more: Partial<StoreDeps> = {}): FullStore {
  return createStore({
    database,
    clock: systemClock,
    newId: randomUUID,
    maxContextBytes: MAX_CONTEXT_BYTES,
    onCommitted: () => undefined,
    ...more,
  });
}

/** Opens it; call `close` in `afterAll`. */
export async function openStore(more: Partial<StoreDeps> = {}): Promise<StoreUnderTest> {
  const where = await migratedDatabase();
  const database = createDatabase({ url: where.url, poolMin: 0, poolMax: 24 });
  const clock = { offsetMs: 0 };
  let commits = 0;
  const store = createStore({
    database,
    clock: { now: () => systemClock.now() + clock.offsetMs },
    newId: randomUUID,
    maxContextBytes: MAX_CONTEXT_BYTES,
    onCommitted: () => (commits += 1),
    ...more,
  });
  return {
    store,
    database,
    url: where.url,
    clock,
    commits: () => commits,
    admin: (sql, values) => query(where.url, sql, values),
    addTenant: async (id) => {
      await database.withSystem((tx) =>
        tx.query('INSERT INTO tenants (id, name) VALUES ($1, $1)', [id]),
      );
      return { tenant: id as TenantId, actor: `actor of ${id}` };
    },
    close: async () => {
      await store.close();
      await where.drop();
    },
  };
}

async function query<Row extends object>(
  url: string,
  sql: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('SET search_path = context_system, public');
    return (await client.query<Row>(sql, [...values])).rows;
  } finally {
    await client.end();
  }
}

export const asKey = (key: string): ContextKey => key as ContextKey;

/** Stores data under a key for ever. */
export function put(
  under: StoreUnderTest,
  caller: Caller,
  key: string,
  data: Json,
): ReturnType<FullStore['contexts']['store']> {
  return under.store.contexts.store(caller, { key: asKey(key), data, options: { ttl: null } });
}

/** The code a promise is rejected with; fails when it is not. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown) return String(thrown.code);
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

/** Waits until the change feed hides nothing: any transaction of the server holds it back. */
export async function untilShown(under: StoreUnderTest): Promise<void> {
  await feedShown((sql) => under.admin(sql));
}
