/**
 * Finds who wants a change without asking everybody: the cost is that of the answer, however many
 * have subscribed. Prefixes are found by cutting the key at every length there is a prefix of.
 */
import type { WatchedChange } from '../../store/contract.ts';
import type { Selector } from './selector.ts';

export interface Selecting {
  readonly selector: Selector;
}

export interface SubscriptionIndex<Entry extends Selecting> {
  add(entry: Entry): void;
  /** Removing what is not there is fine. */
  remove(entry: Entry): void;
  /** Everybody who wants this change, each once. */
  wanting(watched: WatchedChange): Entry[];
}

type Entries<Entry> = Map<string, Set<Entry>>;

/** An empty index. */
export function createSubscriptionIndex<Entry extends Selecting>(): SubscriptionIndex<Entry> {
  const byKind: Readonly<Record<Selector['kind'], Entries<Entry>>> = {
    key: new Map(),
    prefix: new Map(),
    sessionId: new Map(),
    tag: new Map(),
  };
  /** How many different prefixes there are of each length. */
  const lengths = new Map<number, number>();

  function countLength(length: number, by: 1 | -1): void {
    const count = (lengths.get(length) ?? 0) + by;
    if (count === 0) lengths.delete(length);
    else lengths.set(length, count);
  }

  return {
    add(entry) {
      const { kind, value } = entry.selector;
      const known = byKind[kind].get(value);
      if (known) {
        known.add(entry);
        return;
      }
      byKind[kind].set(value, new Set([entry]));
      if (kind === 'prefix') countLength(value.length, 1);
    },
    remove(entry) {
      const { kind, value } = entry.selector;
      const known = byKind[kind].get(value);
      if (!known?.delete(entry) || known.size > 0) return;
      byKind[kind].delete(value);
      if (kind === 'prefix') countLength(value.length, -1);
    },
    wanting({ change: { key }, sessionId, tags }) {
      const found: Entry[] = [...(byKind.key.get(key) ?? [])];
      const take = (entries: Iterable<Entry> = []): void => void found.push(...entries);
      for (const length of lengths.keys()) {
        if (length <= key.length) take(byKind.prefix.get(key.slice(0, length)));
      }
      if (sessionId !== null) take(byKind.sessionId.get(sessionId));
      for (const tag of new Set(tags)) take(byKind.tag.get(tag));
      return found;
    },
  };
}
