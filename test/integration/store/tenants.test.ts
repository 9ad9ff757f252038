import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { RunId, TenantId } from '../../../domain/ids.ts';
import { createApiKeys } from '../../../store/api-keys.ts';
import type { Transaction } from '../../../store/database.ts';
import { MINE, SAME, seedTenant, type Seeded } from './seeded-tenants.ts';
import { newLink } from '../../support/sample-link.ts';
import { codeOf, openStore, put, type StoreUnderTest } from './store-under-test.ts';

const IDS = ['tenant1', 'tenant10', 'tenant1x'];
const REFUSED_BY_POLICY = '42501';

let under: StoreUnderTest;
let tables: { name: string; tenantColumn: string }[];
const seeded = new Map<string, Seeded>();
beforeAll(async () => {
  under = await openStore();
  for (const id of IDS) seeded.set(id, await seedTenant(under, id));
  const rows = await under.admin<{ name: string }>(
    `SELECT relname AS name FROM pg_class
     WHERE relnamespace = 'context_system'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1`,
  );
  tables = rows.map(({ name }) => ({
    name,
    tenantColumn: name === 'tenants' ? 'id' : 'tenant_id',
  }));
});
afterAll(() => under.close());

const inTenant = <T>(id: string, work: (tx: Transaction) => Promise<T>): Promise<T> =>
  under.database.withTenant(id as TenantId, work);

/** Every row of a tenant, as text, past all policies. */
async function everythingOf(id: string): Promise<string[]> {
  const parts = tables.map(async ({ name, tenantColumn }) =>
    (
      await under.admin<{ row: string }>(
        `SELECT t::text AS row FROM ${name} t WHERE ${tenantColumn} = $1 ORDER BY 1`,
        [id],
      )
    ).map((found) => `${name} ${found.row}`),
  );
  return (await Promise.all(parts)).flat();
}

/** Rights of a role, or (role '') of everybody, on tables and on single columns. */
const SELECT_RIGHTS = `
SELECT c.relname || ': ' || x.privilege_type AS "right"
FROM pg_class c, aclexplode(c.relacl) x
WHERE c.relnamespace = 'context_system'::regnamespace AND c.relkind <> 'i'
  AND coalesce((SELECT rolname FROM pg_roles WHERE oid = x.grantee), '') = $1
UNION
SELECT c.relname || '.' || a.attname || ': ' || x.privilege_type
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid, aclexplode(a.attacl) x
WHERE c.relnamespace = 'context_system'::regnamespace
  AND coalesce((SELECT rolname FROM pg_roles WHERE oid = x.grantee), '') = $1
ORDER BY 1`;

