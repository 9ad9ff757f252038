/**
 * The layer that processes share. A hash per key: the value `v`, and `l`, a lease. Who misses gets the
 * lease and may fill while it stands; a delete takes value and lease away, so what was read before
 * the delete is refused. A lease is random: a Redis that was emptied, or lost its newest writes, refuses,
 * too. Every command touches one key, so a cluster will do; nothing ever lists keys.
 */
import type { CacheLayer, Entry, Filling, Found } from './layer.ts';
import { redisScript, type RedisCommands } from './redis-script.ts';

/** How long a loader has, ms; who takes longer fills nothing. */
const LEASE_MS = 30_000;

const READ = redisScript(`
local found = redis.call('HMGET', KEYS[1], 'v', 'l')
if found[2] then return found end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'l', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {false, ARGV[1]}`);

const FILL = redisScript(`
if redis.call('HGET', KEYS[1], 'l') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`);

export interface RedisLayerOptions {
  readonly name: string;
  readonly lifeMs: number;
  readonly redis: RedisCommands;
  /** Of every key it writes; one per installation and kind of value. */
  readonly prefix: string;
  readonly now: () => number;
  /** Makes leases. */
  readonly newId: () => string;
}

export function createRedisLayer(options: RedisLayerOptions): CacheLayer {
  const { name, lifeMs, redis, prefix, now, newId } = options;

  async function read(key: string): Promise<Found> {
    const answer = await READ(redis, prefix + key, newId(), LEASE_MS);
    const [value, lease] = answer as readonly [Buffer | null, Buffer];
    return { entry: value && decode(value), fence: lease.toString('latin1') };
  }

  async function fill({ key, entry, fence }: Filling): Promise<boolean> {
    const keptMs = Math.ceil(entry.goneAt - now());
    if (fence === null || keptMs <= 0) return false;
    return (await FILL(redis, prefix + key, fence, encode(entry), keptMs)) === 1;
  }

  return {
    name,
    lifeMs,
    getMany: (keys) => Promise.all(keys.map(read)),
    setMany: (fillings) => Promise.all(fillings.map(fill)),
    async deleteMany(keys) {
      await Promise.all(keys.map((key) => redis.callBuffer('UNLINK', prefix + key)));
    },
  };
}

/** Of the form below; another one is not read. */
const FORM = 1;
const LINE_END = 10;

/** A line of JSON with what is known of the value, then its bytes. */
function encode({ bytes, version, expiresAt, freshUntil, goneAt, tags }: Entry): Buffer {
  const head = JSON.stringify([FORM, version, expiresAt, freshUntil, goneAt, tags]);
  return Buffer.concat([Buffer.from(`${head}\n`), bytes]);
}

/** Null: it is not ours to read. */
function decode(value: Buffer): Entry | null {
  try {
    const end = value.indexOf(LINE_END);
    const head = JSON.parse(value.toString('utf8', 0, end)) as unknown[];
    if (end < 0 || head[0] !== FORM) return null;
    const [, version, expiresAt, freshUntil, goneAt, tags] = head as [
      number,
      number,
      number | null,
      number,
      number,
      Record<string, string>,
    ];
    return { bytes: value.subarray(end + 1), version, expiresAt, freshUntil, goneAt, tags };
  } catch {
    return null;
  }
}
