/** What every role is made of: store, connectors, Temporal client, Redis, in one place, wired once. */
import { randomBytes } from 'node:crypto';
import { Client, type Connection } from '@temporalio/client';
import type { Logger } from 'pino';
import { v7 as newId } from 'uuid';
import {
  createConnectorPool,
  createConnectorRegistry,
  type ConnectorPool,
  type ConnectorRegistry,
} from '../connectors/contract.ts';
import { claudeCode } from '../connectors/claude-code/claude-code.ts';
import { factoryFiles } from '../connectors/factory-files/factory-files.ts';
import { hub } from '../connectors/hub/hub.ts';
import { mcpMemory } from '../connectors/mcp-memory/mcp-memory.ts';
import { systemClock } from '../domain/clock.ts';
import { AppError, messageOf } from '../domain/errors.ts';
import type { LinkRef } from '../store/contract.ts';
import { createStore, type EncryptionDeps, type FullStore } from '../store/create-store.ts';
import { announceChanges } from '../store/announce-changes.ts';
import { createDatabase } from '../store/database.ts';
import { createStorageSizes } from '../store/storage-sizes.ts';
import { OUTBOX_CHANNEL, SETTLED_CHANNEL } from '../workers/contract.ts';
import { createLinkWaker } from '../workers/link-waker.ts';
import { createCaching, type Caching } from './cache.ts';
import type { Config } from './config.ts';
import { createLinkSecrets } from './link-secrets.ts';
import { configuredMasterKeys } from './master-keys.ts';
import { createMetrics, type Metrics } from './metrics/metrics.ts';
import { measureStore } from './metrics/server-gauges.ts';
import { connectRedis, type RedisConnection } from './redis.ts';
import { openTemporal } from './temporal-connection.ts';
import { VERSION } from './version.ts';

const STATEMENT_TIMEOUT_MS = 60_000;

export interface Services {
  readonly config: Config;
  readonly log: Logger;
  readonly store: FullStore;
  readonly registry: ConnectorRegistry;
  readonly pool: ConnectorPool;
  readonly redis: RedisConnection;
  readonly caching: Caching;
  /** This process' counters and gauges. */
  readonly metrics: Metrics;
  readonly temporal: Connection;
  readonly client: Client;
  readonly redisUrl: string;
  /** Makes a link's workflow look. */
  readonly wake: (link: LinkRef, reason: string) => Promise<void>;
  /** Called after commits; the job worker of this process adds itself here. */
  readonly committed: Set<() => void>;
  /** Called when passes have decided about items, for those who wait for a write. */
  readonly settled: Set<() => void>;
  close(): Promise<void>;
}

/** Null: no master key is set. @throws AppError CONFIG_INVALID */
function encryptionOf(config: Config): EncryptionDeps | null {
  const masters = configuredMasterKeys(config);
  return masters && { masters, randomBytes, isDefault: config.encryption.enabled };
}

/**
 * Wires everything. Connections are made when they are first needed, so a process starts whatever is
 * out. @throws AppError CONFIG_INVALID
 */
export async function createServices(
  config: Config,
  log: Logger,
  role = 'all-in-one',
): Promise<Services> {
  const databaseUrl = needed(config.database.url?.reveal(), 'DATABASE_URL');
  const redisUrl = needed(config.redis.url?.reveal(), 'REDIS_URL');
  // No write needs Temporal, so a process starts without it; health tells that it is out.
  needed(config.temporal.address, 'TEMPORAL_ADDRESS');
  const temporal = openTemporal(config.temporal);
  const redis = createRedis(redisUrl, log);
  const metrics = createMetrics({ version: VERSION, role, alerts: config.alerts });
  const readUrl = config.database.readUrl?.reveal();
  const caching = createCaching({ config, bus: redis, redisUrl, metrics, newId, log });
  const pools = createDatabase(
    {
      ...config.database,
      url: databaseUrl,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      replica: readUrl
        ? {
            url: readUrl,
            maxLagMs: config.database.readMaxLagMs,
            onRead: metrics.replicaRead,
          }
        : null,
    },
    (error) => log.warn({ error: error.message }, 'an idle Postgres connection broke'),
  );
  const database = announceChanges(pools, caching.onChanges);
  const committed = new Set<() => void>();
  let isTelling = false;
  // Other processes hear of it through Redis; if it is out, their polling finds it. All commits of one
  // turn of the event loop are told at once.
  const tellOthers = (): void => {
    if (isTelling) return;
    isTelling = true;
    setImmediate(() => {
      isTelling = false;
      redis.publish(channelOf(config), '1').catch(() => undefined);
    });
  };
  const announce = (): void => {
    for (const told of committed) told();
    tellOthers();
  };
  const settled = new Set<() => void>();
  const announceSettled = (): void => {
    for (const told of settled) told();
    redis.publish(settledChannelOf(config), '1').catch(() => undefined);
  };
  const store = createStore({
    database,
    clock: systemClock,
    newId,
    maxContextBytes: config.context.maxBytes,
    defaultTtlS: config.context.defaultTtlS,
    compressAbove: config.context.compressAbove,
    encryption: encryptionOf(config),
    onCommitted: announce,
    onSettled: announceSettled,
    onSweepFailed: (tenant, error) =>
      log.warn({ tenant, error: messageOf(error) }, 'contexts could not be expired'),
  });
  measureStore(metrics, {
    pools: () => database.pools(),
    doctor: store.doctor,
    sizes: createStorageSizes(database),
  });
  const registry = createConnectorRegistry([claudeCode, factoryFiles, mcpMemory, hub]);
  const pool = createConnectorPool({
    typeOf: (kind) => registry.get(kind),
    permissions: permissionsOf(config),
    secret: createLinkSecrets(process.env, config.connectors.secrets),
    hubIdOf: (tenant) => store.sync.hubIdOf(tenant),
    log,
    maxOpen: config.connectors.maxOpen,
    idleMs: config.connectors.idleMs,
  });
  const client = new Client({
    connection: temporal.connection,
    namespace: config.temporal.namespace,
  });
  return {
    config,
    log,
    store,
    registry,
    pool,
    redis,
    caching,
    metrics,
    temporal: temporal.connection,
    client,
    redisUrl,
    wake: createLinkWaker(client, config.temporal.taskQueue),
    committed,
    settled,
    async close() {
      await pool.close();
      caching.close();
      redis.disconnect();
      await temporal.close();
      await store.close();
    },
  };
}

/** The Redis channel of this installation's outbox. */
export function channelOf(config: Config): string {
  return `${config.redis.prefix}:${OUTBOX_CHANNEL}`;
}

/** The Redis channel on which passes of this installation tell that they decided about items. */
export function settledChannelOf(config: Config): string {
  return `${config.redis.prefix}:${SETTLED_CHANNEL}`;
}

export function permissionsOf(config: Config) {
  const { fileRoots, stdioAllow, remoteHosts } = config.connectors;
  return { fileRoots, stdioCommands: stdioAllow, remoteHosts };
}

function createRedis(url: string, log: Logger): RedisConnection {
  // Announcements must not queue up while Redis is out: they are worth nothing later.
  const redis = connectRedis(url, { enableOfflineQueue: false, maxRetriesPerRequest: 1 });
  redis.on('error', (error: Error) => log.debug({ error: error.message }, 'Redis'));
  return redis;
}

function needed(value: string | null | undefined, name: string): string {
  if (value) return value;
  throw new AppError(
    'CONFIG_INVALID',
    `${name} is not set; \`npm start\` brings up what is missing, a single role needs it named`,
  );
}