describe('every table of the schema', () => {
  it('forces row-level security, for roles that cannot step around it', async () => {
    const open = await under.admin(
      `SELECT relname FROM pg_class WHERE relnamespace = 'context_system'::regnamespace
         AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)`,
    );
    expect(open).toEqual([]);
    const roles = await under.admin(
      `SELECT rolname, rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname LIKE 'syncline\\_%' ORDER BY 1`,
    );
    const powerless = { rolsuper: false, rolbypassrls: false, rolcanlogin: false };
    expect(roles).toEqual([
      { rolname: 'syncline_app', ...powerless },
      { rolname: 'syncline_search', ...powerless },
      { rolname: 'syncline_system', ...powerless },
    ]);
    expect(
      await under.admin(
        `SELECT relname FROM pg_class WHERE relnamespace = 'context_system'::regnamespace
         AND pg_get_userbyid(relowner) LIKE 'syncline\\_%'`,
      ),
    ).toEqual([]);
  });

  it('gives everybody no right at all, and the tenants none but on rows', async () => {
    expect(await under.admin(SELECT_RIGHTS, [''])).toEqual([]);
    const rights = await under.admin<{ right: string }>(SELECT_RIGHTS, ['syncline_app']);
    const kinds = new Set(rights.map(({ right }) => right.replace(/^.*: /, '')));
    expect([...kinds].sort()).toEqual(['DELETE', 'INSERT', 'SELECT', 'UPDATE']);
  });

  it('shows a tenant its own rows and no other row', async () => {
    for (const id of IDS) {
      for (const { name, tenantColumn } of tables) {
        const rows = await inTenant(id, (tx) =>
          tx.query<{ owner: string }>(`SELECT DISTINCT ${tenantColumn} AS owner FROM ${name}`),
        );
        // A new table has to be seeded in seeded-tenants.ts, or this proves nothing about it.
        expect(rows, `${name} seen by ${id}`).toEqual([{ owner: id }]);
      }
    }
  });

  it('shows nothing to a session that names no tenant', async () => {
    const client = new pg.Client({ connectionString: under.url });
    await client.connect();
    try {
      await client.query('SET search_path = context_system; SET ROLE syncline_app');
      for (const setting of [
        '',
        `SET app.tenant = ''`,
        `SET app.tenant = 'tenant'`,
        `SET app.tenant = 'tenant1%'`,
      ]) {
        await client.query(setting);
        for (const { name } of tables) {
          const { rows } = await client.query(`SELECT 1 FROM ${name}`);
          expect(rows, `${name} after ${setting}`).toEqual([]);
        }
      }
    } finally {
      await client.end();
    }
  });

  it('lets a tenant neither change nor delete a row of another', async () => {
    const before = await Promise.all(IDS.slice(1).map(everythingOf));
    for (const { name, tenantColumn } of tables.filter((table) => table.name !== 'tenants')) {
      const touched = await inTenant('tenant1', async (tx) => [
        ...(await tx.query(
          `UPDATE ${name} SET ${tenantColumn} = ${tenantColumn} WHERE ${tenantColumn} <> 'tenant1' RETURNING 1`,
        )),
        ...(await tx.query(`DELETE FROM ${name} WHERE ${tenantColumn} <> 'tenant1' RETURNING 1`)),
      ]);
      expect(touched, name).toEqual([]);
    }
    expect(await Promise.all(IDS.slice(1).map(everythingOf))).toEqual(before);
  });

  it('lets a tenant neither hand a row to another nor write one in its name', async () => {
    const before = await Promise.all(IDS.map(everythingOf));
    for (const { name, tenantColumn } of tables) {
      const given = inTenant('tenant1', (tx) =>
        tx.query(`UPDATE ${name} SET ${tenantColumn} = 'tenant10'`),
      );
      expect(await codeOf(given), `update of ${name}`).toBe(REFUSED_BY_POLICY);
      const columns = await under.admin<{ name: string }>(
        `SELECT attname AS name FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped`,
        [name],
      );
      const names = columns.map((column) => column.name);
      const values = names.map((column) => (column === tenantColumn ? `'tenant10'` : column));
      const forged = inTenant('tenant1', (tx) =>
        tx.query(
          `INSERT INTO ${name} (${names.join(', ')}) OVERRIDING SYSTEM VALUE SELECT ${values.join(', ')} FROM ${name}`,
        ),
      );
      expect(await codeOf(forged), `insert into ${name}`).toBe(REFUSED_BY_POLICY);
    }
    expect(await Promise.all(IDS.map(everythingOf))).toEqual(before);
  });
});

describe('the system role', () => {
  it('has exactly the rights its sweeps need', async () => {
    const rights = await under.admin<{ right: string }>(SELECT_RIGHTS, ['syncline_system']);
    expect(rights.map((row) => row.right)).toEqual([
      'api_keys.last_used_at: UPDATE',
      'api_keys: SELECT',
      'audit: INSERT',
      'changes.changed_at: SELECT',
      'changes.key: SELECT',
      'changes.origin: SELECT',
      'changes.seq: SELECT',
      'changes.tenant_id: SELECT',
      'changes.version: SELECT',
      'changes.xid: SELECT',
      'contexts.deleted: SELECT',
      'contexts.expires_at: SELECT',
      'contexts.key: SELECT',
      'contexts.tenant_id: SELECT',
      'contexts.version: SELECT',
      'encryption_keys.id: SELECT',
      'encryption_keys.master_id: SELECT',
      'encryption_keys.purpose: SELECT',
      'encryption_keys.retired_at: SELECT',
      'encryption_keys.tenant_id: SELECT',
      'feed_horizons: SELECT',
      'idempotency_keys.expires_at: SELECT',
      'idempotency_keys.slot: SELECT',
      'idempotency_keys.tenant_id: SELECT',
      'idempotency_keys: DELETE',
      'outbox: DELETE',
      'outbox: SELECT',
      'outbox: UPDATE',
      'search_pending.tenant_id: SELECT',
      'sync_conflicts.due_at: SELECT',
      'sync_conflicts.id: SELECT',
      'sync_conflicts.link_id: SELECT',
      'sync_conflicts.status: SELECT',
      'sync_conflicts.tenant_id: SELECT',
      'sync_conflicts.watched_at: SELECT',
      'sync_conflicts.watched_at: UPDATE',
      'sync_items.dirty: SELECT',
      'sync_items.dirty_since: SELECT',
      'sync_items.link_id: SELECT',
      'sync_items.retry_at: SELECT',
      'sync_items.state: SELECT',
      'sync_items.tenant_id: SELECT',
      'sync_links: SELECT',
      'sync_links: UPDATE',
      'sync_ops.link_id: SELECT',
      'sync_ops.state: SELECT',
      'sync_ops.tenant_id: SELECT',
      'sync_runs.link_id: SELECT',
      'sync_runs.status: SELECT',
      'sync_runs.tenant_id: SELECT',
      'tenants.removing_at: UPDATE',
      'tenants: DELETE',
      'tenants: INSERT',
      'tenants: SELECT',
    ]);
  });

  it('sees all tenants where it may look, and no body anywhere', async () => {
    const owners = await under.database.withSystem((tx) =>
      tx.query<{ id: string }>(`SELECT DISTINCT tenant_id AS id FROM contexts ORDER BY 1`),
    );
    expect(owners.map((row) => row.id)).toEqual(IDS);
    for (const sql of [
      'SELECT * FROM contexts',
      'SELECT body FROM blobs',
      'SELECT * FROM sync_conflicts',
    ]) {
      expect(await codeOf(under.database.withSystem((tx) => tx.query(sql)))).toBe(
        REFUSED_BY_POLICY,
      );
    }
  });

  it('leaves nothing behind on a connection that is used again for a tenant', async () => {
    for (let nth = 0; nth < 5; nth += 1) {
      await under.database.withSystem((tx) => tx.query('SELECT 1'));
      await inTenant('tenant10', (tx) => tx.query('SELECT 1'));
      await codeOf(inTenant('tenant1x', (tx) => tx.query('SELECT no_such_column')));
      const [row] = await inTenant('tenant1', (tx) =>
        tx.query(`SELECT current_user AS role, current_setting('app.tenant') AS tenant`),
      );
      expect(row).toEqual({ role: 'syncline_app', tenant: 'tenant1' });
    }
  });
});

