/** The metric families this process counts in, over one registry of its own. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** Seconds; the seed's promises (2, 5, 10, 15, 20 ms) lie on bounds. */
const ANSWER_BUCKETS = [
  0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];
const WORK_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900];

export type Families = ReturnType<typeof createFamilies>;

/** Makes all families; each name is told once, here. */
export function createFamilies(registry: Registry) {
  const counter = <Label extends string>(
    name: string,
    help: string,
    labels: readonly Label[] = [],
  ) => new Counter<Label>({ name, help, labelNames: labels, registers: [registry] });
  const gauge = <Label extends string>(name: string, help: string, labels: readonly Label[] = []) =>
    new Gauge<Label>({ name, help, labelNames: labels, registers: [registry] });
  const histogram = <Label extends string>(
    name: string,
    help: string,
    of: { readonly labels: readonly Label[]; readonly buckets: readonly number[] },
  ) =>
    new Histogram<Label>({
      name,
      help,
      labelNames: of.labels,
      buckets: [...of.buckets],
      registers: [registry],
    });
  return {
    operations: counter(
      'context_operations_total',
      'Calls on contexts, by what they do and how they ended.',
      ['operation', 'outcome'],
    ),
    responseTime: histogram(
      'context_response_time',
      'Seconds from a call on contexts to the end of its answer.',
      { labels: ['operation'], buckets: ANSWER_BUCKETS },
    ),
    cacheHitRatio: gauge(
      'context_cache_hit_ratio',
      'Share of the reads that asked this process’ cache which it answered; 0 before the first.',
    ),
    cacheHits: counter('syncline_cache_hits_total', 'Reads a layer of the cache answered.', [
      'layer',
      'freshness',
    ]),
    cacheMisses: counter('syncline_cache_misses_total', 'Reads no layer could answer.'),
    cacheLoads: counter('syncline_cache_loads_total', 'Reads of the source, by outcome.', [
      'outcome',
    ]),
    cacheLoadSeconds: histogram(
      'syncline_cache_load_seconds',
      'Seconds a read of the source took.',
      {
        labels: [],
        buckets: ANSWER_BUCKETS,
      },
    ),
    cacheCoalesced: counter(
      'syncline_cache_coalesced_total',
      'Reads that waited for the same read of another caller; each is a hit or a miss besides.',
    ),
    cacheStale: counter(
      'syncline_cache_stale_served_total',
      'Answers past their life, given under the rules for that.',
      ['reason'],
    ),
    cacheRefused: counter(
      'syncline_cache_refused_fills_total',
      'Values not kept because they might be old: changed while they were read.',
      ['layer'],
    ),
    cacheInvalidations: counter('syncline_cache_invalidations_total', 'What was invalidated.', [
      'kind',
    ]),
    cacheBus: counter(
      'syncline_cache_bus_total',
      'Announcements of changes: sent, not sent, heard, and changes nobody had announced (found in the feed).',
      ['event'],
    ),
    cacheBreaker: gauge('syncline_cache_breaker_open', '1 while a layer is skipped, else 0.', [
      'layer',
    ]),
    cacheEntries: gauge('syncline_cache_entries', 'Entries in a layer of this process.', ['layer']),
    cacheBytes: gauge('syncline_cache_bytes', 'Bytes they take.', ['layer']),
    cacheEvictions: counter(
      'syncline_cache_evictions_total',
      'Entries that had to make room for others.',
      ['layer'],
    ),
    storageSize: gauge('context_storage_size', 'Bytes on disk, by kind.', ['kind']),
    requests: counter('http_requests_total', 'Answers, by route, method and status.', [
      'route',
      'method',
      'status',
    ]),
    requestSeconds: histogram(
      'http_request_duration_seconds',
      'Seconds from a request to the end of its answer; long polls included.',
      { labels: ['route', 'method'], buckets: ANSWER_BUCKETS },
    ),
    inFlight: gauge('http_requests_in_flight', 'Requests that are being answered.'),
    rateLimited: counter('syncline_rate_limited_total', 'Requests refused by the rate limit.'),
    authFailures: counter('syncline_auth_failures_total', 'Requests refused for who asked.', [
      'reason',
    ]),
    sockets: gauge('syncline_websocket_connections', 'Open WebSocket connections.'),
    subscriptions: gauge('syncline_websocket_subscriptions', 'Subscriptions on them.'),
    socketMessages: counter('syncline_websocket_messages_total', 'Messages sent on them.'),
    socketResyncs: counter(
      'syncline_websocket_resyncs_total',
      'Consumers that fell behind and were told to catch up.',
    ),
    poolConnections: gauge(
      'syncline_postgres_pool_connections',
      'Connections to Postgres of this process, by state.',
      ['pool', 'state'],
    ),
    poolWaiting: gauge(
      'syncline_postgres_pool_waiting',
      'Callers waiting for a connection to Postgres.',
      ['pool'],
    ),
    replicaReads: counter(
      'syncline_replica_reads_total',
      'Reads that may be a little old, by who answered and why.',
      ['outcome'],
    ),
    replicaLag: gauge(
      'syncline_replica_lag_seconds',
      'How far the read replica was behind when last looked at; missing: unknown, or none.',
    ),
    outboxMessages: gauge('syncline_outbox_messages', 'Committed messages not yet sent.'),
    outboxAge: gauge('syncline_outbox_oldest_seconds', 'Age of the oldest of them.'),
    relayed: counter('syncline_relay_messages_total', 'Messages the relay took, by outcome.', [
      'outcome',
    ]),
    relaySeconds: histogram('syncline_relay_send_seconds', 'Seconds to send one batch.', {
      labels: [],
      buckets: WORK_BUCKETS,
    }),
    queueJobs: gauge('syncline_queue_jobs', 'Jobs in a queue, by state.', ['queue', 'state']),
    jobs: counter('syncline_jobs_total', 'Jobs that ended, by name and outcome.', [
      'name',
      'outcome',
    ]),
    jobSeconds: histogram('syncline_job_duration_seconds', 'Seconds a job took.', {
      labels: ['name'],
      buckets: WORK_BUCKETS,
    }),
    passes: counter('syncline_passes_total', 'Passes of links that ended here, by status.', [
      'status',
    ]),
    backupsOn: gauge(
      'syncline_backups_on',
      '1 where this process makes backups on schedule, else 0.',
    ),
    backupTime: gauge(
      'syncline_backup_timestamp_seconds',
      'When the newest complete backup was made; missing: none is known.',
    ),
    eventLoopUtilization: gauge(
      'syncline_event_loop_utilization',
      'Share of time the event loop was busy since the last scrape.',
    ),
    thresholds: gauge(
      'syncline_alert_threshold',
      'The bounds of the alert rules, as configured (`alerts.*`).',
      ['name'],
    ),
    collectFailures: counter(
      'syncline_collect_failures_total',
      'Numbers that could not be read when they were scraped, by what they are of.',
      ['of'],
    ),
    build: gauge('syncline_build_info', 'Always 1; says which version runs, as what.', [
      'version',
      'role',
    ]),
  };
}
