/**
 * The cache: layers in order, the nearest first, before a source. What it promises: once an
 * invalidation is done, no value from before is given or kept, however loads, fills, faults of
 * layers and lost answers fall between (docs/caching.md).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createFiller, type Origin } from './filling.ts';
import { createFlights, type Flight } from './flights.ts';
import type { CachedValue, CacheLayer, Entry } from './layer.ts';
import { stateOf, type LifeRules } from './life.ts';
import { type TagTable } from './tags.ts';

/** What the source gave. */
export interface Loaded extends CachedValue {
  /** Whether it may be kept in a cache at all. */
  readonly isKept: boolean;
}

export interface CacheAnswer {
  readonly bytes: Buffer;
  readonly version: number;
  /** Name of the layer, or `source`. */
  readonly from: string;
  /** `stale`: past its life, and given under the rules for that. */
  readonly freshness: 'fresh' | 'stale';
}

/** What to invalidate: keys, everything that carries a tag, or a prefix like `ctx:agent7:*`. */
export interface Invalidation {
  readonly keys?: readonly string[];
  readonly tags?: readonly string[];
  readonly prefix?: string;
}

/** Where the cache tells what it does. Nothing here takes a key. No method may throw. */
export interface CacheCounts {
  hit(layer: string, freshness: CacheAnswer['freshness']): void;
  miss(): void;
  loaded(outcome: 'found' | 'missing' | 'failed', seconds: number): void;
  /** A caller waited for another one's read; it is a hit or a miss besides. */
  coalesced(): void;
  /** A value was not kept, because its key was invalidated while it was read. */
  refused(layer: string): void;
  stale(reason: 'refresh' | 'error'): void;
  invalidated(kind: keyof Invalidation, count: number): void;
}

export interface CacheOptions extends Partial<LifeRules> {
  readonly layers: readonly [CacheLayer, ...CacheLayer[]];
  /** Missing: entries carry no tags. */
  readonly tags?: TagTable;
  /** Tags of a key. Default: none. */
  readonly tagsOf?: (key: string) => readonly string[];
  /** Values of more bytes are not kept. */
  readonly maxBytes: number;
  /** A hit this far into its life (0 to 1) has a new value fetched behind it; null: never. */
  readonly refreshAhead?: number | null;
  /** For so long a failure of the source is remembered, ± 50 %; ms. */
  readonly failureMs?: number;
  readonly counts: CacheCounts;
  /** Ms since the epoch. */
  readonly now: () => number;
  /** 0 to 1 */
  readonly random: () => number;
}

export type Load = () => Promise<Loaded | null>;

/** Reads the source for several keys; those it has not are left out. */
export type LoadMany = (keys: readonly string[]) => Promise<ReadonlyMap<string, Loaded>>;

export interface Cache {
  /** From the nearest layer that has it, else from the source; null: the source has none. */
  getOrLoad(key: string, load: Load): Promise<CacheAnswer | null>;
  /** What the layers have; null: nothing. Loads nothing. */
  get(key: string): Promise<CacheAnswer | null>;
  getMany(keys: readonly string[]): Promise<ReadonlyMap<string, CacheAnswer>>;
  /** Reads a value now, whatever is kept, and keeps it, unless it is invalidated meanwhile. */
  set(key: string, load: Load): Promise<void>;
  setMany(keys: readonly string[], load: LoadMany): Promise<number>;
  /** When it resolves, nothing from before is given any more: here, and by all who share a layer. */
  invalidate(what: Invalidation): Promise<void>;
  /** Forgets keys here only: whoever told us of the change has seen to the layers we share. */
  dropNear(keys: readonly string[]): void;
  /** Loads what no layer has, so many keys a second at most. Answers how many were loaded. */
  warm(
    keys: readonly string[],
    load: LoadMany,
    options: { readonly perSecond: number; readonly signal?: AbortSignal },
  ): Promise<number>;
}

const RULES: LifeRules = { staleWhileRefreshMs: 0, staleOnErrorMs: 0, jitter: 0.1 };
/** Keys that are warmed at once. */
const WARM_BATCH = 50;
const NO_TAGS: Entry['tags'] = {};

