/**
 * Versions of tags. An entry carries the versions its tags had before its value was read, and is
 * good while they are the same; so whatever carries a tag is invalidated by one write. Versions are
 * random, not counted: a store that forgot one gives another, never an old one again.
 */
import { LRUCache } from 'lru-cache';
import { withDeadline } from '../domain/with-deadline.ts';
import { redisScript, type RedisCommands } from './redis-script.ts';

/** Where processes share the versions. */
export interface TagStore {
  /** The versions, in order; a tag without one gets one. */
  read(tags: readonly string[]): Promise<readonly string[]>;
  /** Gives these versions to the tags. */
  write(versions: readonly (readonly [tag: string, version: string])[]): Promise<void>;
}

const READ = redisScript(`
local version = redis.call('GET', KEYS[1]) or ARGV[1]
redis.call('SET', KEYS[1], version, 'PX', ARGV[2])
return version`);

/** Longer than any entry lives, ms: what is forgotten sooner invalidates more than it must. */
const KEPT_MS = 7 * 86_400_000;

export function createRedisTags(deps: {
  readonly redis: RedisCommands;
  readonly prefix: string;
  readonly newId: () => string;
}): TagStore {
  const { redis, prefix, newId } = deps;
  return {
    read: (tags) =>
      Promise.all(
        tags.map(async (tag) => String(await READ(redis, prefix + tag, newId(), KEPT_MS))),
      ),
    async write(versions) {
      await Promise.all(
        versions.map(([tag, version]) =>
          redis.callBuffer('SET', prefix + tag, version, 'PX', KEPT_MS),
        ),
      );
    },
  };
}

export interface TagTable {
  /**
   * The versions as far as this process may rely on them, without I/O; null: ask
   * {@link TagTable.refresh}. Versions that are not quite new are asked for in the background.
   */
  known(tags: readonly string[]): Readonly<Record<string, string>> | null;
  /** Asks for versions, and answers them; who cannot be asked is told by {@link TagTable.known}. */
  refresh(tags: readonly string[]): Promise<Readonly<Record<string, string>> | null>;
  /** New versions: at once here, then for everybody. @throws whatever the store throws */
  bump(tags: readonly string[]): Promise<void>;
}

export interface TagTableOptions {
  /** Null: nobody else shares the cache. */
  readonly store: TagStore | null;
  readonly now: () => number;
  readonly newId: () => string;
  /** After so long a version is asked for again, ms. */
  readonly freshMs?: number;
  /** After so long without an answer it is not relied on, ms. */
  readonly trustMs?: number;
  /**
   * Whether versions are relied on for as long as nobody can be asked: only where something else tells
   * this process of changes.
   */
  readonly isTrusting?: boolean;
  /** Longest a caller waits for an answer, ms. */
  readonly deadlineMs?: number;
}

const DEFAULTS = { freshMs: 2_000, trustMs: 5_000, isTrusting: false, deadlineMs: 50 } as const;

const MAX_TAGS = 50_000;

interface Known {
  readonly version: string;
  /** When it was asked for, ms. */
  readonly at: number;
}

export function createTagTable(options: TagTableOptions): TagTable {
  const { store, now, newId, freshMs, trustMs, isTrusting, deadlineMs } = {
    ...DEFAULTS,
    ...options,
  };
  // A version that is forgotten costs entries, never freshness.
  const table = new LRUCache<string, Known>({ max: MAX_TAGS });
  /** Tag → how often it got a new version here: an answer asked for before the last one is old. */
  const bumps = new LRUCache<string, number>({ max: MAX_TAGS });
  /** Versions the store does not have yet; its own are old. */
  const unwritten = new Map<string, string>();
  const asking = new Map<string, Promise<void>>();

  const isGood = ({ at }: Known): boolean => store === null || now() - at <= trustMs;

  function known(tags: readonly string[]): Readonly<Record<string, string>> | null {
    const versions: Record<string, string> = {};
    let isOld = false;
    for (const tag of tags) {
      const entry = table.get(tag) ?? (store === null ? begin(tag) : undefined);
      if (!entry || (!isGood(entry) && !isTrusting)) return null;
      isOld ||= store !== null && now() - entry.at > freshMs;
      versions[tag] = entry.version;
    }
    if (isOld) void ask(tags);
    return versions;
  }

  /** Where nobody has to be asked, or nobody answers, a version of our own will do for now. */
  function begin(tag: string): Known {
    const entry = { version: newId(), at: -Infinity };
    table.set(tag, entry);
    return entry;
  }

  /** Never rejects. */
  async function ask(tags: readonly string[]): Promise<void> {
    if (store === null) return;
    const due = tags.filter((tag) => !asking.has(tag));
    if (due.length > 0) {
      const work = fetchVersions(store, due).finally(() =>
        due.forEach((tag) => asking.delete(tag)),
      );
      for (const tag of due) asking.set(tag, work);
    }
    await Promise.all(tags.map(async (tag) => asking.get(tag)));
  }

  async function fetchVersions(from: TagStore, tags: readonly string[]): Promise<void> {
    const askedAt = now();
    const before = tags.map((tag) => bumps.get(tag));
    try {
      await withDeadline(writeOwed(from), deadlineMs);
      const versions = await withDeadline(from.read(tags), deadlineMs);
      for (const [nth, tag] of tags.entries()) {
        if (bumps.get(tag) === before[nth])
          table.set(tag, { version: versions[nth]!, at: askedAt });
      }
    } catch {
      // Versions stay as old as they are; for how long they are relied on is decided above.
    }
  }

  async function writeOwed(to: TagStore): Promise<void> {
    const owed = [...unwritten];
    if (owed.length === 0) return;
    await to.write(owed);
    for (const [tag, version] of owed) {
      if (unwritten.get(tag) === version) unwritten.delete(tag);
    }
  }

  return {
    known,
    async refresh(tags) {
      await ask(tags);
      if (isTrusting) for (const tag of tags) if (!table.has(tag)) begin(tag);
      return known(tags);
    },
    async bump(tags) {
      const versions = tags.map((tag) => [tag, newId()] as const);
      for (const [tag, version] of versions) {
        bumps.set(tag, (bumps.get(tag) ?? 0) + 1);
        table.set(tag, { version, at: now() });
        if (store !== null) unwritten.set(tag, version);
      }
      if (store !== null) await withDeadline(writeOwed(store), deadlineMs);
    },
  };
}

/** The tags a key carries by its parts: `ctx:agent7:doc9` carries `ctx` and `ctx:agent7`. */
export function prefixTags(key: string): readonly string[] {
  const parts = key.split(':');
  return parts.slice(1).map((_, nth) => parts.slice(0, nth + 1).join(':'));
}
