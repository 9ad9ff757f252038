/**
 * The store's door: what other rooms may ask of Postgres, without its SQL.
 * Every call runs in one transaction for exactly one tenant. A call that throws has changed nothing.
 */
import type {
  Caller,
  Change,
  ChangeType,
  Context,
  ContextEnvelope,
  ContextOptions,
  DeleteReason,
  VersionRow,
} from '../domain/context.ts';
import type { ConflictId, ContextKey, LinkId, RunId, TenantId } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import type {
  Conflict,
  ConflictStatus,
  GuardTrip,
  Link,
  LinkState,
  ResolutionChoice,
  Run,
} from '../domain/link.ts';

export interface Page<Row> {
  readonly items: readonly Row[];
  /** Pass it back for the next page; null on the last. */
  readonly nextCursor: string | null;
}

export interface ListFilter {
  readonly prefix?: string | undefined;
  readonly tag?: readonly string[] | undefined;
  readonly sessionId?: string | undefined;
  readonly agentId?: string | undefined;
  readonly parent?: string | undefined;
  readonly source?: string | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export interface ContextStore {
  /**
   * Creates (`created: true`) or replaces with a new version.
   * @throws AppError VERSION_CONFLICT (extra.currentVersion), CONTEXT_TOO_LARGE
   */
  store(
    caller: Caller,
    write: { key: ContextKey; data: Json; options: ContextOptions },
  ): Promise<{ created: boolean; envelope: ContextEnvelope }>;
  /** The current version, or version N of the history; null when there is none (or it expired). */
  get(caller: Caller, key: ContextKey, version?: number): Promise<Context | null>;
  /** @throws AppError CONTEXT_NOT_FOUND, VERSION_CONFLICT, CONTEXT_TOO_LARGE */
  update(
    caller: Caller,
    write: {
      key: ContextKey;
      data: Json;
      changeType: 'replace' | 'merge' | 'append';
      options: ContextOptions;
    },
  ): Promise<ContextEnvelope>;
  /** @throws AppError CONTEXT_NOT_FOUND, VERSION_CONFLICT */
  delete(
    caller: Caller,
    write: { key: ContextKey; ifVersion?: number | undefined; reason?: DeleteReason },
  ): Promise<{ key: ContextKey; version: number }>;
  list(caller: Caller, filter: ListFilter): Promise<Page<ContextEnvelope>>;
  /** Newest first. @throws AppError CONTEXT_NOT_FOUND, INVALID_CURSOR */
  versions(
    caller: Caller,
    query: { key: ContextKey; limit: number; cursor?: string | undefined },
  ): Promise<Page<VersionRow>>;
  /**
   * Changes in commit order after a cursor; never skips a late commit. `since` null: the oldest
   * kept; `'now'`: none, just the head's cursor. @throws AppError INVALID_CURSOR, CURSOR_EXPIRED
   */
  changes(
    caller: Caller,
    query: { since: string | null; limit: number; prefix?: string | undefined },
  ): Promise<{ changes: readonly Change[]; cursor: string }>;
}

/** What a link is made of; the store adds its id, state and times. */
export type NewLink = Pick<
  Link,
  | 'name'
  | 'connector'
  | 'config'
  | 'scope'
  | 'direction'
  | 'strategy'
  | 'strategies'
  | 'intervalMs'
  | 'trigger'
  | 'guards'
>;

export interface LinkStatus {
  readonly state: LinkState;
  /** Age of the oldest change not yet settled, ms; 0 when there is none. */
  readonly lagMs: number;
  readonly lastProvedEqualAt: string | null;
  readonly lastSettledAt: string | null;
  readonly items: number;
  readonly conflicts: number;
  readonly quarantined: number;
  readonly nextRunAt: string | null;
  readonly guard: GuardTrip | null;
}

export interface LinkStore {
  /** @throws AppError VALIDATION when a link of that name exists */
  create(caller: Caller, link: NewLink): Promise<Link>;
  list(caller: Caller): Promise<readonly Link[]>;
  /** By id or by name. @throws AppError LINK_NOT_FOUND */
  get(caller: Caller, idOrName: string): Promise<Link>;
  /** Disconnects; leaves both sides' data alone. @throws AppError LINK_NOT_FOUND */
  remove(caller: Caller, id: LinkId): Promise<void>;
  /**
   * Changes the given members. A change of scope, direction, strategy or guards opens a new epoch.
   * @throws AppError LINK_NOT_FOUND, VALIDATION
   */
  patch(
    caller: Caller,
    id: LinkId,
    changes: Partial<Omit<NewLink, 'connector' | 'config'>>,
  ): Promise<Link>;
  pause(caller: Caller, id: LinkId): Promise<Link>;
  resume(caller: Caller, id: LinkId): Promise<Link>;
  /** New epoch: forgets every base, deletes nothing. */
  reset(caller: Caller, id: LinkId): Promise<Link>;
  status(caller: Caller, id: LinkId): Promise<LinkStatus>;
  /** The items that rest for a reason: quarantined ones with code and detail. */
  quarantined(
    caller: Caller,
    id: LinkId,
  ): Promise<readonly { key: string; remoteId: string | null; code: string; detail: string }[]>;
}

/** One op of a run or plan, as an operator reads it. */
export interface RunOp {
  readonly op: string;
  readonly side: 'hub' | 'remote' | 'both';
  readonly key: string;
  readonly reason: string;
  readonly state: string;
  readonly before: Json | null;
  readonly after: Json | null;
}

export interface RunStore {
  /**
   * Asks for a run and wakes its workflow through the outbox. Joins a run that waits already.
   * @throws AppError LINK_NOT_FOUND, LINK_PAUSED
   */
  request(caller: Caller, linkId: LinkId, reason: string): Promise<Run>;
  list(
    caller: Caller,
    query: { linkId: LinkId; limit: number; cursor?: string | undefined },
  ): Promise<Page<Run>>;
  /** @throws AppError RUN_NOT_FOUND */
  get(caller: Caller, id: RunId): Promise<Run>;
  /** What the run did or, when parked, would do; in order, at most `limit`. @throws AppError RUN_NOT_FOUND */
  ops(caller: Caller, id: RunId, limit: number): Promise<readonly RunOp[]>;
  /**
   * Lets a parked run go on with exactly its stored plan; each op is re-checked when executed.
   * @throws AppError PLAN_NOT_FOUND, PLAN_ALREADY_EXECUTED, PLAN_EXPIRED
   */
  approve(caller: Caller, planId: RunId): Promise<Run>;
}

export interface ConflictStore {
  list(
    caller: Caller,
    query: {
      linkId?: LinkId | undefined;
      status?: ConflictStatus | undefined;
      limit: number;
      cursor?: string | undefined;
    },
  ): Promise<Page<Conflict>>;
  /** @throws AppError CONFLICT_NOT_FOUND */
  get(caller: Caller, id: ConflictId): Promise<Conflict>;
  /**
   * Writes the chosen value as an ordinary version and wakes the link, which carries it to the
   * remote. The losing values stay in the context's history.
   * @throws AppError CONFLICT_NOT_FOUND, CONFLICT_MOVED, VALIDATION (no proposal, value missing)
   */
  resolve(
    caller: Caller,
    id: ConflictId,
    resolution: { choice: ResolutionChoice; value?: Json | undefined; by: string | null },
  ): Promise<Conflict>;
}

export type { Claimed, Outbox, OutboxMessage, LinkRef } from './outbox.ts';
export type { Sweeps } from './sweeps.ts';
export type { SyncStore } from './sync/sync-store.ts';
export type { PassRef, PassStart, PassEnd, BeginResult } from './sync/pass.ts';
export type { Naming, Sighting } from './sync/observe.ts';
export type { DirtyItem, OpenConflict, PlannedOp, PlanPage } from './sync/plan.ts';
export type { ClaimedOp, OpResult, Settled } from './sync/execute.ts';
export { encodeBody, type Body } from './blobs.ts';

/** The parts the API and CLI speak to. */
export interface Store {
  readonly contexts: ContextStore;
  readonly links: LinkStore;
  readonly runs: RunStore;
  readonly conflicts: ConflictStore;
  /** Proof that Postgres answers. @throws AppError UNAVAILABLE */
  ping(): Promise<void>;
  close(): Promise<void>;
}

export type { Caller, Change, ChangeType, Context, ContextEnvelope, TenantId, VersionRow };
