import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasRealPostgres, testDatabase, type TestDatabase } from '../support/servers.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await testDatabase();
});

afterAll(async () => {
  await database.drop();
});

async function withTwoClients<T>(use: (one: pg.Client, two: pg.Client) => Promise<T>): Promise<T> {
  const one = new pg.Client({ connectionString: database.url });
  const two = new pg.Client({ connectionString: database.url });
  await one.connect();
  await two.connect();
  try {
    return await use(one, two);
  } finally {
    await one.end();
    await two.end();
  }
}

describe('a test database', () => {
  it('starts empty', async () => {
    const tables = await withTwoClients((client) =>
      client.query(`select 1 from pg_tables where schemaname = 'public'`),
    );
    expect(tables.rowCount).toBe(0);
  });

  it.skipIf(!hasRealPostgres())('has locks that make a second client skip', async () => {
    await withTwoClients(async (one, two) => {
      await one.query('create table jobs as select generate_series(1, 2) as id');
      await one.query('begin');
      const claim = 'select id from jobs order by id limit 1 for update skip locked';
      const first = await one.query<{ id: number }>(claim);
      const second = await two.query<{ id: number }>(claim);
      await one.query('rollback');
      expect([first.rows, second.rows]).toEqual([[{ id: 1 }], [{ id: 2 }]]);
    });
  });
});
