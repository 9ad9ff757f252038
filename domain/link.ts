/** Links, runs and conflicts as every room speaks of them. */
import type { ConflictId, ContextKey, LinkId, RunId } from './ids.ts';
import type { Json, JsonObject } from './json.ts';

export const STRATEGIES = [
  'three-way',
  'latest',
  'union',
  'intersection',
  'manual',
  'prefer-hub',
  'prefer-remote',
] as const;
export type Strategy = (typeof STRATEGIES)[number];

/** Narrows a strategy to one kind and the part of its documents at or below a JSON pointer. */
export interface StrategyRule {
  readonly kind?: string | undefined;
  readonly pointer?: string | undefined;
  readonly strategy: Strategy;
}

export type Direction = 'both' | 'pull' | 'push';
export type Trigger = 'auto' | 'manual';
export type LinkState = 'active' | 'paused' | 'parked' | 'failed';

export interface GuardConfig {
  /** Deletes planned for one side may not exceed this share of the items known there AND the count below. */
  readonly maxDeletePercent: number;
  readonly maxDeleteCount: number;
  /** The same for values of one side that are replaced; 100 %: never parks. */
  readonly maxOverwritePercent: number;
  readonly maxOverwriteCount: number;
  /** The same for items that would be in conflict; 100 %: never parks. */
  readonly maxConflictPercent: number;
  readonly maxConflictCount: number;
  /** Park when a side that had items has none. */
  readonly emptySide: boolean;
  /** Park when every item of a side changed at once. */
  readonly allChanged: boolean;
  /** Key that must be there on both sides, or nothing is written. */
  readonly canary?: string | undefined;
}

export const DEFAULT_GUARDS: GuardConfig = {
  maxDeletePercent: 50,
  maxDeleteCount: 10,
  maxOverwritePercent: 100,
  maxOverwriteCount: 10,
  maxConflictPercent: 100,
  maxConflictCount: 10,
  emptySide: true,
  allChanged: true,
};

/** Strategies that leave no conflict, so that they can decide one nobody decided in time. */
export const FALLBACK_STRATEGIES = [
  'latest',
  'union',
  'intersection',
  'prefer-hub',
  'prefer-remote',
] as const satisfies readonly Strategy[];
export type FallbackStrategy = (typeof FALLBACK_STRATEGIES)[number];

/** Decides a conflict `afterMs` after it opened, if nobody has. */
export interface ConflictFallback {
  readonly afterMs: number;
  readonly strategy: FallbackStrategy;
}

