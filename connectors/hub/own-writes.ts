/**
 * The versions our own writes made, so that their echo in the feed costs no read and wakes nobody.
 * Only a memory: forgetting one costs a read, never a wrong answer.
 */
import type { RemoteId } from '../../domain/ids.ts';
import type { ItemKind } from '../../domain/item.ts';

const MAX_REMEMBERED = 20_000;

export interface OwnWrite {
  readonly version: number;
  /** Null: the write deleted it. */
  readonly kind: ItemKind | null;
}

export interface OwnWrites {
  add(remoteId: RemoteId, write: OwnWrite): void;
  /** The write that made this version of the item; null when it was not ours. */
  find(remoteId: RemoteId, version: number): OwnWrite | null;
}

export function createOwnWrites(): OwnWrites {
  const writes = new Map<RemoteId, OwnWrite>();
  return {
    add(remoteId, write) {
      writes.delete(remoteId);
      writes.set(remoteId, write);
      if (writes.size > MAX_REMEMBERED) writes.delete(writes.keys().next().value!);
    },
    find(remoteId, version) {
      const write = writes.get(remoteId);
      return write?.version === version ? write : null;
    },
  };
}
