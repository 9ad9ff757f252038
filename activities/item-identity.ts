/**
 * Which item of the hub is which item of the remote. By name (a memory's name, a document's path)
 * everywhere but on another hub, where an item is the rest of its key below the link's prefix.
 */
import type { ConnectorCapabilities } from '../connectors/contract.ts';
import { hashText } from '../domain/hash.ts';
import type { ContextKey, RemoteId } from '../domain/ids.ts';
import { agreedKind, asRemoteId, itemKey, itemName, keyUnder } from '../domain/item.ts';
import type { Json } from '../domain/json.ts';
import type { Link } from '../domain/link.ts';
import type { DirtyItem, Naming } from '../store/contract.ts';

/** Whether a remote tells its items apart by key. */
export function isKeyed({ identity }: ConnectorCapabilities): boolean {
  return identity === 'key';
}

/** What a keyed remote calls a new hub item: nothing of its body matters. */
export function keyedNaming(
  link: Link,
  { key, kind }: { readonly key: ContextKey; readonly kind: string | null },
): Naming {
  if (kind === null) return { key, status: 'gone' };
  return { key, status: 'named', kind, remoteId: asRemoteId(key.slice(link.scope.prefix.length)) };
}

export interface ItemKeys {
  readonly key: ContextKey;
  /** Taken where `key` belongs to an item of another name. */
  readonly spareKey: ContextKey;
}

/** The key a remote item gets in the hub. */
export function keysOfEntry(
  { link, isByKey }: { readonly link: Link; readonly isByKey: boolean },
  entry: { readonly remoteId: RemoteId; readonly kind: string; readonly value?: Json | undefined },
): ItemKeys {
  const { prefix } = link.scope;
  if (isByKey) {
    const key = keyUnder(prefix, entry.remoteId);
    return { key, spareKey: key };
  }
  const name = itemName(entry.kind, entry.value ?? {}) ?? entry.remoteId;
  const key = itemKey(prefix, entry.kind, name);
  return { key, spareKey: `${key}~${hashText(name).slice(0, 8)}` as ContextKey };
}

/** The item under the kind both sides shall have: only a keyed remote has a say in it. */
export function withAgreedKind(capabilities: ConnectorCapabilities, item: DirtyItem): DirtyItem {
  const { hubKind, hubHash, remoteHash } = item;
  if (!isKeyed(capabilities) || hubKind === null) return item;
  if (remoteHash === null) return { ...item, kind: hubKind };
  if (hubHash === null) return item;
  const isHubChanged = hubHash !== item.baseHubHash;
  const isRemoteChanged = remoteHash !== item.baseRemoteHash;
  const changed = isHubChanged === isRemoteChanged ? 'both' : isHubChanged ? 'hub' : 'remote';
  return { ...item, kind: agreedKind({ hub: hubKind, remote: item.kind }, changed) };
}