describe('no call of the store', () => {
  const me = (): Seeded => seeded.get('tenant1')!;
  const others = (): Seeded[] => IDS.slice(1).map((id) => seeded.get(id)!);

  it('finds, shows or changes what belongs to another tenant', async () => {
    const before = await Promise.all(IDS.slice(1).map(everythingOf));
    const { links, runs, conflicts, waits, conflictWatch } = under.store;
    const { caller } = me();
    for (const { link, runId, conflictId } of others()) {
      const refused: [code: string, call: () => Promise<unknown>][] = [
        ['LINK_NOT_FOUND', () => links.get(caller, link.id)],
        ['LINK_NOT_FOUND', () => links.patch(caller, link.id, { name: 'stolen' })],
        ['LINK_NOT_FOUND', () => links.pause(caller, link.id)],
        ['LINK_NOT_FOUND', () => links.resume(caller, link.id)],
        ['LINK_NOT_FOUND', () => links.reset(caller, link.id)],
        ['LINK_NOT_FOUND', () => links.status(caller, link.id)],
        ['LINK_NOT_FOUND', () => links.remove(caller, link.id)],
        ['LINK_NOT_FOUND', () => runs.request(caller, link.id, 'stolen')],
        ['LINK_NOT_FOUND', () => runs.requestPlan(caller, link.id, 'stolen')],
        ['RUN_NOT_FOUND', () => runs.get(caller, runId)],
        ['RUN_NOT_FOUND', () => runs.ops(caller, runId, { limit: 10 })],
        ['RUN_NOT_FOUND', () => runs.requestUndo(caller, runId, 'undo')],
        ['PLAN_NOT_FOUND', () => runs.plan(caller, runId)],
        ['PLAN_NOT_FOUND', () => runs.approve(caller, runId)],
        ['CONFLICT_NOT_FOUND', () => conflicts.get(caller, conflictId)],
        [
          'CONFLICT_NOT_FOUND',
          () => conflicts.resolve(caller, conflictId, { choice: 'remote', by: null }),
        ],
        [
          'LINK_NOT_FOUND',
          () => waits.outcomeOf(caller, { linkId: link.id, key: MINE, version: 1 }),
        ],
      ];
      for (const [code, call] of refused) expect(await codeOf(call())).toBe(code);
      expect(await links.quarantined(caller, link.id)).toEqual([]);
      expect(await runs.list(caller, { linkId: link.id, limit: 10 })).toEqual({
        items: [],
        nextCursor: null,
      });
      expect((await conflicts.list(caller, { linkId: link.id, limit: 10 })).items).toEqual([]);
      const all = { filter: {}, choice: 'remote', by: null, limit: 10 } as const;
      const nothing = { count: 0, items: [], nextCursor: null };
      expect(await conflicts.previewMany(caller, link.id, all)).toEqual(nothing);
      expect(await conflicts.resolveMany(caller, link.id, all)).toEqual(nothing);
      const theirs = { tenant: caller.tenant, conflictId };
      expect(await conflictWatch.look(theirs)).toBeNull();
      expect(await conflictWatch.sides(theirs)).toBeNull();
    }
    expect(await Promise.all(IDS.slice(1).map(everythingOf))).toEqual(before);
  });

  it('mixes up what has the same key, name or body', async () => {
    const { contexts, links, conflicts, runs } = under.store;
    for (const { caller, mine, link, runId, conflictId } of seeded.values()) {
      expect(await contexts.get(caller, MINE)).toEqual(mine);
      expect(mine.data).toEqual({ owner: caller.tenant, version: 2 });
      expect(await contexts.get(caller, SAME)).toMatchObject({
        version: 1,
        createdBy: caller.actor,
      });
      expect((await contexts.versions(caller, { key: MINE, limit: 10 })).items).toHaveLength(2);
      expect(
        (await contexts.list(caller, { limit: 10 })).items.map((row) => row.createdBy),
      ).toEqual([caller.actor, caller.actor]);
      expect((await links.list(caller, { limit: 10 })).items).toEqual([link]);
      expect(await links.get(caller, 'the link')).toEqual(link);
      expect(
        (await runs.list(caller, { linkId: link.id, limit: 10 })).items.map((run) => run.id),
      ).toEqual([runId]);
      expect((await conflicts.list(caller, { limit: 10 })).items.map((one) => one.id)).toEqual([
        conflictId,
      ]);
      const owner = await createApiKeys(under.database).lookup(seeded.get(caller.tenant)!.apiKey);
      expect(owner).toMatchObject({ tenant: caller.tenant, name: 'the key', scopes: ['read'] });
    }
  });

  it('writes, deletes or lists in another tenant what it does in its own', async () => {
    const before = await Promise.all(IDS.slice(1).map(everythingOf));
    const { contexts, links } = under.store;
    const { caller } = me();
    await put(under, caller, 'p/extra', 1);
    await put(under, caller, SAME, 'changed');
    await contexts.delete(caller, { key: SAME });
    const link = await links.create(caller, newLink());
    await links.remove(caller, link.id);
    expect(await Promise.all(IDS.slice(1).map(everythingOf))).toEqual(before);
  });

  it('shows another tenant in the change feed, from any cursor', async () => {
    await expect
      .poll(async () => (await feedOf('tenant10')).map((change) => change.changedBy))
      .toEqual(['actor of tenant10', 'actor of tenant10', 'actor of tenant10']);
    const [, theirs] = await feedOf('tenant1x');
    const after = await feedOf('tenant10', theirs!.cursor);
    expect(after.every((change) => change.changedBy === 'actor of tenant10')).toBe(true);
  });

  it('of the engine reaches over: passes, items, bodies', async () => {
    const { sync } = under.store;
    const { caller } = me();
    for (const { link, mine } of others()) {
      const pass = {
        tenant: caller.tenant,
        linkId: link.id,
        trigger: 'theft',
        newRunId: randomUUID() as RunId,
      };
      expect(await sync.beginPass(pass)).toEqual({ status: 'refused', why: 'gone' });
      const ref = {
        tenant: caller.tenant,
        linkId: link.id,
        runId: seeded.get('tenant1')!.runId,
        fence: '0',
      };
      expect(await sync.linkOfPass(ref)).toBeNull();
      expect(await codeOf(sync.takeOver(ref))).toBe('FENCED');
      expect(await codeOf(sync.observeHub(ref, 10))).toBe('FENCED');
      expect((await sync.knownRemotes(ref, ['remote' as never])).size).toBe(0);
      expect((await sync.bodiesOf(caller.tenant, [mine.hash])).size).toBe(0);
    }
  });

  it('decides a conflict with a body of another tenant', async () => {
    const { caller, conflictId } = me();
    const { conflicts } = under.store;
    for (const { mine } of others()) {
      const stolen = { choice: 'value', valueHash: mine.hash, by: null } as const;
      expect(await codeOf(conflicts.resolve(caller, conflictId, stolen))).toBe('VALIDATION');
    }
  });

  it('wakes a link of another tenant because of a key both have', async () => {
    const { outbox } = under.store;
    await outbox.done((await outbox.claim(1000)).messages.map((message) => message.id));
    await put(under, seeded.get('tenant10')!.caller, 'p/wake', 1);
    const { messages, links } = await outbox.claim(1000);
    expect(messages.map((message) => message.tenant)).toEqual(['tenant10']);
    expect(links).toMatchObject([{ tenant: 'tenant10', linkId: seeded.get('tenant10')!.link.id }]);
  });
});

async function feedOf(id: string, since: string | null = null) {
  const { caller } = seeded.get(id)!;
  return (await under.store.contexts.changes(caller, { since, limit: 100 })).changes;
}
