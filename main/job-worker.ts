/** Role `job-worker`: the outbox relay and BullMQ's maintenance. */
import { createConflictWatcher } from '../workers/conflict-watcher.ts';
import { startMaintenance, type Maintenance } from '../workers/maintenance.ts';
import { startRelay } from '../workers/relay.ts';
import { measureQueue } from './metrics/server-gauges.ts';
import { startBackups } from './backups.ts';
import type { Lifecycle } from './lifecycle.ts';
import { queueConnection, queuePrefix } from './redis.ts';
import { listenToRedis } from './redis-listener.ts';
import { channelOf, type Services } from './services.ts';

/** Starts the relay and the queues. Answers the maintenance side, for the queue board. */
export async function startJobWorker(
  services: Services,
  lifecycle: Lifecycle,
): Promise<Maintenance> {
  const { config, log, store, wake, client, redisUrl, committed, metrics } = services;
  const watcher = createConflictWatcher(client, config.temporal.taskQueue);
  const queues = queueConnection(redisUrl);
  lifecycle.add({ name: 'queue connection', stop: async () => queues.close() });
  const maintenance = await startMaintenance({
    connection: queues.connection,
    prefix: queuePrefix(config),
    sweeps: store.sweeps,
    conflicts: { watch: store.conflictWatch, watcher },
    audits: { store: store.audits, everyMs: config.sync.auditMs },
    rotation: store.rotation,
    searchIndex: store.searchIndex,
    retention: { store: store.retention, policy: config.retention },
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
