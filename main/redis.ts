/**
 * Connections to Redis: one server, or a cluster. A cluster is named by `redis-cluster://` or by a
 * list (`redis://a:6379,redis://b:6379`, `redis-cluster://a:6379,b:6379`); any of its nodes will do,
 * the others are found through it.
 */
import type { ConnectionOptions } from 'bullmq';
import { Cluster, Redis } from 'ioredis';
import type { Config } from './config.ts';

export type RedisConnection = Redis | Cluster;

export interface RedisAddress {
  readonly isCluster: boolean;
  /** Scheme, user, password and database count for all nodes; they are the first one's. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly username: string | null;
  readonly password: string | null;
  readonly isTls: boolean;
  readonly database: number;
}

/** What our connections differ in. */
export interface RedisTuning {
  readonly lazyConnect?: boolean;
  /** False: a command while Redis is out fails at once. */
  readonly enableOfflineQueue?: boolean;
  /** Null: for ever. */
  readonly maxRetriesPerRequest?: number | null;
}

const DEFAULT_PORT = 6379;

/** Takes the address apart. @throws TypeError when it is no address */
export function redisAddress(url: string): RedisAddress {
  const [first = '', ...others] = url.split(',').map((part) => part.trim());
  const scheme = /^([a-z-]+):\/\//.exec(first)?.[1] ?? 'redis';
  const parts = [first, ...others.filter(Boolean)].map(
    (part) => new URL(part.includes('://') ? part : `${scheme}://${part}`),
  );
  const { username, password, pathname } = parts[0]!;
  return {
    isCluster: parts.length > 1 || scheme === 'redis-cluster',
    nodes: parts.map(({ hostname, port }) => ({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || DEFAULT_PORT),
    })),
    username: username ? decodeURIComponent(username) : null,
    password: password ? decodeURIComponent(password) : null,
    isTls: scheme === 'rediss',
    database: Number(pathname.slice(1) || 0),
  };
}

/** The same address with a password, where it has none. */
export function withPassword(url: string, password: string): string {
  if (redisAddress(url).password !== null) return url;
  return url.replace(/^([a-z-]+:\/\/)(?:([^@,/]*)@)?/, (_all, scheme: string, user?: string) => {
    const name = (user ?? '').replace(/:$/, '');
    return `${scheme}${name}:${encodeURIComponent(password)}@`;
  });
}

/** Opens a connection; it reconnects by itself. Listen to `error`, or it is thrown. */
export function connectRedis(url: string, tuning: RedisTuning = {}): RedisConnection {
  const address = redisAddress(url);
  if (!address.isCluster) {
    const own = { db: address.database, ...credentialsOf(address) };
    return new Redis({ ...address.nodes[0]!, ...own, ...tuning });
  }
  const { maxRetriesPerRequest, ...whole } = tuning;
  const each = maxRetriesPerRequest === undefined ? {} : { maxRetriesPerRequest };
  return new Cluster([...address.nodes], {
    redisOptions: { ...each, ...credentialsOf(address) },
    ...whole,
  });
}

/** What BullMQ connects with. Close it after the queues and workers that use it. */
export interface QueueConnection {
  readonly connection: ConnectionOptions;
  close(): void;
}

/** BullMQ retries for ever on its own connections, unless told how often. */
export function queueConnection(
  url: string,
  { maxRetriesPerRequest = null }: { readonly maxRetriesPerRequest?: number | null } = {},
): QueueConnection {
  const address = redisAddress(url);
  if (!address.isCluster) {
    const connection = { ...address.nodes[0]!, db: address.database, ...credentialsOf(address) };
    return { connection: { ...connection, maxRetriesPerRequest }, close: () => undefined };
  }
  const cluster = connectRedis(url, { maxRetriesPerRequest });
  cluster.on('error', () => undefined);
  return { connection: cluster, close: () => cluster.disconnect() };
}

/** Prefix of BullMQ's keys. In a cluster a queue's keys must lie together: the braces see to that. */
export function queuePrefix({ redis }: Pick<Config, 'redis'>): string {
  const prefix = `${redis.prefix}-queue`;
  const url = redis.url?.reveal();
  return url !== undefined && redisAddress(url).isCluster ? `{${prefix}}` : prefix;
}

function credentialsOf({ username, password, isTls }: RedisAddress) {
  return {
    ...(username ? { username } : {}),
    ...(password ? { password } : {}),
    ...(isTls ? { tls: {} } : {}),
  };
}
