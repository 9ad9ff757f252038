/** Lua scripts of the cache, run by their digest; a Redis that does not know one is given its text. */
import { createHash } from 'node:crypto';

/** As much of a Redis connection as the cache needs; a connection to a cluster does as well. */
export interface RedisCommands {
  callBuffer(command: string, ...args: (string | Buffer | number)[]): Promise<unknown>;
}

/** Runs a script on the one key it touches, so that it works on a cluster. */
export type RedisScript = (
  redis: RedisCommands,
  key: string,
  ...args: readonly (string | Buffer | number)[]
) => Promise<unknown>;

export function redisScript(text: string): RedisScript {
  const digest = createHash('sha1').update(text).digest('hex');
  return async (redis, key, ...args) => {
    try {
      return await redis.callBuffer('EVALSHA', digest, 1, key, ...args);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return redis.callBuffer('EVAL', text, 1, key, ...args);
    }
  };
}
