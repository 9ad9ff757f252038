/** Role `job-worker`: the outbox relay and BullMQ's maintenance. */
import { Redis } from 'ioredis';
import { messageOf } from '../domain/errors.ts';
import { createConflictWatcher } from '../workers/conflict-watcher.ts';
import { startMaintenance, type Maintenance } from '../workers/maintenance.ts';
import { startRelay } from '../workers/relay.ts';
import type { Lifecycle } from './lifecycle.ts';
import { channelOf, type Services } from './services.ts';

/** Starts the relay and the queues. Answers the maintenance side, for the queue board. */
export async function startJobWorker(
  services: Services,
  lifecycle: Lifecycle,
): Promise<Maintenance> {
  const { config, log, store, wake, client, redisUrl, committed } = services;
  const watcher = createConflictWatcher(client, config.temporal.taskQueue);
  const maintenance = await startMaintenance({
    connection: connectionOf(redisUrl),
    prefix: `${config.redis.prefix}-queue`,
    sweeps: store.sweeps,
    conflicts: { watch: store.conflictWatch, watcher },
    audits: { store: store.audits, everyMs: config.sync.auditMs },
    retention: { store: store.retention, policy: config.retention },
    log,
  });
  lifecycle.add({ name: 'queues', stop: () => maintenance.stop() });

  const relay = startRelay({ outbox: store.outbox, wake, conflicts: watcher, log });
  committed.add(relay.nudge);
  const subscriber = new Redis(redisUrl);
  subscriber.on('error', (error: Error) => log.debug({ error: error.message }, 'Redis subscriber'));
  subscriber.on('message', relay.nudge);
  subscriber
    .subscribe(channelOf(config))
    .catch((error: unknown) =>
      log.warn({ error: messageOf(error) }, 'announcements are not heard; the relay polls'),
    );
  lifecycle.add({
    name: 'relay',
    async stop() {
      committed.delete(relay.nudge);
      subscriber.disconnect();
      await relay.stop();
    },
  });
  return maintenance;
}

/** BullMQ wants parts, and retries for ever on its own connections. */
export function connectionOf(url: string) {
  const { hostname, port, username, password, pathname, protocol } = new URL(url);
  return {
    host: hostname,
    port: Number(port || 6379),
    db: Number(pathname.slice(1) || 0),
    maxRetriesPerRequest: null,
    ...(username ? { username: decodeURIComponent(username) } : {}),
    ...(password ? { password: decodeURIComponent(password) } : {}),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
  };
}
