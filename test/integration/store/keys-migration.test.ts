import { randomUUID } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDataSource } from '../../../main/migrate.ts';
import { KeysAndTenants1763740000004 } from '../../../migrations/1763740000004-keys-and-tenants.ts';
import { openStore, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
let source: DataSource;
beforeAll(async () => {
  under = await openStore();
  source = createDataSource(under.url);
  await source.initialize();
});
afterAll(async () => {
  await source.destroy();
  await under.close();
});

/** One direction of the migration, in a transaction as migrations are run. */
async function run(direction: 'up' | 'down'): Promise<void> {
  const runner = source.createQueryRunner();
  await runner.startTransaction();
  await new KeysAndTenants1763740000004()[direction](runner);
  await runner.commitTransaction();
  await runner.release();
}

const insert = (name: string, age: string, revoked = false): Promise<object[]> =>
  under.admin(
    `INSERT INTO api_keys (tenant_id, id, name, prefix, hash, scopes, created_at, revoked_at)
     VALUES ('default', $1::uuid, $2, '', decode(md5($1::uuid::text), 'hex'), '{read}', now() - $3::interval, $4)`,
    [randomUUID(), name, age, revoked ? new Date() : null],
  );

describe('keys of before', () => {
  it('keep their names, but that only the newest of several live ones has it alone', async () => {
    await run('down');
    await insert('root', '1 hour');
    await insert('root', '2 hours');
    await insert('root', '3 hours');
    await insert('root', '4 hours', true);
    await insert('laptop', '1 hour');
    await run('up');
    const rows = await under.admin<{ id: string; name: string }>(
      'SELECT id, name FROM api_keys ORDER BY created_at DESC, name',
    );
    const names = rows.map(({ id, name }) => name.replace(id.slice(0, 8), 'ID'));
    expect(names.sort()).toEqual(['laptop', 'root', 'root', 'root ID', 'root ID']);
    const [forced] = await under.admin(
      `SELECT relrowsecurity AND relforcerowsecurity AS forced FROM pg_class WHERE oid = 'api_keys'::regclass`,
    );
    expect(forced).toEqual({ forced: true });
  });
});
