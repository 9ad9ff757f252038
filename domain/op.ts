/**
 * One intended write, what a remote answered, and what both come to: the words the store, the
 * activities and the pure heart use to settle an op.
 */
import type { Hash } from './hash.ts';
import type { RemoteId } from './ids.ts';

/** What a plan meant to do with one item, and the state of both sides it was made on. */
export interface OpFacts {
  readonly action: 'create' | 'update' | 'delete' | 'merge';
  readonly side: 'hub' | 'remote' | 'both';
  readonly remoteId: RemoteId;
  /** 0: the hub never had this key. */
  readonly hubVersion: number;
  /** Null: absent. */
  readonly hubHash: Hash | null;
  readonly remoteVersion: string | null;
  readonly remoteHash: Hash | null;
  /** Body the hub shall have; null: not written, or deleted. */
  readonly hubAfter: Hash | null;
  /** Body, in the hub's terms, the remote shall have; null: not written, or deleted. */
  readonly remoteAfter: Hash | null;
  /** The remote's hash at the last agreement; null: none. */
  readonly baseRemoteHash: Hash | null;
  /** Set where the op undoes another. */
  readonly undo?: OpUndo | null;
}

/** Whether an op overwrites a value of the remote that the hub has not seen. */
export function overwritesEdit(op: OpFacts): boolean {
  return op.side !== 'hub' && op.remoteHash !== null && op.remoteHash !== op.baseRemoteHash;
}

/** What undoing an op makes of its item. */
export interface OpUndo {
  /**
   * `held`: the sides are what they were before, apart on purpose, until a new edit. `agreed`: an undo
   * was undone, so they agree again.
   */
  readonly to: 'held' | 'agreed';
  /** Agreed hash of the side the op leaves alone (of the hub where it writes both); null: absent. */
  readonly otherBase: Hash | null;
}

/** What the claim of an op compares: both sides as the link knows them at that moment. */
export interface ItemNow {
  readonly hubVersion: number;
  /** Null: the item has lost its name on the remote since the plan. */
  readonly remoteId: RemoteId | null;
  readonly remoteVersion: string | null;
  readonly remoteHash: Hash | null;
}

/** The remote's side of an item; a null hash says absent. */
export interface RemoteState {
  readonly version: string | null;
  readonly hash: Hash | null;
}

export interface OpFault {
  readonly code: string;
  readonly detail: string;
}

/** What became of an op on the remote. */
export type OpAnswer =
  /** Written; `remote` is null where the op does not write the remote. */
  | {
      readonly status: 'applied';
      readonly remote: (RemoteState & { readonly remoteId: RemoteId }) | null;
    }
  /** Not written: a side moved on. `seen` is what the remote has now, where known. */
  | { readonly status: 'stale'; readonly seen: RemoteState | null; readonly detail: string }
  | { readonly status: 'failed'; readonly fault: OpFault };

/** The recorded state of an item once its op is settled. */
export type SettledItem =
  | {
      readonly keepsBase: false;
      readonly state: 'pending' | 'synced' | 'tombstoned' | 'held';
      /** What both sides agree on from now on; null: nothing. */
      readonly base: {
        readonly version: number;
        readonly hubHash: Hash;
        readonly remoteHash: Hash;
      } | null;
      readonly remoteId: RemoteId;
      readonly remote: RemoteState;
      readonly isDirty: boolean;
    }
  /** Only the remote was seen anew: state and base stay as they were, and a plan decides again. */
  | {
      readonly keepsBase: true;
      readonly remoteId: RemoteId;
      readonly remote: RemoteState;
      readonly isDirty: true;
    };

/** What an op's outcome means: for the op, the hub and the item. */
export interface Settlement {
  readonly state: 'done' | 'stale' | 'failed';
  readonly detail: string | null;
  /**
   * What the hub is written: the op's own value; what it holds already, on top of the value the
   * remote lost; or nothing.
   */
  readonly hubWrite: 'as-planned' | 'as-it-is' | null;
  /** Whether the remote's value the op overwrote is kept in the hub's history. */
  readonly keepsLoser: boolean;
  /** Null: the item stays as it is. */
  readonly item: SettledItem | null;
  readonly fault: OpFault | null;
}
