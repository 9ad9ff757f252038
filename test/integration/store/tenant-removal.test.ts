import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../domain/clock.ts';
import type { Caller } from '../../../domain/context.ts';
import type { TenantId } from '../../../domain/ids.ts';
import type { TenantRemoval, Tenants } from '../../../store/contract.ts';
import type { Database } from '../../../store/database.ts';
import { createTenants } from '../../../store/tenants.ts';
import { seedTenant, type Seeded } from './seeded-tenants.ts';
import { codeOf, openStore, put, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
let tenants: Tenants;
let root: Caller;
let neighbour: Seeded;
beforeAll(async () => {
  under = await openStore();
  ({ tenants } = under.store);
  root = await under.addTenant('operators');
  neighbour = await seedTenant(under, 'neighbour');
});
afterAll(() => under.close());

const idOf = (id: string): TenantId => id as TenantId;
const remove = (id: string, how: { force?: boolean; forMs?: number; batch?: number } = {}) =>
  tenants.remove(root, idOf(id), { force: true, forMs: 60_000, ...how });

/** Table → rows of a tenant, past all policies; tables without any are left out. */
async function rowsOf(id: string): Promise<Record<string, number>> {
  const tables = await under.admin<{ name: string }>(
    `SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
     WHERE c.relnamespace = 'context_system'::regnamespace AND c.relkind IN ('r', 'p')`,
  );
  const counts: Record<string, number> = {};
  for (const { name } of tables) {
    const sql = `SELECT count(*)::int AS rows FROM ${name} WHERE tenant_id = $1`;
    const [row] = await under.admin<{ rows: number }>(sql, [id]);
    if (row!.rows > 0) counts[name] = row!.rows;
  }
  return counts;
}

/** What waits for the gate goes on once it is open. */
function createGate(): { readonly gate: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  return { gate, open: () => open() };
}

/** As if the first call had been long ago. */
const passGrace = (id: string): Promise<object[]> =>
  under.admin(`UPDATE tenants SET removing_at = removing_at - interval '1 minute' WHERE id = $1`, [
    id,
  ]);

async function removeWhole(id: string): Promise<TenantRemoval> {
  await remove(id);
  await passGrace(id);
  return remove(id);
}

describe('a tenant', () => {
  it('is made once, listed by id, and gone when it is removed', async () => {
    const made = await tenants.create(root, { id: idOf('fresh'), name: 'Fresh Ltd' });
    expect(made).toMatchObject({ id: 'fresh', name: 'Fresh Ltd', removingAt: null });
    const again = tenants.create(root, { id: idOf('fresh'), name: 'Other' });
    expect(await codeOf(again)).toBe('VALIDATION');
    const first = await tenants.list({ limit: 2 });
    const rest = await tenants.list({ limit: 100, cursor: first.nextCursor! });
    const ids = [...first.items, ...rest.items].map((row) => row.id);
    expect(ids).toEqual(['default', 'fresh', 'neighbour', 'operators']);
    expect(await remove('fresh', { force: false })).toEqual({ removed: true, rows: 0 });
    expect(await codeOf(remove('fresh'))).toBe('TENANT_NOT_FOUND');
  });

  it('leaves a trace in the log of who made and removed it', async () => {
    await tenants.create(root, { id: idOf('traced'), name: 'Traced' });
    await remove('traced');
    const { items } = await under.store.auditLog.list(root.tenant, { limit: 3 });
    expect(items.map(({ action, target, actor }) => [action, target, actor])).toEqual([
      ['tenant.removed', 'traced', root.actor],
      ['tenant.remove', 'traced', root.actor],
      ['tenant.create', 'traced', root.actor],
    ]);
  });

  it('called `default` is there for good', async () => {
    expect(await codeOf(remove('default'))).toBe('VALIDATION');
  });
});

describe('removing a tenant with data', () => {
  it('is refused without force, and changes nothing', async () => {
    const before = await rowsOf('neighbour');
    expect(await codeOf(remove('neighbour', { force: false }))).toBe('TENANT_NOT_EMPTY');
    expect(await rowsOf('neighbour')).toEqual(before);
    expect(await under.store.keys.lookup(neighbour.apiKey)).not.toBeNull();
  });

  it('deletes every row it has in any table, and none of another tenant', async () => {
    const before = await rowsOf('neighbour');
    const { apiKey } = await seedTenant(under, 'goes');
    // A table nobody seeds would prove nothing; tables have to be seeded in seeded-tenants.ts.
    expect(Object.keys(await rowsOf('goes')).sort()).toEqual(Object.keys(before).sort());
    const held = Object.values(await rowsOf('goes')).reduce((all, some) => all + some, 0);
    const first = await remove('goes');
    expect(first).toEqual({ removed: false, rows: held });
    expect(await under.store.keys.lookup(apiKey)).toBeNull();
    await passGrace('goes');
    expect(await remove('goes')).toEqual({ removed: true, rows: 0 });
    expect(await rowsOf('goes')).toEqual({});
    expect(await rowsOf('neighbour')).toEqual(before);
    expect(await under.store.contexts.get(neighbour.caller, neighbour.mine.key)).not.toBeNull();
  });

  it('goes on where it was cut short, in batches that stay small', async () => {
    const caller = await under.addTenant('large');
    for (let nth = 0; nth < 25; nth += 1) await put(under, caller, `k/${nth}`, nth);
    let ticks = 0;
    const clock = { now: () => systemClock.now() + ticks++ * 1_000 };
    const impatient = createTenants({ database: under.database, clock });
    const seen: number[] = [];
    // Every look at the clock takes a second: a call sees all tables and has time for few batches.
    for (let calls = 0; calls < 50; calls += 1) {
      const how = { force: true, forMs: 45_000, batch: 2 };
      const { removed, rows } = await impatient.remove(root, idOf('large'), how);
      if (removed) break;
      seen.push(rows);
      await passGrace('large');
    }
    expect(await rowsOf('large')).toEqual({});
    expect(seen.filter((rows) => rows > 0).length).toBeGreaterThan(1);
    expect(Math.max(...seen)).toBeLessThan(100);
    expect(await codeOf(remove('large'))).toBe('TENANT_NOT_FOUND');
  });

  it('waits for what was let in before, and takes what that wrote along', async () => {
    const { caller } = await seedTenant(under, 'late');
    expect((await remove('late')).removed).toBe(false);
    await put(under, caller, 'written/late', 1);
    expect((await remove('late')).removed).toBe(false);
    await put(under, caller, 'written/later', 1);
    await passGrace('late');
    expect((await remove('late')).removed).toBe(true);
    expect(await rowsOf('late')).toEqual({});
  });

  it('takes no new key while it is under way', async () => {
    const { caller } = await seedTenant(under, 'shutting');
    await remove('shutting');
    const secret = `sk-${randomUUID()}`;
    const key = { id: randomUUID(), secret, name: 'late', scopes: ['read'], expiresAt: null };
    expect(await codeOf(under.store.keys.create(caller, key))).toBe('TENANT_NOT_FOUND');
  });
});

describe('a tenant made by several at the same time', () => {
  /** The database as one sees it who is slow between two transactions of a tenant. */
  const slowed = (until: Promise<unknown>): Database => ({
    ...under.database,
    withTenant: async (tenant, work) => {
      await until;
      return under.database.withTenant(tenant, work);
    },
  });
  /** Makes it, and stores a row as soon as it is there. */
  const makeAndStore = async (made: Tenants, id: string): Promise<void> => {
    const { id: tenant } = await made.create(root, { id: idOf(id), name: id });
    await put(under, { tenant, actor: null }, 'mine', 1);
  };

  it('belongs to one of them, and keeps what that one stores', async () => {
    const { gate, open } = createGate();
    const slow = createTenants({ database: slowed(gate), clock: systemClock });
    const late = makeAndStore(slow, 'raced');
    const early = makeAndStore(tenants, 'raced');
    await early.catch(() => undefined);
    open();
    const [first, second] = await Promise.allSettled([early, late]);
    expect([first.status, second.status].sort()).toEqual(['fulfilled', 'rejected']);
    expect(await rowsOf('raced')).toMatchObject({ contexts: 1 });
  });

  it('keeps it however they meet', async () => {
    for (let nth = 0; nth < 5; nth += 1) {
      const makers = [1, 2, 3, 4].map(() => makeAndStore(tenants, `crowd${nth}`));
      const made = await Promise.allSettled(makers);
      expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      expect(await rowsOf(`crowd${nth}`)).toMatchObject({ contexts: 1 });
    }
  });

  it('keeps what is stored in it while somebody still removes the rows of a former one', async () => {
    const { caller } = await seedTenant(under, 'phoenix');
    await removeWhole('phoenix');
    await put(under, caller, 'left/behind', 1);
    const { gate, open } = createGate();
    const slow = createTenants({ database: slowed(gate), clock: systemClock });
    const removing = slow.remove(root, idOf('phoenix'), { force: true, forMs: 60_000 });
    await makeAndStore(tenants, 'phoenix');
    open();
    await removing.catch(() => undefined);
    expect(await rowsOf('phoenix')).toMatchObject({ contexts: 1 });
  });
});

describe('removing a tenant without force', () => {
  it('is refused when its first row is written in between, and lets it in again', async () => {
    const caller = await under.addTenant('first-row');
    let wasWritten = false;
    const database: Database = {
      ...under.database,
      withTenant: async (tenant, work) => {
        const answer = await under.database.withTenant(tenant, work);
        if (!wasWritten) {
          wasWritten = true;
          await put(under, caller, 'first', 1);
        }
        return answer;
      },
    };
    const removing = createTenants({ database, clock: systemClock });
    const how = { force: false, forMs: 60_000 };
    expect(await codeOf(removing.remove(root, idOf('first-row'), how))).toBe('TENANT_NOT_EMPTY');
    expect(await rowsOf('first-row')).toMatchObject({ contexts: 1 });
    const { items } = await tenants.list({ limit: 100 });
    expect(items.find(({ id }) => id === 'first-row')).toMatchObject({ removingAt: null });
  });

  it('never takes a row along that is written after the mark', async () => {
    const caller = await under.addTenant('second-row');
    await under.store.keys.ensure('sk-second-row', {
      id: randomUUID(),
      tenant: caller.tenant,
      name: 'key',
      scopes: ['write'],
    });
    expect(await remove('second-row', { force: false })).toEqual({ removed: false, rows: 1 });
    await put(under, caller, 'late', 1);
    await passGrace('second-row');
    expect(await codeOf(remove('second-row', { force: false }))).toBe('TENANT_NOT_EMPTY');
    expect(await rowsOf('second-row')).toMatchObject({ contexts: 1 });
  });
});

describe('removing a tenant that is gone', () => {
  it('takes what a long request left behind, and else says that there is none', async () => {
    const { caller } = await seedTenant(under, 'ghost');
    expect((await removeWhole('ghost')).removed).toBe(true);
    await put(under, caller, 'left/behind', 1);
    const again = await remove('ghost', { force: false });
    expect(again).toMatchObject({ removed: true });
    expect(again.rows).toBeGreaterThan(0);
    expect(await rowsOf('ghost')).toEqual({});
    expect(await codeOf(remove('ghost'))).toBe('TENANT_NOT_FOUND');
  });
});

describe('a tenant made anew under an id that was used', () => {
  it('begins empty, whatever a request that outlived the former one left behind', async () => {
    const { caller, mine } = await seedTenant(under, 'reborn');
    expect((await removeWhole('reborn')).removed).toBe(true);
    await put(under, caller, mine.key, 'a ghost');
    await tenants.create(root, { id: idOf('reborn'), name: 'Reborn' });
    expect(await rowsOf('reborn')).toEqual({});
    expect(await under.store.contexts.get(caller, mine.key)).toBeNull();
  });
});
