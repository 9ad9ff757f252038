/** One command to a Redis of a test, on a connection of its own. */
import { Redis } from 'ioredis';
import { LOOPBACK } from '../../dev/ports.ts';

/** @throws Error when nobody answers at the port, at once */
export async function callRedis(
  port: number,
  command: string,
  ...args: readonly string[]
): Promise<unknown> {
  const client = new Redis({
    host: LOOPBACK,
    port,
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await client.call(command, ...args);
  } finally {
    client.disconnect();
  }
}

/** True when it answers; null: not (yet). As `waitUntil` asks. */
export function redisAnswers(port: number): Promise<true | null> {
  return callRedis(port, 'PING').then(
    () => true as const,
    () => null,
  );
}