export interface Link {
  readonly id: LinkId;
  readonly name: string;
  readonly connector: string;
  readonly config: JsonObject;
  readonly scope: { readonly prefix: string };
  readonly direction: Direction;
  readonly strategy: Strategy;
  readonly strategies: readonly StrategyRule[];
  readonly intervalMs: number;
  readonly trigger: Trigger;
  readonly guards: GuardConfig;
  /** Null: conflicts wait for a person, however long. */
  readonly conflictFallback: ConflictFallback | null;
  readonly state: LinkState;
  readonly guard: GuardTrip | null;
  readonly epoch: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export type GuardCode =
  | 'DELETE_BUDGET'
  | 'OVERWRITE_BUDGET'
  | 'CONFLICT_BUDGET'
  | 'EMPTY_SIDE'
  | 'ALL_CHANGED'
  | 'CANARY';

/** A guard that parked a run: what it saw and what can be done, in one sentence. */
export interface GuardTrip {
  readonly code: GuardCode;
  readonly reason: string;
  /** The stored plan (its run's id), which an operator may approve. */
  readonly planId?: string;
}

/** `planned`: a dry run that ended with a stored plan. */
export type RunStatus = 'running' | 'settled' | 'parked' | 'failed' | 'planned';

/**
 * What a run is for. `look`: the ordinary pass. `plan`: a dry run, writes to neither side. `undo`:
 * applies the inverse of another run. `audit`: compares both sides anew.
 */
export const RUN_MODES = ['look', 'plan', 'undo', 'audit'] as const;
export type RunMode = (typeof RUN_MODES)[number];

/** What a pass does for a run. `approved`: executes its stored plan and observes nothing. */
export type PassMode = RunMode | 'approved';

/** What a dry run would settle without writing to a side. */
export interface PlannedDecision {
  readonly decision: 'adopt' | 'forget' | 'conflict' | 'quarantine';
  readonly key: string;
  /** Reason code of a conflict, fault of a quarantine; else empty. */
  readonly reason: string;
}

/** An op that was not carried out, because its item moved on or failed. */
export interface DroppedOp {
  readonly key: string;
  readonly side: 'hub' | 'remote' | 'both';
  readonly reason: string;
}

export interface RunCounters {
  observed: number;
  changedHub: number;
  changedRemote: number;
  planned: number;
  applied: number;
  echo: number;
  merged: number;
  conflicts: number;
  quarantined: number;
  deletedHub: number;
  deletedRemote: number;
  skipped: number;
}

export const NO_COUNTS: Readonly<RunCounters> = {
  observed: 0,
  changedHub: 0,
  changedRemote: 0,
  planned: 0,
  applied: 0,
  echo: 0,
  merged: 0,
  conflicts: 0,
  quarantined: 0,
  deletedHub: 0,
  deletedRemote: 0,
  skipped: 0,
};

export interface Run {
  readonly id: RunId;
  readonly linkId: LinkId;
  readonly status: RunStatus;
  readonly trigger: string;
  /** Phase name → milliseconds it took. */
  readonly phases: Readonly<Record<string, number>>;
  readonly counters: RunCounters;
  readonly guard: GuardTrip | null;
  readonly error: { readonly code: string; readonly detail: string } | null;
  readonly mode: RunMode;
  /** The run this one undoes. */
  readonly undoes: RunId | null;
  /** Until when its plan may be approved; null: it has none. */
  readonly expiresAt: string | null;
  /** Ops that were not carried out, at most 1,000. */
  readonly dropped: readonly DroppedOp[];
  readonly startedAt: string;
  /** When its plan was approved, if it was; null: it needed no approval, or waits for it. */
  readonly approvedAt: string | null;
  readonly endedAt: string | null;
  /** How long it worked, without the wait for approval, ms; null: it has not ended. */
  readonly tookMs: number | null;
}

/** What an audit counted when it compared both sides anew. */
export interface AuditProof {
  /** When it began to look, by Postgres' clock. */
  readonly at: string;
  /** Nothing differs that is not counted below with its reason. */
  readonly isEqual: boolean;
  /** Items both sides hold alike, as last agreed on. */
  readonly items: number;
  readonly conflicts: number;
  readonly quarantined: number;
  readonly held: number;
  readonly excluded: number;
  /** Expired on one side only. */
  readonly expired: number;
  /** Of a one-way link: differing where it does not write. */
  readonly oneWay: number;
  /** Changed in the hub while the audit ran. */
  readonly underWay: number;
  /** Differing for none of these reasons. */
  readonly unequal: number;
  /** The worker's clock minus Postgres', ms. */
  readonly workerSkewMs: number;
}

export type ItemState =
  'synced' | 'pending' | 'conflict' | 'quarantined' | 'held' | 'excluded' | 'tombstoned';

/** Why an item is in conflict. */
export const CONFLICT_REASONS = [
  'edit/edit',
  'edit/delete',
  'create/create',
  'type',
  /** Both sides renamed the item, differently. */
  'move',
  'base-lost',
] as const;
export type ConflictReason = (typeof CONFLICT_REASONS)[number];

export type ConflictStatus = 'open' | 'resolved' | 'closed';

export interface Conflict {
  readonly id: ConflictId;
  readonly linkId: LinkId;
  readonly key: ContextKey;
  readonly status: ConflictStatus;
  readonly reason: ConflictReason;
  /** Null: that side has no such item. */
  readonly base: Json | null;
  readonly hub: Json | null;
  readonly remote: Json | null;
  readonly pointers: readonly string[];
  readonly proposal: Json | null;
  readonly dueAt: string | null;
  /** Rises with every change of a side; a decision may name the one it was made on. */
  readonly revision: number;
  readonly createdAt: string;
  readonly resolvedAt: string | null;
  readonly resolvedBy: string | null;
}

export type ResolutionChoice = 'hub' | 'remote' | 'base' | 'merged' | 'value';
