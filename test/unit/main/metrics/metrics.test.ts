import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { metricsDocs } from '../../../../main/metrics/metrics-docs.ts';
import { createMetrics } from '../../../../main/metrics/metrics.ts';
import { createReader } from '../../../../main/metrics/reader.ts';
import { startMetricsServer } from '../../../../main/metrics/metrics-server.ts';
import { createStoreDouble } from '../../../support/store-double.ts';
import { callApi, startTestApi, testApiDeps } from '../../../support/api-under-test.ts';
import { samplesOf } from '../../../support/samples.ts';

const OPTIONS = { version: '1.2.3', role: 'api', alerts: { sync_lag_seconds: 60 } };

describe('what the API measures', () => {
  it('counts calls on contexts by operation and outcome, and times them', async () => {
    const measures = createMetrics(OPTIONS);
    const server = await startTestApi(testApiDeps(createStoreDouble(), { measures }));
    try {
      const body = { key: 'a/b', data: 1 };
      await callApi(server.url, 'POST /api/context/store', { body });
      await callApi(server.url, 'GET /api/context/get/a%2Fb');
      await callApi(server.url, 'GET /api/context/get/none');
      await callApi(server.url, 'GET /api/context/get/none');
      await callApi(server.url, 'POST /api/context/store', { body: { nonsense: true } });
      const conflict = { ...body, options: { ifVersion: 7 } };
      await callApi(server.url, 'POST /api/context/store', { body: conflict });
      const samples = await samplesOf(`${server.url}/metrics`);
      const operations = (operation: string, outcome: string) =>
        samples.value('context_operations_total', { operation, outcome });
      expect(operations('store', 'ok')).toBe(1);
      expect(operations('store', 'refused')).toBe(1);
      expect(operations('store', 'conflict')).toBe(1);
      expect(operations('get', 'ok')).toBe(1);
      expect(operations('get', 'not_found')).toBe(2);
      expect(samples.value('context_response_time_count', { operation: 'get' })).toBe(3);
      expect(samples.value('context_response_time_sum', { operation: 'get' })).toBeGreaterThan(0);
      expect(samples.value('context_cache_hit_ratio')).toBe(0);
    } finally {
      await server.stop(1_000);
    }
  });

  it('names routes by their template: nothing a caller sends becomes a label', async () => {
    const measures = createMetrics(OPTIONS);
    const server = await startTestApi(testApiDeps(createStoreDouble(), { measures }));
    try {
      for (let nth = 0; nth < 5; nth += 1) {
        await callApi(server.url, `GET /api/context/get/secret-${nth}`);
        await callApi(server.url, `GET /nowhere/secret-${nth}`);
      }
      await callApi(server.url, 'GET /api/context/docs');
      const { text, value, names } = await samplesOf(`${server.url}/metrics`);
      expect(text).not.toContain('secret-');
      const get = { route: '/api/context/get/:key', method: 'GET', status: '404' };
      expect(value('http_requests_total', get)).toBe(5);
      expect(value('http_requests_total', { ...get, route: 'unmatched' })).toBe(5);
      const docs = { route: '/api/context/docs', method: 'GET', status: '200' };
      expect(value('http_requests_total', docs)).toBe(1);
      expect(value('http_requests_in_flight')).toBe(1);
      expect(names).toContain('process_cpu_seconds_total');
      expect(names).toContain('nodejs_eventloop_lag_p99_seconds');
    } finally {
      await server.stop(1_000);
    }
  });

  it('keeps each process to itself: two servers do not count each other', async () => {
    const [one, two] = [createMetrics(OPTIONS), createMetrics(OPTIONS)];
    one.job('expire-contexts', 'failed', 1);
    expect(await one.text()).toContain(
      'syncline_jobs_total{name="expire-contexts",outcome="failed"} 1',
    );
    expect(await two.text()).not.toContain('outcome="failed"');
  });

  it('tells thresholds and the version, and nothing about what is not known', async () => {
    const text = await createMetrics(OPTIONS).text();
    expect(text).toContain('syncline_alert_threshold{name="sync_lag_seconds"} 60');
    expect(text).toContain('syncline_build_info{version="1.2.3",role="api"} 1');
    expect(text).not.toMatch(/^syncline_replica_lag_seconds /m);
    expect(text).not.toMatch(/^syncline_backup_timestamp_seconds /m);
    expect(text).not.toMatch(/ NaN$/m);
  });

  it('counts what the other parts tell', async () => {
    const metrics = createMetrics(OPTIONS);
    metrics.sockets.connection(1);
    metrics.sockets.subscriptions(3);
    metrics.sockets.subscriptions(-1);
    metrics.sockets.sent(5);
    metrics.sockets.resynced();
    metrics.sockets.refused('auth');
    metrics.relayed({ messages: 7, seconds: 0.1, isSent: true });
    metrics.relayed({ messages: 2, seconds: 0.1, isSent: false });
    metrics.replicaRead('lagging', 12);
    metrics.pass('settled');
    const text = await metrics.text();
    for (const line of [
      'syncline_websocket_connections 1',
      'syncline_websocket_subscriptions 2',
      'syncline_websocket_messages_total 5',
      'syncline_websocket_resyncs_total 1',
      'syncline_auth_failures_total{reason="auth"} 1',
      'syncline_relay_messages_total{outcome="sent"} 7',
      'syncline_relay_messages_total{outcome="failed"} 2',
      'syncline_replica_reads_total{outcome="lagging"} 1',
      'syncline_replica_lag_seconds 12',
      'syncline_passes_total{status="settled"} 1',
    ])
      expect(text.split('\n')).toContain(line);
  });
});

