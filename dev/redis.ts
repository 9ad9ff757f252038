/**
 * Redis for queues and bus: the machine's own `redis-server` or `valkey-server`, with an
 * append-only file and no eviction (a queue must not forget jobs), on the loopback address only.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { AppError, messageOf } from '../domain/errors.ts';
import { startChild, type Child } from './child.ts';
import { findCommand } from './find-command.ts';
import { installRedis } from './install-redis.ts';
import { LOOPBACK } from './ports.ts';
import type { RunningServer, ServerHealth, StartServerOptions } from './server.ts';
import { startOnPort } from './start-on-port.ts';
import { waitUntil } from './wait-until.ts';

const START_MS = 20_000;
const STOP_MS = 10_000;
const HEALTH_MS = 2000;

/** Starts Redis with its data in `<home>/redis`. Throws `SERVER_NOT_STARTED`. */
export async function startRedis(options: StartServerOptions): Promise<RunningServer> {
  const command = findCommand('redis-server', 'valkey-server') ?? (await installRedis(options));
  const folder = join(options.home, 'redis');
  mkdirSync(folder, { recursive: true });
  options.tell('starting', `starting Redis (${command})`);
  try {
    return await startOnPort({
      preferredPort: options.preferredPort,
      alsoOffset: 0,
      graceMs: STOP_MS,
      start: (port) =>
        startChild({
          command,
          args: redisArgs(folder, port),
          logFile: join(folder, 'redis.log'),
          guardian: options.guardian,
        }),
      whenReady: (child, port) => whenReady(child, port, options),
    });
  } catch (cause) {
    throw new AppError(
      'SERVER_NOT_STARTED',
      `Redis did not start: ${messageOf(cause)}\n` +
        `What to do: see ${join(folder, 'redis.log')}, or set REDIS_URL to a Redis (6.2 or newer) of yours.`,
      { cause },
    );
  }
}

/** Asks a Redis for its version; never throws. */
export async function checkRedis(url: string): Promise<ServerHealth> {
  try {
    const info = await serverInfo(url);
    return { isHealthy: true, detail: `version ${info.get('redis_version') ?? 'unknown'}` };
  } catch (thrown) {
    return { isHealthy: false, detail: messageOf(thrown) };
  }
}

async function whenReady(
  child: Child,
  port: number,
  options: StartServerOptions,
): Promise<RunningServer> {
  const address = `redis://${LOOPBACK}:${port}/0`;
  // The process id tells our server from a stranger's that took the port first.
  const look = async (): Promise<Map<string, string> | null> => {
    const info = await serverInfo(address).catch(() => null);
    return info?.get('process_id') === String(child.pid) && info.get('loading') === '0'
      ? info
      : null;
  };
  const info = await waitUntil(look, {
    timeoutMs: START_MS,
    everyMs: 50,
    signal: options.signal,
    givenUp: () => (child.hasEnded() ? 'it ended at once' : null),
  });
  options.tell(
    'ready',
    `Redis on ${LOOPBACK}:${port} (version ${info.get('redis_version') ?? 'unknown'})`,
  );
  return {
    name: 'redis',
    address,
    port,
    pid: child.pid,
    ended: child.ended,
    stop: () => child.stop(STOP_MS),
    health: () => checkRedis(address),
  };
}

function redisArgs(folder: string, port: number): string[] {
  const settings: Record<string, string> = {
    port: String(port),
    bind: LOOPBACK,
    dir: folder,
    appendonly: 'yes',
    appendfsync: 'everysec',
    'maxmemory-policy': 'noeviction',
    daemonize: 'no',
    'protected-mode': 'yes',
  };
  // An empty `save` turns snapshots off: the append-only file is enough.
  return [...Object.entries(settings).flatMap(([key, value]) => [`--${key}`, value]), '--save', ''];
}

async function serverInfo(url: string): Promise<Map<string, string>> {
  const client = new Redis(url, {
    lazyConnect: true,
    connectTimeout: HEALTH_MS,
    commandTimeout: HEALTH_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const lines = (await client.info()).split('\r\n').filter((line) => line.includes(':'));
    return new Map(lines.map((line) => splitOnce(line)));
  } finally {
    client.disconnect();
  }
}

function splitOnce(line: string): [string, string] {
  const at = line.indexOf(':');
  return [line.slice(0, at), line.slice(at + 1)];
}
