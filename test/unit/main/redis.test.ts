import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../main/config.ts';
import { queueConnection, queuePrefix, redisAddress, withPassword } from '../../../main/redis.ts';

describe('addresses of Redis', () => {
  it('one server, with what its address says', () => {
    expect(redisAddress('rediss://ann:p%40ss@cache.example/3')).toEqual({
      isCluster: false,
      nodes: [{ host: 'cache.example', port: 6379 }],
      username: 'ann',
      password: 'p@ss',
      isTls: true,
      database: 3,
    });
    expect(redisAddress('redis://[::1]:6380').nodes).toEqual([{ host: '::1', port: 6380 }]);
  });

  it.each([
    ['redis-cluster://a:7000,b:7001', ['a', 'b']],
    ['redis://a:7000, redis://b:7001', ['a', 'b']],
    ['redis-cluster://a:7000', ['a']],
  ])('a cluster: %s', (url, hosts) => {
    const address = redisAddress(url);
    expect(address.isCluster).toBe(true);
    expect(address.nodes.map(({ host }) => host)).toEqual(hosts);
  });

  it('takes the password of its own setting, where the address has none', () => {
    const passwordIn = (url: string): string | null =>
      redisAddress(withPassword(url, 'p@ss')).password;
    expect(passwordIn('redis://a:1/2')).toBe('p@ss');
    expect(passwordIn('redis://ann@a:1')).toBe('p@ss');
    expect(passwordIn('redis://:own@a:1')).toBe('own');
    expect(passwordIn('redis-cluster://a:1,b:2')).toBe('p@ss');
    expect(redisAddress(withPassword('redis-cluster://a:1,b:2', 'x')).nodes).toHaveLength(2);
  });

  it('keys of a queue lie together in a cluster, and are as they were elsewhere', () => {
    const prefixOf = (url: string): string => {
      const { redis } = loadConfig({ REDIS_URL: url });
      return queuePrefix({ redis: { ...redis, prefix: 'mine' } });
    };
    expect(prefixOf('redis://a:1')).toBe('mine-queue');
    expect(prefixOf('redis-cluster://a:1,b:2')).toBe('{mine-queue}');
  });

  it('a queue’s connection to one server is parts, not a connection', () => {
    expect(queueConnection('redis://:p@a:1/2').connection).toEqual({
      host: 'a',
      port: 1,
      db: 2,
      password: 'p',
      maxRetriesPerRequest: null,
    });
  });

  it('anything else is refused by the configuration', () => {
    for (const url of ['http://a', 'redis://', 'redis-cluster://,'])
      expect(() => loadConfig({ REDIS_URL: url })).toThrow('REDIS_URL');
  });
});
