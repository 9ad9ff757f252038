/** What may be collected, what may not, and the race of a collector with those who write. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Caller } from '../../../domain/context.ts';
import type { LinkId } from '../../../domain/ids.ts';
import type { RetentionPolicy } from '../../../store/contract.ts';
import { encodeBody, saveBodies } from '../../../store/blobs.ts';
import { BLOB_REFERENCES, collectBlobs } from '../../../store/collect-blobs.ts';
import { CALLER, TENANT } from '../../support/engine.ts';
import { hasRealPostgres } from '../../support/servers.ts';
import { newLink } from '../../support/sample-link.ts';
import {
  asKey,
  codeOf,
  openStore,
  put,
  untilShown,
  type StoreUnderTest,
} from './store-under-test.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const POLICY: RetentionPolicy = {
  keepDeletedMs: 7 * DAY,
  horizonMs: 30 * DAY,
  maxVersions: 100,
  keepRunsMs: 30 * DAY,
  keepRunsPerLink: 2,
  keepAuditMs: 365 * DAY,
  blobGraceMs: DAY,
};

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());
beforeEach(() =>
  under.admin(`TRUNCATE contexts, context_versions, changes, blobs, sync_links, sync_items, sync_runs,
    sync_ops, sync_conflicts, feed_horizons, audit CASCADE`),
);

const collect = (more: Partial<RetentionPolicy> = {}, caller: Caller = CALLER) =>
  under.store.retention.collect(caller.tenant, { ...POLICY, ...more });
/** Makes everything so many days older. */
const age = (days: number) =>
  under.admin(`
    UPDATE changes SET changed_at = changed_at - interval '${days} days';
    UPDATE contexts SET updated_at = updated_at - interval '${days} days';
    UPDATE blobs SET created_at = created_at - interval '${days} days'`);
