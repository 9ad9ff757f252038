/** `/metrics` of real processes' parts on real servers: numbers that change with what is done. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startApi } from '../../main/api.ts';
import { loadConfig } from '../../main/config.ts';
import { startJobWorker } from '../../main/job-worker.ts';
import { createLifecycle, type Lifecycle } from '../../main/lifecycle.ts';
import { startMetricsServer, type MetricsServer } from '../../main/metrics/metrics-server.ts';
import { migrate } from '../../main/migrate.ts';
import { createServices, type Services } from '../../main/services.ts';
import type { JobQueue } from '../../workers/start-job-queue.ts';
import { samplesOf } from '../support/samples.ts';
import { testDatabase, testRedis, testTemporal, type TestDatabase } from '../support/servers.ts';

const LOG = pino({ level: 'silent' });

let folder: string;
let where: TestDatabase;
let services: Services;
let lifecycle: Lifecycle;
let maintenance: JobQueue;
let worker: MetricsServer;
let url: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-metrics-'));
  where = await testDatabase();
  await migrate(where.url);
  const redis = testRedis();
  const temporal = testTemporal();
  const file = join(folder, 'context.yaml');
  writeFileSync(
    file,
    JSON.stringify({
      database: { redis: { prefix: redis.prefix } },
      temporal: { task_queue: temporal.taskQueue },
      context: { storage: { default_ttl: '1h' }, compression: { threshold: '4kb' } },
      alerts: { sync_lag_seconds: '2m' },
    }),
  );
  const env = {
    SYNCLINE_HOME: folder,
    CONTEXT_API_PORT: '0',
    DATABASE_URL: where.url,
    REDIS_URL: redis.url,
    TEMPORAL_ADDRESS: temporal.address,
  };
  services = await createServices(loadConfig(env, file), LOG);
  lifecycle = createLifecycle(LOG);
  maintenance = await startJobWorker(services, lifecycle);
  ({ url } = await startApi(services, lifecycle));
  worker = await startMetricsServer(services.metrics, { host: '127.0.0.1', port: 0 });
}, 60_000);

afterAll(async () => {
  await worker.stop();
  await lifecycle.stop();
  await services.close();
  await where.drop();
  rmSync(folder, { recursive: true, force: true });
});

async function send(path: string, body: unknown, method = 'POST'): Promise<Response> {
  return fetch(url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

const scrape = () => samplesOf(`${url}/metrics`);

describe('GET /metrics of a running API', () => {
  it('changes with each operation, and by just as much', async () => {
    const before = await scrape();
    for (let nth = 0; nth < 3; nth += 1)
      await send('/api/context/store', { key: `m/${nth}`, data: { nth } });
    await fetch(`${url}/api/context/get/m%2F1`);
    const after = await scrape();
    const grown = (name: string, labels: Record<string, string>) =>
      after.value(name, labels)! - (before.value(name, labels) ?? 0);
    expect(grown('context_operations_total', { operation: 'store', outcome: 'ok' })).toBe(3);
    expect(grown('context_response_time_count', { operation: 'store' })).toBe(3);
    expect(grown('context_operations_total', { operation: 'get', outcome: 'ok' })).toBe(1);
    expect(grown('http_requests_total', { route: '/metrics', status: '200' })).toBe(1);
  });

  it('shows the pool, the event loop, the process, the thresholds and the links', async () => {
    const { value, names } = await scrape();
    const idle = value('syncline_postgres_pool_connections', { pool: 'primary', state: 'idle' })!;
    const busy = value('syncline_postgres_pool_connections', { pool: 'primary', state: 'busy' })!;
    expect(idle + busy).toBeGreaterThan(0);
    expect(idle + busy).toBeLessThanOrEqual(20);
    expect(value('syncline_postgres_pool_waiting', { pool: 'primary' })).toBe(0);
    expect(value('syncline_event_loop_utilization')).toBeLessThanOrEqual(1);
    expect(value('syncline_alert_threshold', { name: 'sync_lag_seconds' })).toBe(120);
    expect(value('syncline_links')).toBe(0);
    for (const name of ['process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds'])
      expect(names).toContain(name);
  });

  it('tells how much room the data takes, by kind', async () => {
    const { value } = await samplesOf(worker.url);
    for (const kind of ['bodies', 'contexts', 'versions', 'changes', 'sync', 'other'])
      expect(value('context_storage_size', { kind })).toBeGreaterThan(0);
  });

  it('shows the queue and the jobs that ran', async () => {
    await maintenance.queue.add('expire-contexts', {});
    await vi.waitFor(
      async () => {
        const { value } = await samplesOf(worker.url);
        const done = { name: 'expire-contexts', outcome: 'completed' };
        expect(value('syncline_jobs_total', done)).toBeGreaterThan(0);
        expect(
          value('syncline_job_duration_seconds_count', { name: 'expire-contexts' }),
        ).toBeGreaterThan(0);
        const { queue } = maintenance;
        expect(
          value('syncline_queue_jobs', { queue: queue.name, state: 'delayed' }),
        ).toBeGreaterThan(0);
      },
      { timeout: 20_000, interval: 100 },
    );
  });

  it('counts what the relay sent, and what still waits', async () => {
    await vi.waitFor(
      async () => {
        const { value } = await scrape();
        expect(value('syncline_relay_messages_total', { outcome: 'sent' })).toBeGreaterThan(0);
        expect(value('syncline_outbox_messages')).toBe(0);
        expect(value('syncline_outbox_oldest_seconds')).toBe(0);
      },
      { timeout: 20_000, interval: 250 },
    );
  });

  it('counts refusals', async () => {
    await send('/api/context/store', { nonsense: true });
    await fetch(`${url}/api/context/get/none`);
    const { value } = await scrape();
    expect(value('context_operations_total', { operation: 'store', outcome: 'refused' })).toBe(1);
    expect(value('context_operations_total', { operation: 'get', outcome: 'not_found' })).toBe(1);
  });

  it('grows with the calls of the API, not with the keys', async () => {
    /** What requests are counted under; series of other parts may begin at any time. */
    const series = async () =>
      [...(await scrape()).text.matchAll(/^\w+\{[^}]*route=[^}]*\}/gm)].map(([name]) => name);
    await fetch(`${url}/api/context/get/warm`);
    const before = await series();
    expect(before.length).toBeGreaterThan(10);
    for (let nth = 0; nth < 50; nth += 1) await fetch(`${url}/api/context/get/key-${nth}`);
    expect(await series()).toEqual(before);
  });
});

describe('settings of the store', () => {
  it('a context whose writer names no ttl lives as long as configured', async () => {
    const began = Date.now();
    await send('/api/context/store', { key: 'ttl', data: 1 });
    const { expiresAt } = (await (await fetch(`${url}/api/context/get/ttl`)).json()) as {
      expiresAt: string;
    };
    const livesMs = Date.parse(expiresAt) - began;
    expect(livesMs).toBeGreaterThan(3_590_000);
    expect(livesMs).toBeLessThan(3_660_000);
  });

  it('bodies are compressed above the configured size', async () => {
    const isCompressed = async (key: string, bytes: number): Promise<boolean> => {
      await send('/api/context/store', { key, data: 'a'.repeat(bytes) });
      const answer = await (await fetch(`${url}/api/context/get/${key}`)).json();
      return (answer as { compressed: boolean }).compressed;
    };
    expect(await isCompressed('small', 3_000)).toBe(false);
    expect(await isCompressed('large', 5_000)).toBe(true);
  });
});
