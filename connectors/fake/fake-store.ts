/**
 * The items of a fake remote, their versions and the feed of their changes. Values are shared, not
 * copied: callers do not mutate them. A version is made once, at the write.
 */
import { hashText } from '../../domain/hash.ts';
import type { RemoteId } from '../../domain/ids.ts';
import { asRemoteId, itemName, type ItemKind } from '../../domain/item.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { RemoteEntry, RemoteFault, RemoteItem } from '../connector.ts';

/**
 * What an item's id is. `name`: its name, a rename moves it. `assigned`: the remote's own, kept
 * through renames. `flaky`: the remote's own, another one after each write.
 */
export type FakeIds = 'name' | 'assigned' | 'flaky';

/** What a version is: a count of writes, or a hash, so that an item put back has its old one again. */
export type FakeVersions = 'counted' | 'hashed';

export interface FakeStore {
  readonly items: ReadonlyMap<RemoteId, RemoteItem | RemoteFault>;
  /** Counts every write; the newest revision. */
  head(): number;
  entry(id: RemoteId): RemoteEntry;
  idOfName(name: string): RemoteId | null;
  /** Writes under a name; `id` names the item to change, null makes a new one. */
  write(id: RemoteId | null, kind: ItemKind, value: JsonObject): RemoteItem;
  remove(id: RemoteId): void;
  setFault(fault: RemoteFault): void;
  /** Changes a value, or (null) loses the item, and tells nobody: same version, nothing in the feed. */
  tamper(id: RemoteId, value: JsonObject | null): void;
  /** Ids written or removed after a revision, each once, in the order of their last change. */
  changedSince(revision: number): RemoteId[];
}

/** An empty store. */
export function createFakeStore(ids: FakeIds, versions: FakeVersions): FakeStore {
  const items = new Map<RemoteId, RemoteItem | RemoteFault>();
  const names = new Map<string, RemoteId>();
  /** Id changed by revision n, at index n - 1. */
  const feed: RemoteId[] = [];
  let made = 0;

  function freshId(name: string): RemoteId {
    if (ids === 'name') return asRemoteId(name);
    made += 1;
    return asRemoteId(`item-${made}`);
  }

  function forget(id: RemoteId): void {
    const old = items.get(id);
    const name = old?.status === 'present' ? itemName(old.kind, old.value ?? null) : null;
    if (name !== null && names.get(name) === id) names.delete(name);
    items.delete(id);
    feed.push(id);
  }

  return {
    items,
    head: () => feed.length,
    entry: (id) => items.get(id) ?? { status: 'absent', remoteId: id },
    idOfName: (name) => names.get(name) ?? null,
    write(id, kind, value) {
      const name = itemName(kind, value) ?? String(id);
      const isKept = id !== null && (ids === 'assigned' || (ids === 'name' && name === id));
      const remoteId = isKept ? id : freshId(name);
      const old = id === null ? undefined : items.get(id);
      const oldName = old?.status === 'present' ? itemName(old.kind, old.value ?? null) : null;
      if (id !== null && !isKept) forget(id);
      else if (oldName !== null && oldName !== name) names.delete(oldName);
      feed.push(remoteId);
      const isHashed = versions === 'hashed';
      const version = isHashed ? hashText(JSON.stringify(value)) : `r${feed.length}`;
      const item: RemoteItem = { status: 'present', remoteId, kind, version, value };
      items.set(remoteId, item);
      names.set(name, remoteId);
      return item;
    },
    remove: forget,
    setFault(fault) {
      items.set(fault.remoteId, fault);
      feed.push(fault.remoteId);
    },
    tamper(id, value) {
      const old = items.get(id);
      if (value === null) items.delete(id);
      else if (old?.status === 'present') items.set(id, { ...old, value });
    },
    changedSince(revision) {
      const newest = [...new Set(feed.slice(revision).reverse())];
      return newest.reverse();
    },
  };
}
