/**
 * What the pure heart takes and gives. Nothing here reads a clock, a file or a socket:
 * the same facts give the same decision, in any order, on any machine.
 */
import type { DeleteReason } from '../domain/context.ts';
import type { Hash } from '../domain/hash.ts';
import type { ContextKey } from '../domain/ids.ts';
import type { ItemKind } from '../domain/item.ts';
import type { Json } from '../domain/json.ts';
import type {
  ConflictReason,
  Direction,
  GuardCode,
  GuardConfig,
  Strategy,
  StrategyRule,
} from '../domain/link.ts';

export type Side = 'hub' | 'remote';

/** How a link wants its items decided. */
export interface SyncPolicy {
  readonly direction: Direction;
  readonly strategy: Strategy;
  readonly strategies: readonly StrategyRule[];
  /** Edit against delete: the edit wins (P7), or a person decides. */
  readonly editVersusDelete: 'edit' | 'conflict';
  /** Whether a context that expired is deleted on the remote too. */
  readonly propagateExpiry: boolean;
}

/** One side of one item, by hash; bodies are only fetched where a merge needs them. */
export type SideFact =
  | { readonly status: 'present'; readonly hash: Hash }
  | { readonly status: 'absent'; readonly reason: DeleteReason | null };

/**
 * All a decision may depend on. `base` holds the hash each side had when they last agreed
 * (two, because remotes respell what they are sent); null: they never agreed, or it was forgotten.
 */
export interface ItemFacts {
  readonly key: ContextKey;
  readonly kind: ItemKind;
  readonly base: { readonly hubHash: Hash; readonly remoteHash: Hash } | null;
  readonly hub: SideFact;
  readonly remote: SideFact;
}

/** What is to be done with one item. `why` is a short phrase for plans and summaries. */
export type Decision =
  /** Nothing to write and nothing to record. */
  | { readonly action: 'rest'; readonly why: string }
  /** Both sides hold the same: record it as the new base. */
  | { readonly action: 'adopt'; readonly why: string }
  /** Gone on both sides: record a tombstone. */
  | { readonly action: 'forget'; readonly why: string }
  | { readonly action: 'copy'; readonly to: Side; readonly why: string }
  | { readonly action: 'delete'; readonly on: Side; readonly why: string }
  /** Both changed: {@link MergeRequest} decides, with bodies. */
  | { readonly action: 'merge'; readonly why: string }
  | { readonly action: 'conflict'; readonly reason: ConflictReason; readonly why: string };

/** When a side last changed, for `latest` only. Null: unknown, loses to any known one. */
export interface Stamps {
  readonly hubMs: number | null;
  readonly remoteMs: number | null;
}

export interface MergeRequest {
  readonly kind: ItemKind;
  /** Body of each side at the last agreement; null: none, or the body is gone. */
  readonly base: { readonly hub: Json; readonly remote: Json } | null;
  readonly hub: Json;
  readonly remote: Json;
  readonly stamps: Stamps;
  readonly policy: SyncPolicy;
}

export type MergeResult =
  | {
      readonly status: 'merged';
      /** The document both sides shall hold, in the hub's spelling. */
      readonly value: Json;
      /**
       * Whether the value differs from what each side holds now, in more than spelling (order of sets
       * and keyed lists, the remote's normal form). Not changed: that side's body is left as it is.
       */
      readonly changesHub: boolean;
      readonly changesRemote: boolean;
    }
  | {
      readonly status: 'conflict';
      readonly reason: ConflictReason;
      /** Every contested place, in document order. */
      readonly pointers: readonly string[];
      /**
       * Everything that merges, merged. A contested place holds the edit where the other side deleted;
       * else what the base had there; without a base, the value with the smaller hash: the same
       * document whichever side is called hub.
       */
      readonly proposal: Json;
    };

/** Counts a guard judges, per side, after rename pairing. */
export interface SideFacts {
  /** Items both sides agreed on before this run that were present on this side. */
  readonly known: number;
  /** Of those, the ones present now. */
  readonly present: number;
  /** Of those, the ones whose content changed since (deletes not included). */
  readonly changed: number;
  /** Deletes planned ON this side. */
  readonly plannedDeletes: number;
  /** Values of this side the plan replaces. */
  readonly plannedOverwrites: number;
  /** Items gone from this side because they expired; neither deletes nor an emptied side. */
  readonly expired: number;
  /** The same counts for each kind of item the link knows. */
  readonly kinds: readonly KindFacts[];
}

/** A side's items of one kind. */
export interface KindFacts extends Pick<SideFacts, 'known' | 'present' | 'expired'> {
  readonly kind: ItemKind;
}

export interface GuardFacts {
  readonly hub: SideFacts;
  readonly remote: SideFacts;
  /** Items in conflict after this plan that are not now; how many an operator let pass. */
  readonly conflicts: { readonly planned: number; readonly accepted: number };
  /** Items the link keeps in step, agreed on or not. */
  readonly items: number;
  /** Whether the canary was found, per side; null when none is configured. */
  readonly canary: { readonly hub: boolean; readonly remote: boolean } | null;
  readonly remoteName: string;
}

export type GuardVerdict =
  | { readonly status: 'go' }
  | { readonly status: 'parked'; readonly code: GuardCode; readonly reason: string };

export type { GuardConfig };
