/**
 * One state of the model: the hub, the remotes and the links of one item, as Postgres and the
 * remotes would hold it, and what a process holds in memory between two steps. Ghost fields (`…Ghost`)
 * record what really happened; the engine never reads them.
 */
import type { Hash } from '../../domain/hash.ts';
import type { OpAnswer, OpFacts } from '../../domain/op.ts';

/** Steps of a pass; each is one transaction or one call to the remote. */
export type Step =
  | 'idle'
  | 'recover'
  | 'observe-hub'
  | 'look'
  | 'record'
  | 'read'
  | 'plan'
  | 'claim'
  | 'check'
  | 'write'
  | 'settle';

export interface Op extends OpFacts {
  /** Stands for the op id: unique among the ops anybody still remembers. */
  readonly id: number;
  /** Edits the other side's delete knows of, for a delete. */
  readonly tombGhost: number;
}

/** What a complete listing showed of the item. */
export interface Seen {
  /** Told as present, told as absent, or simply not in the listing. */
  readonly status: 'present' | 'absent' | 'silent';
  readonly version: string | null;
  readonly hash: Hash | null;
  /** How far the remote's feed was read. */
  readonly cursor: string | null;
  readonly isComplete: boolean;
}

/** The facts a plan read, before it is recorded. */
export interface Facts {
  readonly hubVersion: number;
  readonly hubHash: Hash | null;
}

/** What a process knows that no disk knows. */
export interface Process {
  readonly step: Step;
  readonly seen?: Seen;
  readonly facts?: Facts;
  readonly op?: Op;
  readonly answer?: OpAnswer;
  /** Whether the settling belongs to a recovery, after which the pass goes on. */
  readonly isRecovery?: boolean;
  /** Variant "cursor first": the change was seen, but only this process knows. */
  readonly isDirty?: boolean;
}

export interface Item {
  /** Whether the remote's name for it is known. */
  isNamed: boolean;
  state: 'pending' | 'synced' | 'conflict' | 'tombstoned';
  base: { hub: Hash; remote: Hash } | null;
  remoteStatus: 'unknown' | 'present' | 'absent';
  remoteHash: Hash | null;
  remoteVersion: string | null;
  missing: number;
  isDirty: boolean;
  /** The open conflict's bodies; null: none is open. */
  conflict: { hub: Hash | null; remote: Hash | null } | null;
}

export interface LinkWorld {
  /** Which remote it writes. */
  readonly remote: number;
  /** Whether the hub's feed has a change of others beyond the link's cursor. */
  hasNews: boolean;
  /** Grade A: the remote's feed as far as it was read. */
  cursor: string | null;
  item: Item | null;
  /** The op recorded as intended and not settled. */
  intent: Op | null;
  process: Process;
  /** A process taken for dead that may go on. */
  zombie: (Process & { readonly isFenced: boolean }) | null;
  /** Whether the remote holds the intent's write and nobody has recorded it. */
  isWrittenGhost: boolean;
  /** Whether a recovery by reading took a write that had arrived for one that had not. */
  isMisjudgedGhost: boolean;
}

export interface RemoteWorld {
  /** Grows with every write. */
  version: number;
  hash: Hash | null;
  /** Grade A: what it answered to the op ids it knows. */
  done: readonly { readonly id: number; readonly answer: OpAnswer }[];
  /** Edits the delete knew that removed it. */
  tombGhost: number;
}

export interface World {
  hub: {
    version: number;
    hash: Hash | null;
    tombGhost: number;
  };
  /** Edits whose bodies the hub's history holds. */
  historyGhost: number;
  links: LinkWorld[];
  remotes: RemoteWorld[];
  /** Content edits made so far, as bits. */
  editsGhost: number;
  /** Per edit (by its nth bit) the edits its author had seen. */
  knowsGhost: number[];
  /** Per delete made by a user, what its author had seen; null where it may be undone (see README). */
  deletesGhost: readonly number[];
  /** Deletes made while the link did not know whether its write had arrived. */
  doubtfulDeletesGhost: readonly number[];
  /** Deletes and edits for which the grade promises nothing. */
  excusedGhost: { readonly deletes: readonly number[]; readonly edits: number };
  /** Edits each user may still make: the hub's first, then one per remote. */
  editsLeft: readonly number[];
  crashesLeft: number;
  /** Listings that may still miss the item although it is there. */
  blinksLeft: number;
  /** The engine's writes so far, for "quiet" (not part of the key). */
  writes: number;
}

/** A copy whose parts may be changed. Processes, ops and answers are never changed in place. */
export function copyWorld(world: World): World {
  return {
    ...world,
    hub: { ...world.hub },
    links: world.links.map((link) => ({ ...link, item: link.item && { ...link.item } })),
    remotes: world.remotes.map((remote) => ({ ...remote })),
    knowsGhost: world.knowsGhost.slice(),
  };
}
