/** The SQL functions an operator may call from psql: what they do, and for whom. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Caller } from '../../../domain/context.ts';
import { CALLER } from '../../support/engine.ts';
import { hasRealPostgres } from '../../support/servers.ts';
import { asKey, codeOf, openStore, put, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
let other: Caller;
beforeAll(async () => {
  under = await openStore();
  other = await under.addTenant('other');
});
afterAll(() => under.close());
beforeEach(() =>
  under.admin(
    'TRUNCATE contexts, context_versions, context_search, changes, outbox, blobs CASCADE',
  ),
);

/** Runs statements in one session, as an operator in psql would; answers the last one's rows. */
async function psql<Row extends object>(...statements: string[]): Promise<Row[]> {
  const client = new pg.Client({ connectionString: under.url });
  await client.connect();
  try {
    let rows: Row[] = [];
    for (const statement of statements) rows = (await client.query<Row>(statement)).rows;
    return rows;
  } finally {
    // PGlite has one session for all.
    for (const reset of ['ROLLBACK', 'RESET ROLE', 'RESET app.tenant']) await client.query(reset);
    await client.end();
  }
}

const CLEANUP = 'SELECT context_system.cleanup_expired_contexts() AS gone';
const AS_APP = 'SET ROLE syncline_app';
/** One context each whose time is over, and one whose is not. */
async function seedExpired(): Promise<void> {
  for (const caller of [CALLER, other]) {
    for (const key of ['over', 'alive']) await put(under, caller, key, key);
  }
  await under.admin(`UPDATE contexts SET expires_at = now() - interval '1 s' WHERE key = 'over'`);
}

describe('cleanup_expired_contexts', () => {
  it('deletes in every tenant what a delete through the API would, with reason ttl', async () => {
    await seedExpired();
    await under.admin('DELETE FROM outbox');
    expect(await psql(CLEANUP)).toEqual([{ gone: 2 }]);
    expect(await psql(CLEANUP)).toEqual([{ gone: 0 }]);
    const rows = `SELECT tenant_id AS tenant, key, version, change_type AS type, reason, changed_by AS by`;
    const expected = ['default', 'other'].map((tenant) => ({
      tenant,
      key: 'over',
      version: 2,
      type: 'delete',
      reason: 'ttl',
      by: 'expiry',
    }));
    for (const table of ['changes', 'context_versions']) {
      expect(await under.admin(`${rows} FROM ${table} WHERE version = 2 ORDER BY 1`)).toEqual(
        expected,
      );
    }
    expect(await under.admin('SELECT payload FROM outbox ORDER BY tenant_id')).toEqual([
      { payload: { keys: ['over'], origin: null } },
      { payload: { keys: ['over'], origin: null } },
    ]);
    expect(await under.admin('SELECT key FROM context_search')).toEqual([
      { key: 'alive' },
      { key: 'alive' },
    ]);
    expect(await under.store.contexts.get(CALLER, asKey('over'))).toBeNull();
    expect((await under.store.contexts.get(CALLER, asKey('alive')))?.version).toBe(1);
  });

  it('keeps to the tenant that app.tenant names, and to what it is bid', async () => {
    await seedExpired();
    await put(under, other, 'also', 1);
    await under.admin(`UPDATE contexts SET expires_at = now() WHERE key = 'also'`);
    expect(
      await psql(
        `SET app.tenant = 'other'`,
        AS_APP,
        'SELECT context_system.cleanup_expired_contexts(1) AS gone',
      ),
    ).toEqual([{ gone: 1 }]);
    expect(await psql(`SET app.tenant = 'other'`, CLEANUP)).toEqual([{ gone: 1 }]);
    expect(await psql(`SET app.tenant = 'default'`, CLEANUP)).toEqual([{ gone: 1 }]);
  });

  it('does nothing for an application session without a tenant, and leaves the session as it was', async () => {
    await seedExpired();
    expect(await psql(AS_APP, CLEANUP)).toEqual([{ gone: 0 }]);
    const [left] = await psql<{ role: string; tenant: string }>(
      'BEGIN',
      CLEANUP,
      `SELECT current_setting('role') AS role, current_setting('app.tenant', true) AS tenant`,
    );
    expect(left).toEqual({ role: 'none', tenant: '' });
  });

  it.skipIf(!hasRealPostgres())(
    'leaves what somebody is writing at this moment to the next sweep',
    async () => {
      await seedExpired();
      const writer = new pg.Client({ connectionString: under.url });
      await writer.connect();
      try {
        await writer.query('BEGIN');
        await writer.query(
          `UPDATE context_system.contexts SET expires_at = NULL WHERE tenant_id = 'other' AND key = 'over'`,
        );
        expect(await psql(CLEANUP)).toEqual([{ gone: 1 }]);
        await writer.query('COMMIT');
        expect(await psql(CLEANUP)).toEqual([{ gone: 0 }]);
      } finally {
        await writer.end();
      }
    },
  );
});

describe('archive_old_versions', () => {
  it('keeps the newest n of each context, in the tenants meant', async () => {
    for (const caller of [CALLER, other]) {
      for (let nth = 1; nth <= 5; nth += 1) await put(under, caller, 'k', nth);
      await put(under, caller, 'young', 1);
    }
    const archive = (keep: number) => `SELECT context_system.archive_old_versions(${keep}) AS gone`;
    expect(await psql(`SET app.tenant = 'other'`, AS_APP, archive(3))).toEqual([{ gone: 2 }]);
    expect(await psql(archive(3))).toEqual([{ gone: 2 }]);
    expect(await psql(archive(1))).toEqual([{ gone: 4 }]);
    const kept = await under.store.contexts.versions(CALLER, { key: asKey('k'), limit: 10 });
    expect(kept.items.map(({ version }) => version)).toEqual([5]);
    expect((await under.store.contexts.get(other, asKey('k')))?.data).toBe(5);
  });

  it.each(['0', '-1', 'NULL'])('refuses to keep %s', async (keep) => {
    const work = psql(`SELECT context_system.archive_old_versions(${keep})`);
    expect(await codeOf(work)).toBe('22023');
  });
});

describe('get_context_stats', () => {
  it('counts each tenant, a session or an agent', async () => {
    await seedExpired();
    await under.store.contexts.store(other, {
      key: asKey('mine'),
      data: 'four',
      options: { sessionId: 's', agentId: 'a', ttl: null },
    });
    const counts = 'tenant, contexts, versions, bytes, sessions, agents, expired, deleted';
    const stats = await psql(`SELECT ${counts} FROM context_system.get_context_stats()`);
    const none = { sessions: '0', agents: '0', expired: '1', deleted: '0' };
    expect(stats).toEqual([
      { ...none, tenant: 'default', contexts: '1', versions: '2', bytes: '7' },
      {
        ...none,
        tenant: 'other',
        contexts: '2',
        versions: '3',
        bytes: '13',
        sessions: '1',
        agents: '1',
      },
    ]);
    const mine = await psql(
      `SET app.tenant = 'other'`,
      AS_APP,
      `SELECT contexts FROM context_system.get_context_stats('s')`,
    );
    expect(mine).toEqual([{ contexts: '1' }]);
  });
});
