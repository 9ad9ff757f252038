/** Role `job-worker`: the outbox relay and BullMQ's maintenance. */
import { tendTables } from '../store/tend-tables.ts';
import { createConflictWatcher } from '../workers/conflict-watcher.ts';
import { createSearchIndexer } from '../workers/index-search.ts';
import { startMaintenance } from '../workers/maintenance.ts';
import { startRelay } from '../workers/relay.ts';
import type { JobQueue } from '../workers/start-job-queue.ts';
import { measureQueue } from './metrics/server-gauges.ts';
import { startBackups } from './backups.ts';
import type { Lifecycle } from './lifecycle.ts';
import { queueConnection, queuePrefix } from './redis.ts';
import { listenToRedis } from './redis-listener.ts';
import { channelOf, type Services } from './services.ts';

/** Starts the relay and the queues. Answers the maintenance side, for the queue board. */
export async function startJobWorker(services: Services, lifecycle: Lifecycle): Promise<JobQueue> {
  const { config, log, store, wake, client, redisUrl, committed, metrics } = services;
  const watcher = createConflictWatcher(client, config.temporal.taskQueue);
  const queues = queueConnection(redisUrl);
  lifecycle.add({ name: 'queue connection', stop: async () => queues.close() });
  const searchIndexer = createSearchIndexer({ index: store.searchIndex, log });
  lifecycle.add({ name: 'search indexer', stop: () => searchIndexer.stop() });
  const maintenance = await startMaintenance({
    connection: queues.connection,
    prefix: queuePrefix(config),
    sweeps: store.sweeps,
    conflicts: { watch: store.conflictWatch, watcher },
    audits: { store: store.audits, everyMs: config.sync.auditMs },
    rotation: store.rotation,
    searchIndex: store.searchIndex,
    searchIndexer,
    retention: { store: store.retention, policy: config.retention },
    ...(config.database.isTended
      ? { tendTables: () => tendTables(config.database.url!.reveal()) }
      : {}),
    onJob: metrics.job,
    log,
  });
  lifecycle.add({ name: 'queues', stop: () => maintenance.stop() });

  measureQueue(metrics, maintenance.queue);
  await startBackups(services, lifecycle);

  const relay = startRelay({
    outbox: store.outbox,
    wake,
    conflicts: watcher,
    onBatch: metrics.relayed,
    onSearchPending: searchIndexer.nudge,
    log,
  });
  committed.add(relay.nudge);
  const listener = listenToRedis({
    url: redisUrl,
    channel: channelOf(config),
    onMessage: relay.nudge,
    log,
  });
  lifecycle.add({
    name: 'relay',
    async stop() {
      committed.delete(relay.nudge);
      listener.stop();
      await relay.stop();
    },
  });
  return maintenance;
}
