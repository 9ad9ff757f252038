/** The cache and what others do: tenants that come and go, workers, restores, SQL, a cluster. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startGuardian } from '../../../dev/guardian.ts';
import type { ContextKey, TenantId } from '../../../domain/ids.ts';
import { systemClock } from '../../../domain/clock.ts';
import { MIGRATION_LOCK } from '../../../main/migrate.ts';
import { SCHEMA_STEPS } from '../../../main/schema-steps.ts';
import { restoreBackup } from '../../../store/backup/restore-backup.ts';
import { writeBackup } from '../../../store/backup/write-backup.ts';
import { cacheNodes, type CacheNode, type CacheNodes } from '../../support/cache-nodes.ts';
import { startRedisCluster } from '../../support/redis-cluster.ts';
import { redisCommand } from '../../support/own-redis.ts';
import { hasRealPostgres, testRedis } from '../../support/servers.ts';
import { openTcpDoor } from '../../support/tcp-door.ts';

/** Every COMMIT of a change waits for an advisory lock. */
const HOLD_UP_COMMITS = `
CREATE FUNCTION public.wait_for_test() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(1);
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER wait_for_test AFTER INSERT ON context_system.changes
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.wait_for_test()`;
const HELD_UP = `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
const ROOT_KEY = 'sk_root_of_the_cache_tests';
const auth = (key: string) => ({ authorization: `Bearer ${key}` });

async function awaitLayers(of: CacheNode): Promise<void> {
  await vi.waitFor(
    async () => expect(await of.metric('syncline_cache_breaker_open', { layer: 'l2' })).toBe(0),
    { timeout: 10_000 },
  );
}

describe('tenants', () => {
  let nodes: CacheNodes;
  let node: CacheNode;
  const NAMES = ['tenant1', 'tenant10', 'tenant1x'] as const;
  const keys: Record<string, string> = {};

  beforeAll(async () => {
    nodes = await cacheNodes(testRedis().url);
    const env = { CONTEXT_AUTH: 'keys', CONTEXT_ROOT_KEY: ROOT_KEY };
    node = await nodes.start({ env });
    await awaitLayers(node);
    for (const tenant of NAMES) await makeTenant(tenant);
  }, 60_000);
  afterAll(() => nodes.stop());

  async function makeTenant(id: string): Promise<void> {
    const made = await node.call('POST /api/admin/tenants', {
      headers: auth(ROOT_KEY),
      body: { id, name: id },
    });
    expect(made.status).toBe(201);
    const key = await node.call('POST /api/admin/keys', {
      headers: auth(ROOT_KEY),
      body: { name: 'k', tenant: id, scopes: ['read', 'write'] },
    });
    keys[id] = String(key.body['key']);
  }

  const store = (tenant: string, key: string, data: unknown) =>
    node.call('POST /api/context/store', { headers: auth(keys[tenant]!), body: { key, data } });
  const read = (tenant: string, key: string) =>
    node.call(`GET /api/context/get/${encodeURIComponent(key)}`, { headers: auth(keys[tenant]!) });

  /** A process too busy to wait for Redis keeps nothing that time. */
  async function readUntilKept(tenant: string, key: string): Promise<void> {
    let from: string | null = null;
    while (from !== 'l1') {
      const { body, headers } = await read(tenant, key);
      expect(body['data']).toBe(`${tenant} ${key}`);
      from = headers.get('x-cache');
    }
  }

  it('never meet, however their names and keys begin', async () => {
    for (const key of ['k', 'x', '0', 'x:k', '0:k', '0\u00a0k']) {
      // On a busy machine the net may make an entry go that was announced too late; that is one try lost.
      await vi.waitFor(
        async () => {
          for (const tenant of NAMES) await store(tenant, key, `${tenant} ${key}`);
          for (const tenant of NAMES) await readUntilKept(tenant, key);
          await store('tenant1', key, 'new');
          for (const tenant of NAMES.slice(1))
            expect((await read(tenant, key)).headers.get('x-cache')).toBe('l1');
        },
        { timeout: 10_000 },
      );
    }
    await store('tenant10', 'only-here', 1);
    await read('tenant10', 'only-here');
    for (const tenant of ['tenant1', 'tenant1x'])
      expect((await read(tenant, 'only-here')).status).toBe(404);
  }, 60_000);

  it('that are removed are forgotten; who comes under their name sees nothing of theirs', async () => {
    await makeTenant('leaver');
    await store('leaver', 'secret', 'of the first');
    for (let nth = 0; nth < 2; nth += 1) await read('leaver', 'secret');
    await vi.waitFor(
      async () => {
        const removed = await node.call('DELETE /api/admin/tenants/leaver?force=true', {
          headers: auth(ROOT_KEY),
        });
        expect([removed.status, removed.body['removed']]).toEqual([200, true]);
      },
      { timeout: 40_000, interval: 500 },
    );
    await makeTenant('leaver');
    expect((await read('leaver', 'secret')).status).toBe(404);
    await store('leaver', 'secret', 'of the second');
    expect((await read('leaver', 'secret')).body['data']).toBe('of the second');
  }, 60_000);
});

describe('what happens beside the API', () => {
  let nodes: CacheNodes;
  let node: CacheNode;
  let worker: CacheNode;
  const tenant = 'default' as TenantId;

  beforeAll(async () => {
    nodes = await cacheNodes(testRedis().url);
    node = await nodes.start();
    worker = await nodes.start();
    await awaitLayers(node);
  }, 60_000);
  afterAll(() => nodes.stop());

  async function heat(key: string, at = node): Promise<number> {
    await vi.waitFor(async () => expect(await at.from(key)).toBe('l1'), { timeout: 5_000 });
    return version(key, at);
  }

  async function version(key: string, at = node): Promise<number> {
    return Number((await at.call(`GET /api/context/get/${key}`)).body['version']);
  }

  const write = (key: string, data: number) =>
    worker.services.store.contexts.store(
      { tenant, actor: 'sync:link' },
      { key: key as ContextKey, data, options: {} },
    );

  it('a write of a worker is known as soon as its announcement comes, long before the net', async () => {
    await write('worked', 1);
    await heat('worked');
    for (let nth = 2; nth < 12; nth += 1) {
      await write('worked', nth);
      // On its way through Redis and the sockets of a busy machine; the net would take a second.
      await vi.waitFor(async () => expect(await version('worked')).toBe(nth), {
        timeout: 700,
        interval: 5,
      });
    }
  });

  it('a batch too large to be told by name is found in the feed', async () => {
    const caller = { tenant, actor: null };
    const operations = Array.from({ length: 600 }, (_, nth) => ({
      op: 'store' as const,
      key: `many-${nth}` as ContextKey,
      data: nth,
      options: {},
    }));
    await worker.services.store.contexts.batch(caller, { atomic: true, operations });
    for (const key of ['many-1', 'many-599']) await heat(key);
    await worker.services.store.contexts.batch(caller, { atomic: true, operations });
    await vi.waitFor(
      async () => {
        for (const key of ['many-1', 'many-599']) expect(await version(key)).toBe(2);
      },
      { timeout: 3_000 },
    );
  });

  it.skipIf(!hasRealPostgres())(
    'a version whose commit comes after its announcement is found in the feed',
    async () => {
      const { url } = nodes.database;
      const door = await openTcpDoor(Number(new URL(url).port || 5432));
      const doorUrl = new URL(url);
      doorUrl.port = String(door.port);
      const cutOff = await nodes.start({ env: { DATABASE_URL: doorUrl.href } });
      await awaitLayers(cutOff);
      await write('late', 1);
      for (const each of [node, cutOff]) await heat('late', each);
      const admin = new pg.Client({ connectionString: url });
      await admin.connect();
      await admin.query(HOLD_UP_COMMITS);
      await admin.query('SELECT pg_advisory_lock(1)');
      const body = { key: 'late', data: 2 };
      const headers = { 'idempotency-key': 'late' };
      const store = () => cutOff.call('POST /api/context/store', { body, headers });
      const failing = store();
      await vi.waitFor(async () => expect((await admin.query(HELD_UP)).rows).toHaveLength(1));
      // The server goes on; only its answer gets lost.
      door.cut();
      await vi.waitFor(async () => expect(await cutOff.from('late')).not.toBe('l1'));
      for (const each of [node, cutOff]) expect(await heat('late', each)).toBe(1);
      await admin.query('SELECT pg_advisory_unlock(1)');
      expect((await failing).status).toBeGreaterThanOrEqual(500);
      // Whoever asks again is told that it is done, and from then on reads it here at once.
      const again = await store();
      expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([200, 'true']);
      expect(await version('late', cutOff)).toBe(2);
      await vi.waitFor(async () => expect(await version('late')).toBe(2), { timeout: 5_000 });
      await admin.query('DROP FUNCTION public.wait_for_test CASCADE');
      await admin.end();
      await cutOff.stop();
      await door.close();
    },
    30_000,
  );

  it('an expiry by the sweep changes nothing that was not gone before', async () => {
    const body = { key: 'swept', data: 1, options: { ttl: 1 } };
    await node.call('POST /api/context/store', { body });
    await heat('swept');
    await vi.waitFor(
      async () => expect(await worker.services.store.sweeps.expireContexts(10)).toBe(1),
      {
        timeout: 5_000,
      },
    );
    expect((await node.call('GET /api/context/get/swept')).status).toBe(404);
    await node.call('POST /api/context/store', { body: { key: 'swept', data: 2 } });
    expect(await version('swept')).toBe(3);
  });

  it('a restore that turns versions back is noticed within seconds', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'syncline-cache-restore-'));
    const file = join(folder, 'backup');
    const { url } = nodes.database;
    const clock = systemClock;
    await write('restored', 1);
    const backup = await writeBackup({ url, file, product: 'test', clock });
    await write('restored', 2);
    expect(await heat('restored')).toBe(2);
    const from = { url, file: backup.file, steps: SCHEMA_STEPS, lock: MIGRATION_LOCK, clock };
    await restoreBackup({ ...from, replace: true });
    await vi.waitFor(async () => expect(await version('restored')).toBe(1), { timeout: 5_000 });
    rmSync(folder, { recursive: true, force: true });
  }, 60_000);
});

describe.skipIf(redisCommand() === null)('a Redis Cluster', () => {
  it('caches for all processes, tags and scripts included', async () => {
    const home = mkdtempSync(join(tmpdir(), 'syncline-cache-cluster-'));
    const guardian = startGuardian();
    const cluster = (await startRedisCluster(home, guardian))!;
    const nodes = await cacheNodes(cluster.url);
    try {
      const [one, two] = [await nodes.start(), await nodes.start()];
      for (const each of [one, two]) await awaitLayers(each);
      for (let nth = 0; nth < 30; nth += 1) {
        const body = { key: `c-${nth}`, data: nth };
        await one.call('POST /api/context/store', { body });
        await one.from(`c-${nth}`);
        await vi.waitFor(async () => expect(['l1', 'l2']).toContain(await two.from(`c-${nth}`)));
      }
      for (let nth = 0; nth < 30; nth += 1) {
        const target = `GET /api/context/get/c-${nth}`;
        await two.call(`PUT /api/context/update/c-${nth}`, { body: { data: -nth } });
        expect((await two.call(target)).body['version']).toBe(2);
        // Its node may hear of it a moment after the write is answered.
        await vi.waitFor(async () => expect((await one.call(target)).body['version']).toBe(2));
      }
      const labels = { layer: 'l2', freshness: 'fresh' };
      const hits = await two.metric('syncline_cache_hits_total', labels);
      // A process that was too busy to wait for Redis asks the store.
      expect(hits).toBeGreaterThanOrEqual(15);
    } finally {
      await nodes.stop();
      await cluster.stop();
      await guardian.stop();
      rmSync(home, { recursive: true, force: true });
    }
  }, 120_000);
});
