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
import type { AppError, ErrorCode } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import type { ConflictId, ContextKey, LinkId, RunId, TenantId } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import type { PatchOp } from '../domain/json-patch.ts';
import type {
  AuditProof,
  Conflict,
  ConflictFallback,
  ConflictReason,
  ConflictStatus,
  GuardTrip,
  Link,
  LinkState,
  PlannedDecision,
  ResolutionChoice,
  Run,
} from '../domain/link.ts';
import type { SearchStore } from './search/search-store.ts';
import type { WaitStore } from './wait-store.ts';
import type { AnalyticsStore } from './analytics.ts';
import type { ApiKeys } from './api-keys.ts';
import type { AuditLog } from './audit.ts';
import type { AuditStore } from './audits.ts';
import type { Exporter } from './export.ts';
import type { Importer } from './import.ts';
import type { FeedWatch } from './feed-watch.ts';
import type { KeyRotation } from './crypto/rotation.ts';
import type { Idempotency } from './idempotency.ts';
import type { MetricsStore } from './metrics.ts';
import type { QuarantineChange, QuarantineChoice, QuarantinedItem } from './quarantine.ts';
import type { Tenants } from './tenants.ts';

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

/** What is stored under a key. */
export interface ContextWrite {
  readonly key: ContextKey;
  readonly data: Json;
  readonly options: ContextOptions;
}

export interface ContextUpdate extends Omit<ContextWrite, 'data'> {
  /** Undefined: the data stays, only options change; then `changeType` is `replace`. */
  readonly data: Json | undefined;
  readonly changeType: 'replace' | 'merge' | 'append';
  /** Who makes the change; left out: the caller's actor. */
  readonly changedBy?: string | undefined;
}

export interface ContextRollback {
  readonly key: ContextKey;
  readonly version: number;
  readonly ifVersion?: number | undefined;
}

export interface ContextDelete {
  readonly key: ContextKey;
  readonly ifVersion?: number | undefined;
  readonly reason?: DeleteReason;
}

/** One operation of a batch. */
export type BatchOperation =
  | ({ readonly op: 'store' } & ContextWrite)
  | ({ readonly op: 'update' } & ContextUpdate)
  | ({ readonly op: 'delete' } & ContextDelete)
  | { readonly op: 'get'; readonly key: ContextKey; readonly version?: number | undefined };

/** What became of one operation of a batch. */
export type BatchOutcome =
  | { readonly status: 'stored'; readonly created: boolean; readonly envelope: ContextEnvelope }
  | { readonly status: 'updated'; readonly envelope: ContextEnvelope }
  | { readonly status: 'deleted'; readonly version: number }
  | { readonly status: 'found'; readonly context: Context }
  | { readonly status: 'missing'; readonly error: AppError }
  | { readonly status: 'failed'; readonly error: AppError };

/** How two versions of a context differ. */
export interface ContextDiff {
  readonly from: number;
  readonly to: number;
  readonly patch: readonly PatchOp[];
  /** In the format of jsondiffpatch; null: they are equal. */
  readonly delta: Json;
}