const remove = (key: string) => under.store.contexts.delete(CALLER, { key: asKey(key) });
const changes = async (since: string | null = null) => {
  await untilShown(under);
  return (await under.store.contexts.changes(CALLER, { since, limit: 100 })).changes.map(
    ({ key, version }) => `${key}@${version}`,
  );
};
const head = async () => {
  await untilShown(under);
  return (await under.store.contexts.changes(CALLER, { since: 'now', limit: 1 })).cursor;
};
const rows = async (table: string): Promise<number> =>
  (await under.admin<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`))[0]!.n;
const aLink = async (cursor: string | null) => {
  const link = await under.store.links.create(CALLER, newLink());
  await under.admin('UPDATE sync_links SET hub_cursor = $1 WHERE id = $2', [cursor, link.id]);
  return link;
};

describe('the change feed', () => {
  it('loses its oldest part once it is old enough and every link has seen it', async () => {
    for (const key of ['a', 'b', 'c']) await put(under, CALLER, key, key);
    const seen = await head();
    await put(under, CALLER, 'd', 'd');
    const link = await aLink('0.0');
    await age(8);
    expect(await collect()).toMatchObject({ changes: 0 });
    await under.admin('UPDATE sync_links SET hub_cursor = $1 WHERE id = $2', [seen, link.id]);
    expect(await collect()).toMatchObject({ changes: 3 });
    expect(await changes()).toEqual(['d@1']);
    expect(await changes(seen)).toEqual(['d@1']);
  });

  it('keeps what is young, and always the newest', async () => {
    await put(under, CALLER, 'a', 1);
    await put(under, CALLER, 'b', 1);
    expect(await collect()).toMatchObject({ changes: 0 });
    const before = await head();
    await age(8);
    expect(await collect()).toMatchObject({ changes: 1 });
    expect(await head()).toBe(before);
  });

  it('refuses a cursor from before what was collected, and starts anew without one', async () => {
    const start = await under.store.contexts.changes(CALLER, { since: null, limit: 1 });
    await put(under, CALLER, 'a', 1);
    const afterA = await head();
    await put(under, CALLER, 'b', 1);
    const afterB = await head();
    await put(under, CALLER, 'c', 1);
    await age(8);
    await collect();
    expect(await codeOf(changes(start.cursor))).toBe('CURSOR_EXPIRED');
    expect(await codeOf(changes(afterA))).toBe('CURSOR_EXPIRED');
    expect(await changes(afterB)).toEqual(['c@1']);
    expect(await changes()).toEqual(['c@1']);
  });

  it('goes beyond the horizon whether a link has seen it or not', async () => {
    await put(under, CALLER, 'a', 1);
    await put(under, CALLER, 'b', 1);
    await aLink('0.0');
    await age(31);
    expect(await collect()).toMatchObject({ changes: 1 });
    const [due] = await under.store.sweeps.takeDueLinks({ limit: 10, maxLive: 10 });
    expect(due?.hasWork).toBe(true);
  });
});

describe('tombstones', () => {
  it('lose their history once their change is gone, never their number and reason', async () => {
    await put(under, CALLER, 'a', 1);
    await remove('a');
    await put(under, CALLER, 'z', 1);
    expect(await collect()).toMatchObject({ contexts: 0 });
    await age(8);
    expect(await collect()).toMatchObject({ changes: 2, contexts: 1 });
    expect(await collect()).toMatchObject({ changes: 0, contexts: 0 });
    expect(await codeOf(remove('a'))).toBe('CONTEXT_NOT_FOUND');
    expect(await under.store.contexts.get(CALLER, asKey('a'))).toBeNull();
    expect(await under.store.contexts.get(CALLER, asKey('a'), 1)).toBeNull();
    const history = await under.store.contexts.versions(CALLER, { key: asKey('a'), limit: 10 });
    expect(history.items).toMatchObject([{ version: 2, changeType: 'delete', reason: 'user' }]);
    const again = await under.store.contexts.store(CALLER, {
      key: asKey('a'),
      data: 2,
      options: { ifVersion: 0 },
    });
    expect(again).toMatchObject({ created: true, envelope: { version: 3 } });
  });

  it('stay while a link holds a base of the key, or its item is not at rest', async () => {
    await put(under, CALLER, 'p/a', 1);
    await remove('p/a');
    await put(under, CALLER, 'z', 1);
    const link = await aLink(null);
    await item(link.id, { state: 'synced', base: 1 });
    await age(8);
    expect(await collect()).toMatchObject({ contexts: 0, items: 0 });
    await under.admin(`UPDATE sync_items SET state = 'tombstoned', dirty = false, base_version = NULL,
      base_hub_hash = NULL, base_remote_hash = NULL, remote_status = 'absent', remote_hash = NULL`);
    expect(await collect()).toMatchObject({ items: 1, contexts: 1 });
  });
});

/** An item of `p/a` with the base of one of its versions. */
const item = (linkId: LinkId, { state, base }: { state: string; base: number }) =>
  under.admin(
    `INSERT INTO sync_items (tenant_id, link_id, key, remote_id, kind, state, base_version, base_hub_hash,
       base_remote_hash, remote_status, remote_hash, dirty)
     SELECT tenant_id, $1, key, 'a', 'memory', $2, version, hash, hash, 'present', hash, false
     FROM context_versions WHERE key = 'p/a' AND version = $3`,
    [linkId, state, base],
  );

describe('versions', () => {
  it('go beyond the newest maxVersions, but never one that is a base or in an open conflict', async () => {
    for (let nth = 1; nth <= 8; nth += 1) await put(under, CALLER, 'p/a', { nth });
    const link = await aLink(null);
    await item(link.id, { state: 'conflict', base: 2 });
    await under.admin(
      `INSERT INTO sync_conflicts (tenant_id, id, link_id, key, status, reason, hub_version, pointers)
       VALUES ('default', $1, $2, 'p/a', 'open', 'edit/edit', 4, '[]')`,
      [randomUUID(), link.id],
    );
    await age(8);
    expect(await collect({ maxVersions: 3 })).toMatchObject({ versions: 3 });
    const kept = await under.admin<{ version: number }>(
      'SELECT version FROM context_versions ORDER BY version',
    );
    expect(kept.map((row) => row.version)).toEqual([2, 4, 6, 7, 8]);
    const bodies = await under.store.contexts.get(CALLER, asKey('p/a'), 2);
    expect(bodies?.data).toEqual({ nth: 2 });
  });
});

describe('bodies', () => {
  it('go when nothing refers to them and their grace is over', async () => {
    await put(under, CALLER, 'a', 'old body');
    for (let nth = 0; nth < 3; nth += 1) await put(under, CALLER, 'a', { nth });
    expect(await collect({ maxVersions: 1 })).toMatchObject({ versions: 3, blobs: 0 });
    await age(2);
    expect(await collect()).toMatchObject({ blobs: 3 });
    expect((await under.store.contexts.get(CALLER, asKey('a')))?.data).toEqual({ nth: 2 });
  });

  it('are protected by every column that names one', async () => {
    const columns = await under.admin<{ name: string }>(
      `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
       WHERE table_schema = 'context_system' AND data_type = 'bytea' ORDER BY 1`,
    );
    const notBodies = ['api_keys.hash', 'blobs.body', 'blobs.hash', 'encryption_keys.wrapped'];
    const requests = ['idempotency_keys.fingerprint', 'idempotency_keys.slot'];
    const named = Object.entries(BLOB_REFERENCES).flatMap(([table, all]) =>
      all.map((column) => `${table}.${column}`),
    );
    expect(columns.map((row) => row.name)).toEqual([...notBodies, ...requests, ...named].sort());
  });

  it.skipIf(!hasRealPostgres())(
    'stay when a writer that is not done yet relies on one, and come back after a deletion',
    async () => {
      await put(under, CALLER, 'a', 'body');
      await under.admin('DELETE FROM contexts; DELETE FROM context_versions');
      await age(2);
      const body = await encodeBody('body');
      const link = await aLink(null);
      const bounds = { graceMs: DAY, batch: 10, maxBatches: 1 };
      // The writer has found the body; the collector comes; the writer refers to it and is done.
      const underWay: { collected?: Promise<number>; written?: Promise<unknown> } = {};
      await under.database.withTenant(TENANT, async (tx) => {
        await saveBodies(tx, [body]);
        underWay.collected = collectBlobs(under.database, TENANT, bounds);
        await Promise.race([underWay.collected, isWaiting()]);
        await tx.query(
          `INSERT INTO sync_conflicts (tenant_id, id, link_id, key, status, reason, hub_version, pointers, hub_hash)
           VALUES (current_setting('app.tenant'), $1, $2, 'a', 'open', 'edit/edit', 1, '[]', decode($3, 'hex'))`,
          [randomUUID(), link.id, body.hash],
        );
      });
      expect(await underWay.collected).toBe(0);
      expect(await rows('blobs')).toBe(1);
      // The collector has deleted it and is not done; the writer comes, waits, and stores it anew.
      await under.admin('DELETE FROM sync_conflicts');
      await under.database.withTenant(TENANT, async (tx) => {
        await tx.query('DELETE FROM blobs');
        underWay.written = put(under, CALLER, 'b', 'body');
        await Promise.race([underWay.written, isWaiting()]);
      });
      await underWay.written;
      expect((await under.store.contexts.get(CALLER, asKey('b')))?.data).toBe('body');
    },
  );

  it.skipIf(!hasRealPostgres())(
    'are never lost to a writer that uses one again at that very moment',
    async () => {
      const seen = { gone: 0, isOver: false };
      const bodies = Array.from({ length: 12 }, (_, nth) => ({ body: nth }));
      const write = async (who: number): Promise<void> => {
        for (let nth = 0; nth < 600 && seen.gone < 60; nth += 1) {
          await put(under, CALLER, `w${who}`, bodies[(nth * 5 + who * 3) % bodies.length]!);
        }
      };
      // A day passes between two writers, never while one is at it: so the lock.
      const makeOld = `
        BEGIN;
        LOCK TABLE blobs IN SHARE ROW EXCLUSIVE MODE;
        DELETE FROM context_versions v USING contexts c WHERE c.key = v.key AND v.version < c.version;
        UPDATE blobs SET created_at = now() - interval '2 days';
        COMMIT`;
      const collector = async (): Promise<void> => {
        const bounds = { graceMs: DAY, batch: 100, maxBatches: 1 };
        while (!seen.isOver) {
          await under.admin(makeOld);
          seen.gone += await collectBlobs(under.database, TENANT, bounds);
        }
      };
      const collecting = Promise.all([collector(), collector()]);
      await Promise.all([0, 1, 2].map(write));
      seen.isOver = true;
      await collecting;
      expect(seen.gone).toBeGreaterThan(20);
      const lost = await under.admin(
        `SELECT key FROM contexts c WHERE NOT EXISTS (
           SELECT 1 FROM blobs b WHERE b.tenant_id = c.tenant_id AND b.hash = c.hash)`,
      );
      expect(lost).toEqual([]);
    },
    60_000,
  );
});

/** Resolves once a session of this database waits for a lock. */
const isWaiting = () =>
  vi.waitFor(async () => {
    const waiting = await under.admin(
      `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    expect(waiting).toHaveLength(1);
  }, 10_000);

