/** Sends Redis commands as texts, for libraries that bring their own. */
import { Cluster } from 'ioredis';
import type { RedisConnection } from './redis.ts';

/** A sender over a connection. A script is loaded on every node that may be asked to run it. */
export function redisSender(redis: RedisConnection): (...command: string[]) => Promise<unknown> {
  const send = (...[name = '', ...rest]: string[]): Promise<unknown> => redis.call(name, ...rest);
  if (!(redis instanceof Cluster)) return send;
  return async (...command) => {
    if (command[0]?.toUpperCase() !== 'SCRIPT') return send(...command);
    const [name, ...rest] = command;
    const answers = await Promise.all(
      redis.nodes('master').map((node) => node.call(name, ...rest)),
    );
    return answers[0];
  };
}