export function createCache(options: CacheOptions): Cache {
  const { layers, tags: table, maxBytes, counts, now, random } = options;
  const { refreshAhead = null, failureMs = 0, tagsOf = () => [] } = options;
  const { staleWhileRefreshMs, staleOnErrorMs, jitter } = { ...RULES, ...options };
  const rules: LifeRules = { staleWhileRefreshMs, staleOnErrorMs, jitter };
  const [near, ...shared] = layers;
  const flights = createFlights<CacheAnswer | null>();
  const filler = createFiller({ layers, rules, onRefused: counts.refused, now, random });
  const failures = new Map<string, { readonly error: unknown; readonly until: number }>();

  /** Whether the entry's tags are as they were. Null: nobody can say without asking. */
  function hasTags({ tags }: Entry): boolean | null {
    if (!table || tags === NO_TAGS) return true;
    const names = Object.keys(tags);
    const versions = table.known(names);
    return versions && names.every((tag) => versions[tag] === tags[tag]);
  }

  async function isValid(entry: Entry): Promise<boolean> {
    const known = hasTags(entry);
    if (known !== null) return known;
    await table?.refresh(Object.keys(entry.tags));
    return hasTags(entry) === true;
  }

  /** Null: nobody answers, so nothing with these tags is kept. */
  async function tagVersions(tags: readonly string[]): Promise<Entry['tags'] | null> {
    if (!table || tags.length === 0) return NO_TAGS;
    return table.known(tags) ?? table.refresh(tags);
  }

  function hit(entry: Entry, from: string, freshness: CacheAnswer['freshness']): CacheAnswer {
    counts.hit(from, freshness);
    return { bytes: entry.bytes, version: entry.version, from, freshness };
  }

  /** What the nearest layer has, whatever its state; in memory and with known tags without I/O. */
  async function lookNear(key: string): Promise<Entry | null> {
    const found = near.getMany([key]);
    const entry = (found instanceof Promise ? await found : found)[0]?.entry;
    if (!entry) return null;
    return (hasTags(entry) ?? (await isValid(entry))) ? entry : null;
  }

  async function getOrLoad(key: string, load: Load): Promise<CacheAnswer | null> {
    const entry = await lookNear(key);
    const state = entry ? stateOf(entry, now(), rules) : 'gone';
    if (entry && state === 'fresh') {
      if (refreshAhead !== null && isDue(entry, refreshAhead)) refresh(key, load);
      return hit(entry, near.name, 'fresh');
    }
    if (entry && state === 'stale-while-refresh') {
      refresh(key, load);
      counts.stale('refresh');
      return hit(entry, near.name, 'stale');
    }
    try {
      return await fly(key, load, { isRefresh: false });
    } catch (error) {
      if (!entry || stateOf(entry, now(), rules) === 'gone') throw error;
      counts.stale('error');
      return hit(entry, near.name, 'stale');
    }
  }

  /** Whether it is late in its life, and a new one would live longer. */
  const isDue = ({ freshUntil, expiresAt }: Entry, part: number): boolean =>
    freshUntil - now() < near.lifeMs * (1 - part) && freshUntil < (expiresAt ?? Infinity);

  /** Fetches a new value behind a caller who has one. */
  function refresh(key: string, load: Load): void {
    if (flights.of(key)) return;
    // Who asks next is told of the fault, or gets what is still good.
    fly(key, load, { isRefresh: true }).catch(() => undefined);
  }

  async function fly(
    key: string,
    load: Load,
    how: { readonly isRefresh: boolean },
  ): Promise<CacheAnswer | null> {
    const known = flights.of(key);
    if (known) return alongWith(known);
    const failed = failures.get(key);
    if (failed && failed.until > now()) throw failed.error;
    return flights.share(key, tagsOf(key), (flight) => look(key, load, { flight, ...how }));
  }

  /** Waits for another caller's read; counted as what that finds. */
  async function alongWith(known: Promise<CacheAnswer | null>): Promise<CacheAnswer | null> {
    counts.coalesced();
    const answer = await known;
    if (answer === null || answer.from === 'source') counts.miss();
    else counts.hit(answer.from, answer.freshness);
    return answer;
  }

  async function look(
    key: string,
    load: Load,
    { flight, isRefresh }: { readonly flight: Flight; readonly isRefresh: boolean },
  ): Promise<CacheAnswer | null> {
    const tags = await tagVersions(flight.tags);
    const fences: (string | null)[] = [null];
    for (const layer of shared) {
      const [found] = await layer.getMany([key]);
      fences.push(found?.fence ?? null);
      const entry = found?.entry;
      if (isRefresh || !entry || stateOf(entry, now(), rules) !== 'fresh') continue;
      if (!(await isValid(entry))) continue;
      filler.promote(key, entry, flight.isStale);
      return hit(entry, layer.name, 'fresh');
    }
    if (!isRefresh) counts.miss();
    const origin = { fences, tags, bornAt: now(), isStale: () => flight.isStale };
    const loaded = await timed(key, load);
    if (!loaded) return null;
    // The caller does not wait for other layers.
    void keep(key, loaded, origin);
    return { bytes: loaded.bytes, version: loaded.version, from: 'source', freshness: 'fresh' };
  }

  async function keep(
    key: string,
    loaded: Loaded,
    { tags, ...origin }: Omit<Origin, 'tags'> & { readonly tags: Entry['tags'] | null },
  ): Promise<void> {
    if (tags === null || !loaded.isKept || loaded.bytes.length > maxBytes) return;
    await filler.keep(key, loaded, { ...origin, tags });
  }

  async function timed(key: string, load: Load): Promise<Loaded | null> {
    const began = performance.now();
    const tell = (outcome: 'found' | 'missing' | 'failed'): void =>
      counts.loaded(outcome, (performance.now() - began) / 1_000);
    try {
      const loaded = await load();
      tell(loaded ? 'found' : 'missing');
      return loaded;
    } catch (error) {
      tell('failed');
      if (failureMs > 0) remember(key, error);
      throw error;
    }
  }

  function remember(key: string, error: unknown): void {
    for (const [old, { until }] of failures) if (until <= now()) failures.delete(old);
    failures.set(key, { error, until: now() + failureMs * (0.5 + random()) });
  }

  async function getMany(keys: readonly string[]): Promise<Map<string, CacheAnswer>> {
    const answers = new Map<string, CacheAnswer>();
    const begun = keys.map((key) => ({ key, flight: flights.begin(key, tagsOf(key)) }));
    try {
      for (const layer of layers) {
        const wanted = begun.filter(({ key }) => !answers.has(key));
        const found = await layer.getMany(wanted.map(({ key }) => key));
        for (const [nth, { key, flight }] of wanted.entries()) {
          const entry = found[nth]?.entry;
          if (!entry || stateOf(entry, now(), rules) !== 'fresh' || !(await isValid(entry)))
            continue;
          if (layer !== near) filler.promote(key, entry, flight.isStale);
          answers.set(key, hit(entry, layer.name, 'fresh'));
        }
      }
    } finally {
      for (const { key, flight } of begun) flights.end(key, flight);
    }
    return answers;
  }

  async function setMany(keys: readonly string[], load: LoadMany): Promise<number> {
    const begun = keys.map((key) => ({ key, flight: flights.begin(key, tagsOf(key)) }));
    try {
      const tags = await Promise.all(begun.map(({ flight }) => tagVersions(flight.tags)));
      const found = await Promise.all(shared.map(async (layer) => layer.getMany(keys)));
      const bornAt = now();
      const loaded = await load(keys);
      const kept = begun.flatMap(({ key, flight }, nth) => {
        const value = loaded.get(key);
        const fences = [null, ...found.map((each) => each[nth]?.fence ?? null)];
        const origin = { fences, tags: tags[nth] ?? null, bornAt, isStale: () => flight.isStale };
        return value ? [keep(key, value, origin)] : [];
      });
      await Promise.all(kept);
      return kept.length;
    } finally {
      for (const { key, flight } of begun) flights.end(key, flight);
    }
  }

  function dropNear(keys: readonly string[]): void {
    void near.deleteMany(keys);
    flights.drop(keys);
    for (const key of keys) failures.delete(key);
  }

  async function invalidateTags(tags: readonly string[]): Promise<void> {
    // Here it holds at once. A store that does not answer gets it later; until then its word is old.
    const told = table?.bump(tags).catch(() => undefined);
    flights.dropTagged(tags);
    await told;
  }

  return {
    getOrLoad,
    get: async (key) => (await getMany([key])).get(key) ?? null,
    getMany,
    async set(key, load) {
      await setMany([key], async () => {
        const loaded = await load();
        return new Map(loaded ? [[key, loaded]] : []);
      });
    },
    setMany,
    async invalidate({ keys = [], tags = [], prefix }) {
      if (keys.length > 0) counts.invalidated('keys', keys.length);
      if (tags.length > 0) counts.invalidated('tags', tags.length);
      if (prefix !== undefined) counts.invalidated('prefix', 1);
      const prefixTag = prefix === undefined ? [] : [prefix.replace(/:\*$/, '')];
      const bumped = [...tags, ...prefixTag];
      if (bumped.length > 0) await invalidateTags(bumped);
      if (keys.length === 0) return;
      // From the bottom up: what is deleted above before it is gone below would come back.
      for (const layer of [...shared].reverse()) await layer.deleteMany(keys);
      dropNear(keys);
    },
    dropNear,
    async warm(keys, load, { perSecond, signal }) {
      let loaded = 0;
      for (let from = 0; from < keys.length && signal?.aborted !== true; from += WARM_BATCH) {
        const began = now();
        const batch = keys.slice(from, from + WARM_BATCH);
        const there = await getMany(batch);
        const missing = batch.filter((key) => !there.has(key));
        if (missing.length > 0) loaded += await setMany(missing, load);
        await rest((missing.length / perSecond) * 1_000 - (now() - began), signal);
      }
      return loaded;
    },
  };
}

async function rest(ms: number, signal: AbortSignal | undefined): Promise<void> {
  if (ms <= 0 || signal?.aborted === true) return;
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