describe('pages that are switched off', () => {
  it('are not there: metrics, the docs, or both', async () => {
    const statuses = async (without: { docs?: boolean; metrics?: boolean }) => {
      const measures = createMetrics(OPTIONS);
      const server = await startTestApi(testApiDeps(createStoreDouble(), { measures, without }));
      const paths = ['/metrics', '/api/context/docs', '/api/context/openapi.json'];
      const answers = await Promise.all(paths.map((path) => fetch(server.url + path)));
      await server.stop(1_000);
      return answers.map(({ status }) => status);
    };
    expect(await statuses({})).toEqual([200, 200, 200]);
    expect(await statuses({ metrics: true })).toEqual([404, 200, 200]);
    expect(await statuses({ docs: true })).toEqual([200, 404, 404]);
  });
});

describe('reading when scraped', () => {
  it('a read that fails is counted and takes its old numbers back; the others are told', async () => {
    const failures: string[] = [];
    const reader = createReader((of) => failures.push(of));
    const forget = vi.fn();
    const read = vi.fn(async () => undefined);
    reader.add('broken', 0, () => Promise.reject(new Error('out')), forget);
    reader.add('well', 0, read);
    await reader.all();
    expect(failures).toEqual(['broken']);
    expect(forget).toHaveBeenCalledOnce();
    expect(read).toHaveBeenCalledOnce();
  });

  it('scrapes in quick succession share what was read', async () => {
    const reader = createReader(() => undefined);
    const read = vi.fn(async () => undefined);
    reader.add('dear', 60_000, read);
    await reader.all();
    await reader.all();
    expect(read).toHaveBeenCalledOnce();
  });

  it('a read that hangs is not begun again by the next scrape', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const failures: string[] = [];
      const reader = createReader((of) => failures.push(of));
      const read = vi.fn(() => new Promise<void>(() => undefined));
      reader.add('stuck', 0, read);
      const scrapes = [reader.all(), reader.all()];
      await vi.advanceTimersByTimeAsync(2_000);
      await Promise.all(scrapes);
      expect(read).toHaveBeenCalledOnce();
      expect(failures).toEqual(['stuck', 'stuck']);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('the metrics of a worker', () => {
  it('are served at /metrics and nowhere else', async () => {
    const server = await startMetricsServer(createMetrics(OPTIONS), { host: '127.0.0.1', port: 0 });
    try {
      const answer = await fetch(server.url);
      expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
      expect(await answer.text()).toContain('syncline_build_info');
      expect((await fetch(new URL('/', server.url))).status).toBe(404);
      expect((await fetch(server.url, { method: 'POST' })).status).toBe(404);
      const port = Number(new URL(server.url).port);
      await expect(
        startMetricsServer(createMetrics(OPTIONS), { host: '127.0.0.1', port }),
      ).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    } finally {
      await server.stop();
    }
  });
});

it('every family is documented in docs/metrics.md', () => {
  const page = readFileSync(new URL('../../../../docs/metrics.md', import.meta.url), 'utf8');
  expect(page).toBe(metricsDocs());
});