describe('runs', () => {
  it('go when they are old, but not the newest, the unfinished, or what a link is parked on', async () => {
    const link = await aLink(null);
    const ids = Array.from({ length: 6 }, () => randomUUID());
    for (const [nth, id] of ids.entries()) {
      await under.admin(
        `INSERT INTO sync_runs (tenant_id, id, link_id, status, trigger, epoch, begun, started_at, ended_at)
         VALUES ('default', $1, $2, 'settled', 't', 1, true, now() - interval '40 days' + $3 * interval '1 minute',
           now() - interval '40 days')`,
        [id, link.id, nth],
      );
    }
    await under.admin(
      `INSERT INTO sync_ops (tenant_id, run_id, seq, link_id, op_id, action, side, reason, key, kind, remote_id, hub_version, state)
       VALUES ('default', $1, 1, $2, $3, 'update', 'remote', 't', 'p/a', 'memory', 'a', 1, 'intended')`,
      [ids[0], link.id, randomUUID()],
    );
    await under.admin(
      `INSERT INTO sync_ops (tenant_id, run_id, seq, link_id, op_id, action, side, reason, key, kind, remote_id, hub_version, state)
       SELECT tenant_id, id, 1, link_id, gen_random_uuid(), 'update', 'remote', 't', 'p/a', 'memory', 'a', 1, 'done'
       FROM sync_runs WHERE id = ANY($1::uuid[])`,
      [[ids[2], ids[4]]],
    );
    await under.admin(
      `UPDATE sync_links SET state = 'parked', guard = json_build_object('planId', $1::text) WHERE id = $2`,
      [ids[1], link.id],
    );
    const before = await under.store.metrics.links(null, 10);
    expect(await collect()).toMatchObject({ runs: 2 });
    const kept = await under.admin<{ id: string }>('SELECT id FROM sync_runs ORDER BY started_at');
    expect(kept.map((row) => row.id)).toEqual([ids[0], ids[1], ids[4], ids[5]]);
    const ops = await under.admin<{ id: string }>('SELECT run_id AS id FROM sync_ops');
    expect(ops.map((row) => row.id).sort()).toEqual([ids[0], ids[4]].sort());
    expect(await under.store.metrics.links(null, 10)).toEqual(before);
    expect(before.perLink[0]?.runs).toEqual({ settled: 6 });
  });
});

