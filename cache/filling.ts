/** Puts values into the layers: never longer above than below, and never one that may be old. */
import type { CachedValue, CacheLayer, Entry, Filling } from './layer.ts';
import { entryFor, type LifeRules } from './life.ts';

/** Where a value comes from, and what proves that it is not old. */
export interface Origin {
  /** What each layer gave before the value was read. */
  readonly fences: readonly (string | null)[];
  readonly tags: Entry['tags'];
  /** Before the value was read, ms since the epoch. */
  readonly bornAt: number;
  /** Whether its key was invalidated meanwhile. */
  readonly isStale: () => boolean;
}

export interface Filler {
  /** Fills all layers, the nearest at once. Resolves when the others have answered; never rejects. */
  keep(key: string, value: CachedValue, origin: Origin): Promise<void>;
  /** Copies what a lower layer has into the nearest one, for the life it has left. */
  promote(key: string, entry: Entry, isStale: boolean): void;
}

export interface FillerDeps {
  readonly layers: readonly [CacheLayer, ...CacheLayer[]];
  readonly rules: LifeRules;
  readonly onRefused: (layer: string) => void;
  readonly now: () => number;
  readonly random: () => number;
}

export function createFiller({ layers, rules, onRefused, now, random }: FillerDeps): Filler {
  const near = layers[0];

  async function fill(layer: CacheLayer, filling: Filling): Promise<void> {
    const [isTaken] = await layer.setMany([filling]);
    if (isTaken === false) onRefused(layer.name);
  }

  function putNear(key: string, entry: Entry, isStale: boolean): void {
    if (isStale) onRefused(near.name);
    else void near.setMany([{ key, entry, fence: null }]);
  }

  return {
    async keep(key, value, { fences, tags, bornAt, isStale }) {
      const entries: Entry[] = [];
      // From the bottom: a layer's entry is bounded by the one below it.
      for (const { lifeMs } of [...layers].reverse()) {
        const below = entries[0] ?? null;
        entries.unshift(entryFor(value, { tags, bornAt, lifeMs, below, random: random() }, rules));
      }
      const living = layers
        .map((layer, nth) => ({ layer, entry: entries[nth]!, fence: fences[nth] ?? null }))
        .filter(({ entry }) => entry.goneAt > now());
      if (living[0]?.layer === near) putNear(key, living[0].entry, isStale());
      const others = living.filter(({ layer, fence }) => layer !== near && fence !== null);
      await Promise.all(
        others.map(({ layer, entry, fence }) => fill(layer, { key, entry, fence })),
      );
    },
    promote(key, entry, isStale) {
      const of = { tags: entry.tags, lifeMs: near.lifeMs, bornAt: now(), below: entry };
      putNear(key, entryFor(entry, { ...of, random: random() }, rules), isStale);
    },
  };
}
