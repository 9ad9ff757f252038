/**
 * The activities' door: what workflows may call, by type only. Everything that crosses here lands
 * in a workflow history: ids, counts and cursors, never a body.
 */
import type { ConflictId, LinkId, RunId, TenantId } from '../domain/ids.ts';
import type {
  ConflictReason,
  ConflictStatus,
  GuardTrip,
  PassMode,
  ResolutionChoice,
  RunCounters,
} from '../domain/link.ts';
import type { PassParts } from './run-pass.ts';

/** A pass over one link, as it travels through the workflow. */
export interface PassToken {
  readonly tenant: TenantId;
  readonly linkId: LinkId;
  readonly runId: RunId;
  readonly fence: string;
  readonly linkName: string;
  readonly trigger: string;
  readonly mode: PassMode;
  readonly isRequested: boolean;
  /** Whether the link runs only when asked. */
  readonly isManual?: boolean;
  /** Whether another run that was asked for waits for its turn. */
  readonly othersWait?: boolean;
  /** True for the first observation of an epoch: it may be large. */
  readonly isBaseline: boolean;
  readonly startedAtMs: number;
}

export type Begun =
  | { readonly status: 'begun'; readonly pass: PassToken }
  | {
      readonly status: 'refused';
      readonly why: 'gone' | 'paused' | 'parked' | 'resting' | 'manual';
    };

/** Asks for a pass over a link. */
export interface PassRequest {
  readonly tenant: TenantId;
  readonly linkId: LinkId;
  readonly trigger: string;
  /** It goes on with what the pass before has left; a link that only runs when asked allows that. */
  readonly follows?: boolean;
}

export interface Observed {
  readonly observed: number;
  readonly changedHub: number;
  readonly changedRemote: number;
  readonly echo: number;
  /** Items missing from this scan that need another one before they count as gone. */
  readonly inDoubt: number;
  /** Whether a committed hub change is held back by an older transaction still under way. */
  readonly heldBack: boolean;
  /** Whether any item is to be planned; if not, the pass is over. */
  readonly hasWork: boolean;
  /** Intents of a crashed pass that were finished first. */
  readonly recovered: number;
  /** Items set aside by this look; absent where a worker of before answered. */
  readonly quarantined?: number;
}

export interface Planned {
  readonly planned: number;
  readonly merged: number;
  readonly conflicts: number;
  readonly quarantined: number;
  readonly skipped: number;
  readonly deletesHub: number;
  readonly deletesRemote: number;
  readonly guard: GuardTrip | null;
}

export interface Executed {
  readonly applied: number;
  readonly stale: number;
  readonly failed: number;
  readonly deletedHub: number;
  readonly deletedRemote: number;
  /** Fence the execution ran under; later steps must use it. */
  readonly fence: string;
}

export interface PassOutcome {
  readonly status: 'settled' | 'parked' | 'failed' | 'planned';
  readonly counters: RunCounters;
  /** Phase → ms. */
  readonly phases: Readonly<Record<string, number>>;
  readonly guard: GuardTrip | null;
  readonly error: PassFault | null;
}

/** How the link stands once its pass is closed. */
export interface SettledPass {
  /** Conflicts of the link that wait for a decision; absent where a worker of before answered. */
  readonly openConflicts?: number;
}

/** Why a pass failed. */
export interface PassFault {
  readonly code: string;
  readonly detail: string;
  /** How long the remote asked to be left alone, ms. */
  readonly retryAfterMs?: number;
}

/** A pass that was begun, and how far it came in one go. */
export type SmallPass =
  | Extract<Begun, { status: 'refused' }>
  | {
      readonly status: 'done';
      readonly pass: PassToken;
      readonly outcome: PassOutcome;
      readonly parts: PassParts;
      readonly openConflicts?: number;
    }
  /** Too large for one local activity: the workflow goes on from `parts`. */
  | { readonly status: 'handed-over'; readonly pass: PassToken; readonly parts: PassParts };

/** How a conflict stands, for its workflow: no content. */
export interface ConflictView {
  readonly status: ConflictStatus | 'gone';
  /** Absent where a worker of before answered, or the conflict is gone. */
  readonly linkId?: LinkId;
  readonly linkName: string | null;
  readonly reason: ConflictReason | null;
  /** How many places are contested. */
  readonly places: number;
  readonly revision: number;
  readonly dueAt: string | null;
  /** Milliseconds until then; null: it waits for a person. */
  readonly dueInMs: number | null;
  /** The strategy that decides when it is due. */
  readonly fallback: string | null;
  /** The link is paused: nothing is decided by itself. */
  readonly isHeld: boolean;
}

/** A person's decision as it travels through Temporal: a value goes by the hash it is stored under. */
export interface ConflictDecision {
  readonly choice: ResolutionChoice;
  readonly valueHash?: string;
  readonly by?: string;
  readonly ifRevision?: number;
}

/** What became of a fallback. `moved`: the sides changed and no pass has looked yet. */
export interface FallbackEnd {
  readonly status: 'resolved' | 'ended' | 'not-yet' | 'moved' | 'undecided';
}

export interface ConflictActivities {
  lookAtConflict(ref: ConflictInput): Promise<ConflictView>;
  /** Fails with the store's code (CONFLICT_MOVED, VALIDATION, …) when it is refused. */
  resolveConflict(ref: ConflictInput, decision: ConflictDecision): Promise<ConflictView>;
  /** Lets the link's fallback decide, if the conflict is due. */
  applyFallback(ref: ConflictInput): Promise<FallbackEnd>;
}

export interface ConflictInput {
  readonly tenant: TenantId;
  readonly conflictId: ConflictId;
}

export interface SyncActivities {
  /** A whole pass, unless it turns out large. */
  pass(link: PassRequest): Promise<SmallPass>;
  /** Begins a pass (or takes up an unfinished one) under a new fence. */
  begin(link: PassRequest): Promise<Begun>;
  /** Finishes open intents, then records what changed on both sides. */
  observe(pass: PassToken): Promise<Observed>;
  /** Decides every changed item and stores the plan; a tripped guard is part of the answer. */
  plan(pass: PassToken): Promise<Planned>;
  /** Executes the stored plan batch by batch, each settled in one transaction. */
  execute(pass: PassToken): Promise<Executed>;
  /** Closes the pass and records its outcome. */
  settle(pass: PassToken, outcome: PassOutcome): Promise<SettledPass>;
  /** Wakes every due link that has something to do, as far as there are places. Answers how many. */
  pulse(): Promise<{ woken: number }>;
}
