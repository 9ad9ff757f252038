/** Everything that uses Redis, on a real cluster of three: announcements, queues, jobs, the doctor. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startGuardian, type Guardian } from '../../dev/guardian.ts';
import { findCommand } from '../../dev/find-command.ts';
import { startApi } from '../../main/api.ts';
import { loadConfig, type Config } from '../../main/config.ts';
import { startJobWorker } from '../../main/job-worker.ts';
import { createLifecycle, type Lifecycle } from '../../main/lifecycle.ts';
import { migrate } from '../../main/migrate.ts';
import { connectRedis } from '../../main/redis.ts';
import { createServices, type Services } from '../../main/services.ts';
import type { JobQueue } from '../../workers/start-job-queue.ts';
import { startRedisCluster, type TestRedisCluster } from '../support/redis-cluster.ts';
import { samplesOf } from '../support/samples.ts';
import { testDatabase, testTemporal, type TestDatabase } from '../support/servers.ts';

const LOG = pino({ level: 'silent' });
const hasRedis = findCommand('redis-server', 'valkey-server') !== null;

describe.skipIf(!hasRedis)('a Redis Cluster', () => {
  let home: string;
  let guardian: Guardian;
  let cluster: TestRedisCluster;
  let where: TestDatabase;
  let lifecycle: Lifecycle;
  /** Two processes' worth of services: what one commits, the other hears of through Redis alone. */
  let one: Services;
  let two: Services;
  let maintenance: JobQueue;
  let urls: { readonly one: string; readonly two: string };

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'syncline-cluster-'));
    guardian = startGuardian();
    cluster = (await startRedisCluster(home, guardian))!;
    where = await testDatabase();
    await migrate(where.url);
    lifecycle = createLifecycle(LOG);
    one = await createServices(configOf(), LOG);
    two = await createServices(configOf(), LOG);
    maintenance = await startJobWorker(one, lifecycle);
    urls = {
      one: (await startApi(one, lifecycle)).url,
      two: (await startApi(two, lifecycle)).url,
    };
  }, 90_000);

  afterAll(async () => {
    await lifecycle.stop();
    await one.close();
    await two.close();
    await where.drop();
    await cluster.stop();
    await guardian.stop();
    rmSync(home, { recursive: true, force: true });
  });

  function configOf(): Config {
    const file = join(home, 'context.yaml');
    writeFileSync(file, JSON.stringify({ temporal: { task_queue: testTemporal().taskQueue } }));
    return loadConfig(
      {
        SYNCLINE_HOME: home,
        CONTEXT_API_PORT: '0',
        DATABASE_URL: where.url,
        REDIS_URL: cluster.url,
        TEMPORAL_ADDRESS: testTemporal().address,
      },
      file,
    );
  }

  it('spreads keys over all three nodes, and finds them again', async () => {
    const redis = connectRedis(cluster.url);
    try {
      await Promise.all(
        Array.from({ length: 60 }, (_, nth) => redis.set(`spread:${nth}`, String(nth))),
      );
      const sizes = await Promise.all(
        cluster.ports.map(async (port) => {
          const node = connectRedis(`redis://127.0.0.1:${port}`);
          const size = await node.dbsize();
          node.disconnect();
          return size;
        }),
      );
      expect(Math.min(...sizes)).toBeGreaterThan(0);
      expect(await redis.get('spread:7')).toBe('7');
    } finally {
      redis.disconnect();
    }
  });

  it('the API is ready, and the doctor finds Redis up', async () => {
    const health = (await (await fetch(`${urls.one}/api/context/health`)).json()) as {
      checks: Record<string, unknown>;
    };
    expect(JSON.stringify(health.checks)).not.toContain('down');
    expect(health).toMatchObject({ status: 'ok' });
    const report = (await (await fetch(`${urls.one}/api/sync/doctor`)).json()) as {
      servers: { redis: { status: string } };
    };
    expect(report.servers.redis.status).toBe('up');
  });

  it('a write in one process is announced to the other', async () => {
    const heard = vi.fn();
    const bus = connectRedis(cluster.url);
    bus.on('message', heard);
    await bus.subscribe(`${two.config.redis.prefix}:syncline:outbox`);
    try {
      await fetch(`${urls.one}/api/context/store`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ key: 'announced', data: 1 }),
      });
      await vi.waitFor(() => expect(heard).toHaveBeenCalled(), { timeout: 5_000 });
      const read = await fetch(`${urls.two}/api/context/get/announced`);
      expect(((await read.json()) as { data: number }).data).toBe(1);
    } finally {
      bus.disconnect();
    }
  });

  it('queues work: schedulers are set up, a job runs, its depth and outcome are measured', async () => {
    expect((await maintenance.queue.getJobSchedulers()).length).toBeGreaterThan(3);
    await maintenance.queue.add('forget-answers', {});
    await vi.waitFor(
      async () => {
        const { value } = await samplesOf(`${urls.one}/metrics`);
        const done = { name: 'forget-answers', outcome: 'completed' };
        expect(value('syncline_jobs_total', done)).toBeGreaterThan(0);
        expect(
          value('syncline_queue_jobs', { queue: maintenance.queue.name, state: 'delayed' }),
        ).toBeGreaterThan(0);
      },
      { timeout: 20_000, interval: 100 },
    );
  });
});
