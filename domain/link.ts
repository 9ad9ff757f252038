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
  emptySide: true,
  allChanged: true,
};

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
  readonly state: LinkState;
  readonly guard: GuardTrip | null;
  readonly epoch: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export type GuardCode = 'DELETE_BUDGET' | 'EMPTY_SIDE' | 'ALL_CHANGED' | 'CANARY';

/** A guard that parked a run: what it saw and what can be done, in one sentence. */
export interface GuardTrip {
  readonly code: GuardCode;
  readonly reason: string;
  /** The stored plan (its run's id), which an operator may approve. */
  readonly planId?: string;
}

export type RunStatus = 'running' | 'settled' | 'parked' | 'failed';

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
  readonly startedAt: string;
  readonly endedAt: string | null;
}

export type ItemState =
  'synced' | 'pending' | 'conflict' | 'quarantined' | 'held' | 'excluded' | 'tombstoned';

/** Why an item is in conflict. */
export type ConflictReason = 'edit/edit' | 'edit/delete' | 'create/create' | 'type' | 'base-lost';

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
  readonly createdAt: string;
  readonly resolvedAt: string | null;
  readonly resolvedBy: string | null;
}

export type ResolutionChoice = 'hub' | 'remote' | 'base' | 'merged' | 'value';