export interface ContextStore {
  /**
   * Creates (`created: true`) or replaces with a new version.
   * @throws AppError VERSION_CONFLICT (extra.currentVersion), CONTEXT_TOO_LARGE
   */
  store(
    caller: Caller,
    write: ContextWrite,
  ): Promise<{ created: boolean; envelope: ContextEnvelope }>;
  /** The current version, or version N of the history; null when there is none (or it expired). */
  get(caller: Caller, key: ContextKey, version?: number): Promise<Context | null>;
  /** Version N of the history. @throws AppError CONTEXT_NOT_FOUND, VERSION_NOT_FOUND */
  getVersion(caller: Caller, key: ContextKey, version: number): Promise<Context>;
  /** @throws AppError CONTEXT_NOT_FOUND, VERSION_CONFLICT, CONTEXT_TOO_LARGE */
  update(caller: Caller, write: ContextUpdate): Promise<ContextEnvelope>;
  /**
   * A new version with the data of an old one, under the options the context has; a deleted context
   * comes back with those it had. @throws AppError CONTEXT_NOT_FOUND, VERSION_NOT_FOUND, VERSION_CONFLICT
   */
  rollback(caller: Caller, write: ContextRollback): Promise<ContextEnvelope>;
  /** @throws AppError CONTEXT_NOT_FOUND, VERSION_CONFLICT */
  delete(caller: Caller, write: ContextDelete): Promise<{ key: ContextKey; version: number }>;
  /**
   * Many operations in one transaction, each of which sees what the ones before it did; one outcome
   * each, in order. `atomic`: the first that fails is thrown, with `extra.failedIndex`, and nothing
   * has changed; else it changes nothing and the others do. A `get` of what is not there is no failure.
   *
   * @throws AppError of the operation that failed: those of the single calls, BATCH_TOO_LARGE
   */
  batch(
    caller: Caller,
    batch: { readonly atomic: boolean; readonly operations: readonly BatchOperation[] },
  ): Promise<readonly BatchOutcome[]>;
  /**
   * From one version to another; left out: to the current one, from the one before `to`.
   * @throws AppError CONTEXT_NOT_FOUND, VERSION_NOT_FOUND, DIFF_TOO_LARGE
   */
  diff(
    caller: Caller,
    query: { key: ContextKey; from?: number | undefined; to?: number | undefined },
  ): Promise<ContextDiff>;
  list(caller: Caller, filter: ListFilter): Promise<Page<ContextEnvelope>>;
  /** Newest first. @throws AppError CONTEXT_NOT_FOUND, INVALID_CURSOR */
  versions(
    caller: Caller,
    query: { key: ContextKey; limit: number; cursor?: string | undefined },
  ): Promise<Page<VersionRow>>;
  /**
   * Changes in commit order after a cursor; never skips a late commit. `since` null: the oldest
   * kept; `'now'`: none, just the head's cursor and what this hub and the caller's tenant call
   * themselves. @throws AppError INVALID_CURSOR, CURSOR_EXPIRED
   */
  changes(
    caller: Caller,
    query: { since: string | null; limit: number; prefix?: string | undefined },
  ): Promise<{ changes: readonly Change[]; cursor: string; hubId?: string }>;
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
> & { readonly conflictFallback?: ConflictFallback | null | undefined };

export interface LinkStatus {
  readonly state: LinkState;
  /** Age of the oldest change not yet settled, ms; 0 when there is none. */
  readonly lagMs: number;
  readonly lastProvedEqualAt: string | null;
  /** What the last finished audit counted; null: none yet. */
  readonly proof: AuditProof | null;
  /** Whether a clock is off by more than a bound: the API's, a worker's, or the remote's. */
  readonly clockSkew: boolean;
  /** The largest of these differences, ms; positive: ahead of Postgres. */
  readonly skewMs: number;
  readonly lastSettledAt: string | null;
  readonly items: number;
  readonly conflicts: number;
  readonly quarantined: number;
  /** Items an undo put back, which rest until somebody edits them. */
  readonly held: number;
  readonly nextRunAt: string | null;
  readonly guard: GuardTrip | null;
}

export interface LinkStore {
  /** @throws AppError VALIDATION when a link of that name exists */
  create(caller: Caller, link: NewLink): Promise<Link>;
  /** By name. @throws AppError INVALID_CURSOR */
  list(
    caller: Caller,
    page: { readonly limit: number; readonly cursor?: string | undefined },
  ): Promise<Page<Link>>;
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
  /** The items that are set aside, with why and what comes next; at most 1,000. */
  quarantined(caller: Caller, id: LinkId): Promise<readonly QuarantinedItem[]>;
  /** Tries items that are set aside now instead of when their back-off is over. @throws AppError LINK_NOT_FOUND */
  retryQuarantined(caller: Caller, id: LinkId, choice: QuarantineChoice): Promise<QuarantineChange>;
  /** Makes them ordinary items again: their failures are forgotten. @throws AppError LINK_NOT_FOUND */
  releaseQuarantined(
    caller: Caller,
    id: LinkId,
    choice: QuarantineChoice,
  ): Promise<QuarantineChange>;
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
  /** The page had no room for the bodies: `before` and `after` are null. A page that begins here has. */
  readonly isCut?: true;
}

export interface RunStore {
  /**
   * Asks for a run and wakes its workflow through the outbox. Joins a run that waits already.
   * @throws AppError LINK_NOT_FOUND, LINK_PAUSED
   */
  request(caller: Caller, linkId: LinkId, reason: string): Promise<Run>;
  /** Asks for a dry run; a paused or parked link takes it too. @throws AppError LINK_NOT_FOUND */
  requestPlan(caller: Caller, linkId: LinkId, reason: string): Promise<Run>;
  /**
   * Asks for a run that puts back what run `id` wrote, as far as it is still there.
   * @throws AppError RUN_NOT_FOUND, RUN_NOT_FINISHED
   */
  requestUndo(caller: Caller, id: RunId, reason: string): Promise<Run>;
  /** A dry run, or one that was parked. @throws AppError PLAN_NOT_FOUND */
  plan(
    caller: Caller,
    id: RunId,
  ): Promise<{ readonly run: Run; readonly decisions: readonly PlannedDecision[] }>;
  list(
    caller: Caller,
    query: { linkId: LinkId; limit: number; cursor?: string | undefined },
  ): Promise<Page<Run>>;
  /** @throws AppError RUN_NOT_FOUND */
  get(caller: Caller, id: RunId): Promise<Run>;
  /** What the run did or, when parked or dry, would do; in order. @throws AppError RUN_NOT_FOUND, INVALID_CURSOR */
  ops(
    caller: Caller,
    id: RunId,
    query: { limit: number; cursor?: string | undefined },
  ): Promise<Page<RunOp>>;
  /**
   * Executes exactly the stored plan of a dry or parked run; each op is re-checked when executed. If
   * the run fails, the rest of the plan may be approved again until it expires.
   * @throws AppError PLAN_NOT_FOUND, PLAN_ALREADY_EXECUTED, PLAN_EXPIRED
   */
  approve(caller: Caller, planId: RunId): Promise<Run>;
}

export interface Resolution {
  readonly choice: ResolutionChoice;
  /** For choice `value`: the value itself, or the hash of a body this tenant has stored. */
  readonly value?: Json | undefined;
  readonly valueHash?: Hash | undefined;
  readonly by: string | null;
  /** Refuse when the conflict is at another revision. */
  readonly ifRevision?: number | undefined;
}

/** Which open conflicts of a link, and what is chosen for each. */
export interface BulkQuery {
  readonly filter: {
    readonly reason?: ConflictReason | undefined;
    readonly prefix?: string | undefined;
    readonly key?: ContextKey | undefined;
  };
  readonly choice: Exclude<ResolutionChoice, 'value'>;
  readonly by: string | null;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** One conflict of a bulk call: what would happen, what happened, or why nothing did. */
export interface BulkItem {
  readonly id: ConflictId;
  readonly key: ContextKey;
  readonly reason: ConflictReason;
  readonly revision: number;
  readonly status: 'resolvable' | 'resolved' | 'refused';
  readonly code?: ErrorCode;
  readonly detail?: string;
  /** Of a preview; null: no such item. */
  readonly hub?: { readonly before: Json | null; readonly after: Json | null };
  readonly remote?: { readonly before: Json | null; readonly after: Json | null };
}

export interface BulkResult {
  /** Open conflicts that fit the filter, on all pages. */
  readonly count: number;
  readonly items: readonly BulkItem[];
  readonly nextCursor: string | null;
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
   * @throws AppError CONFLICT_NOT_FOUND, CONFLICT_MOVED (extra.conflict: as it is now), VALIDATION (no
   * base, no proposal, value missing or of the wrong shape), CONTEXT_TOO_LARGE
   */
  resolve(caller: Caller, id: ConflictId, resolution: Resolution): Promise<Conflict>;
  /** What {@link resolveMany} would do; changes nothing. @throws AppError INVALID_CURSOR */
  previewMany(caller: Caller, linkId: LinkId, query: BulkQuery): Promise<BulkResult>;
  /** Resolves each open conflict that fits in a transaction of its own. @throws AppError INVALID_CURSOR */
  resolveMany(caller: Caller, linkId: LinkId, query: BulkQuery): Promise<BulkResult>;
}

export { conflictsTold } from './outbox.ts';
export type {
  SearchAnswer,
  SearchHit,
  SearchMode,
  SearchQuery,
  SearchStore,
} from './search/search-store.ts';
export type { Drained, IndexedCount, SearchIndex } from './search/search-index.ts';
export type { Claimed, ConflictRef, Outbox, OutboxMessage, LinkRef } from './outbox.ts';
export type { AwaitedWrite, WaitStore, WriteOutcome } from './wait-store.ts';
export type { ApiKeyOwner, ApiKeyRow, ApiKeys } from './api-keys.ts';
export type { Analytics, AnalyticsFilter, AnalyticsStore } from './analytics.ts';
export type { AuditLog, AuditRow } from './audit.ts';
export type { AuditStore } from './audits.ts';
export type { LinkMetrics, Metrics, MetricsStore } from './metrics.ts';
export type { DoctorStore, LinkCondition, OutboxCondition, QuarantineRow } from './doctor.ts';
export type { QuarantineChange, QuarantineChoice, QuarantinedItem } from './quarantine.ts';
export type { Collected, Retention, RetentionPolicy } from './retention.ts';
export type { Sweeps } from './sweeps.ts';
export type { Tenant, TenantRemoval, Tenants } from './tenants.ts';
export type { ConflictWatch, ContestedSides, WatchedConflict } from './conflict-watch.ts';
export type { DueLink, LinkRest, PulseBounds } from './due-links.ts';
export type { SyncStore } from './sync/sync-store.ts';
export type { PassRef, PassStart, PassEnd, BeginResult } from './sync/pass.ts';
export type { NamelessItem, Naming, Sighting } from './sync/observe.ts';
export type { AuditedItem } from './sync/digests.ts';
export type { OpenConflict } from './sync/conflicts.ts';
export type { DirtyItem, PlannedOp, PlanPage } from './sync/plan.ts';
export type { RenameCandidate } from './sync/rename-candidates.ts';
export type { ClaimedOp, OpResult, Settled } from './sync/execute.ts';
export { decodeBody, encodeBody, type Body, type StoredBody } from './blobs.ts';

export type { Claim, Idempotency } from './idempotency.ts';

export type { Exporter, ExportManifest, ExportQuery } from './export.ts';
export { EXPORT_FORMAT, EXPORT_FORMAT_VERSION } from './export.ts';
export type { Importer, ImportFault, ImportMode, ImportResult, ImportVersion } from './import.ts';
export type { BackupProgress, BackupResult } from './backup/backup-format.ts';
export type { RestoreResult, SchemaStep } from './backup/restore-backup.ts';
export type { KeyRotation, RetiringKey, RotationStatus } from './crypto/rotation.ts';
export type { FeedWatch, WatchedChange, WatchedPage, WatchQuery } from './feed-watch.ts';

/** The parts the API and CLI speak to. */
export interface Store {
  readonly contexts: ContextStore;
  readonly search: SearchStore;
  readonly links: LinkStore;
  readonly runs: RunStore;
  readonly conflicts: ConflictStore;
  readonly audits: AuditStore;
  readonly metrics: MetricsStore;
  readonly analytics: AnalyticsStore;
  readonly waits: WaitStore;
  readonly exporter: Exporter;
  readonly importer: Importer;
  readonly idempotency: Idempotency;
  readonly rotation: KeyRotation;
  readonly keys: ApiKeys;
  readonly tenants: Tenants;
  readonly auditLog: AuditLog;
  readonly feedWatch: FeedWatch;
  /** Proof that Postgres answers. @throws AppError UNAVAILABLE */
  ping(): Promise<void>;
  close(): Promise<void>;
}

export type { Caller, Change, ChangeType, Context, ContextEnvelope, TenantId, VersionRow };