describe('a run that another is to undo', () => {
  it('stays until the undo is over', async () => {
    const link = await aLink(null);
    const [undone, undo] = [randomUUID(), randomUUID()];
    await under.admin(
      `INSERT INTO sync_runs (tenant_id, id, link_id, status, mode, undoes, trigger, epoch, begun, started_at, ended_at)
       VALUES ('default', $1, $3, 'settled', 'look', NULL, 't', 1, true, now() - interval '41 days', now() - interval '40 days'),
         ('default', $2, $3, 'running', 'undo', $1, 't', 1, false, now(), NULL)`,
      [undone, undo, link.id],
    );
    expect(await collect({ keepRunsPerLink: 0 })).toMatchObject({ runs: 0 });
    await under.admin(`UPDATE sync_runs SET status = 'settled', ended_at = now() WHERE id = $1`, [
      undo,
    ]);
    expect(await collect({ keepRunsPerLink: 0 })).toMatchObject({ runs: 1 });
  });
});

describe('another tenant', () => {
  it('is not touched', async () => {
    const other = await under.addTenant(`other-${randomUUID().slice(0, 8)}`);
    for (const caller of [CALLER, other]) {
      await put(under, caller, 'a', 1);
      await under.store.contexts.delete(caller, { key: asKey('a') });
      await put(under, caller, 'z', 1);
    }
    await age(40);
    await under.store.retention.collect(TENANT, POLICY);
    const left = await under.admin<{ tenant: string }>(
      `SELECT DISTINCT tenant_id AS tenant FROM context_versions WHERE key = 'a' AND version = 1`,
    );
    expect(left).toEqual([{ tenant: other.tenant }]);
    expect(await under.store.retention.tenants()).toContain(other.tenant);
  });
});
