/**
 * The port between the sync engine and one kind of outside system.
 * A connector reads, writes and watches; it never decides. The engine never guesses: what a
 * connector cannot know for certain it says with a status, not with silence.
 */
import type { z } from 'zod';
import type { ErrorCode } from '../domain/errors.ts';
import type { RemoteId } from '../domain/ids.ts';
import type { ItemKind } from '../domain/item.ts';
import type { Json, JsonObject } from '../domain/json.ts';
import type { RateLimit } from './rate-limit.ts';

/**
 * What a remote lets us guarantee.
 * A: compare-and-set, idempotency keys that remember refusals too, and a delete feed.
 * B: compare-and-set. C: neither.
 */
export type Grade = 'A' | 'B' | 'C';

export interface ConnectorCapabilities {
  readonly grade: Grade;
  /** How deletes are learned: told by the remote, or absent from a complete scan. */
  readonly deletes: 'feed' | 'scan';
  /** Whether {@link Connector.watch} gives hints. */
  readonly canWatch: boolean;
  /** Whether an item keeps its id when it is renamed. */
  readonly hasStableIds: boolean;
  /** Kinds of item this remote can hold; hub contexts of other kinds are left out of the link. */
  readonly kinds: readonly ItemKind[] | 'any';
  /**
   * What an item's id on the remote is. `name` (or absent): what the item itself is called, a
   * memory's name or a document's path. `key`: the rest of its hub key below the link's prefix.
   */
  readonly identity?: 'name' | 'key';
  /** Most operations one {@link Connector.apply} takes. */
  readonly maxBatch: number;
}

/**
 * An item as the remote has it. `version` is the remote's etag, revision or content hash. Values
 * are objects, except on a remote that holds any kind (`Value` = Json there).
 */
export interface RemoteItem<Value extends Json = JsonObject> {
  readonly status: 'present';
  readonly remoteId: RemoteId;
  readonly kind: ItemKind;
  readonly version: string;
  /** Absent when reading it costs a call of its own; the engine then asks {@link Connector.read}. */
  readonly value?: Value;
  /** When the remote says it changed, ms since the epoch; feeds the `latest` strategy only. */
  readonly changedAtMs?: number;
}

/** The remote says it has no such item (deleted, or never there). */
export interface RemoteAbsence {
  readonly status: 'absent';
  readonly remoteId: RemoteId;
}

/** The item is there but cannot be used; the engine quarantines it and touches nothing. */
export interface RemoteFault {
  readonly status: 'faulty';
  readonly remoteId: RemoteId;
  /** Its kind, where that shows without reading it; a memory otherwise. It is part of the hub key. */
  readonly kind?: ItemKind;
  readonly code: ErrorCode;
  readonly detail: string;
}

export type RemoteEntry<Value extends Json = JsonObject> =
  RemoteItem<Value> | RemoteAbsence | RemoteFault;

export interface ObserveRequest {
  /** Cursor of the last completed observation, or null when there was none: everything is listed. */
  readonly since: string | null;
  /**
   * List everything, in a scan, whatever `since` says. It is given all the same, for what a connector
   * keeps in its cursors besides, such as what it once read in a file that cannot be read now.
   */
  readonly isWhole?: boolean;
  /**
   * What is known of the remote has moved on since `since` was given: we have written, or a look came
   * to no end. A cursor that names a state (a hash of all there is) then proves nothing, since the
   * remote may be back in that state: answer as if it differed. One that names a position in a feed
   * is as good as ever.
   */
  readonly isDoubted?: boolean;
  /** `nextPage` of the page before, or null for the first. */
  readonly page: string | null;
  readonly signal?: AbortSignal;
}

/**
 * One page of what a remote has.
 * `changes`: what changed after `since`; deletes are told. `scan`: everything there is; on the last
 * page `isComplete` is the certificate that nothing was filtered, cut or swallowed, without which
 * absence means nothing. `unchanged`: nothing differs from `since`, entries are empty.
 * A cursor that names a state names the one that was listed: made of the entries as they were shown,
 * all with their values, whatever has changed while the pages were read.
 */
export interface ObservePage<Value extends Json = JsonObject> {
  readonly mode: 'changes' | 'scan' | 'unchanged';
  readonly entries: readonly RemoteEntry<Value>[];
  /** Null on the last page. */
  readonly nextPage: string | null;
  /** To pass as `since` once everything up to here is settled. Meaningful on the last page. */
  readonly cursor: string | null;
  readonly isComplete: boolean;
}

/** One intended write. */
export interface RemoteOp<Value extends Json = JsonObject> {
  /** Unique per intent; the idempotency key where the remote takes one. */
  readonly opId: string;
  readonly action: 'create' | 'update' | 'delete';
  readonly kind: ItemKind;
  /** The item's id; for a create, the id we expect it to get. */
  readonly remoteId: RemoteId;
  /**
   * The new value; null for a delete (and for JSON's null, where the remote holds any kind: the
   * action tells). A name that differs from the id asks for a rename.
   */
  readonly value: Value | null;
  /** What the plan was made on: the remote's version, or null for "must not exist". */
  readonly expectedVersion: string | null;
}

/** What became of one op. Thrown errors mean: nobody knows (time-out, lost answer, process gone). */
export type ApplyOutcome<Value extends Json = JsonObject> =
  | {
      readonly status: 'applied';
      readonly opId: string;
      readonly remoteId: RemoteId;
      /** Version OUR write made, even if somebody has written since; null after a delete. */
      readonly version: string | null;
      /**
       * Our value in the remote's own spelling (what a reader would have got right after the write).
       * The very object that was given says: taken over as it was; it is never changed in place.
       */
      readonly written: Value | null;
    }
  /** The remote no longer has `expectedVersion`; nothing was written. */
  | { readonly status: 'moved'; readonly opId: string; readonly current: RemoteEntry<Value> }
  /** This op cannot be done; nothing of it was written. */
  | {
      readonly status: 'failed';
      readonly opId: string;
      readonly code: ErrorCode;
      readonly detail: string;
      readonly isRetryable: boolean;
    };

/** An open conversation with one remote. Calls are made one at a time. */
export interface Connector<Value extends Json = JsonObject> {
  readonly capabilities: ConnectorCapabilities;
  /** Canary: cheap proof that the remote answers. @throws AppError CONNECTOR_UNREACHABLE */
  probe(signal?: AbortSignal): Promise<void>;
  /** @throws AppError CONNECTOR_UNREACHABLE, REMOTE_MALFORMED when the remote as a whole cannot be read */
  observe(request: ObserveRequest): Promise<ObservePage<Value>>;
  /** The named items now; every id is answered, missing ones as `absent`. Values are always given. */
  read(
    remoteIds: readonly RemoteId[],
    signal?: AbortSignal,
  ): Promise<readonly RemoteEntry<Value>[]>;
  /**
   * Where things also go that nobody deleted: those of the named items, missing from a complete
   * listing, of which the remote does not say that somebody deleted them (they ran out, or it has
   * never heard of them). They count as resting, not as absent. Left out: what is missing was deleted.
   */
  lapsed?(remoteIds: readonly RemoteId[], signal?: AbortSignal): Promise<readonly RemoteId[]>;
  /**
   * Applies ops in the order that is right for the remote and answers in the order given.
   * Each op is all or nothing. Where the grade is A, an op whose `opId` was answered before gets the
   * same status again and writes nothing, whatever has changed since: `moved` too (its `current`
   * may be the item as it was then or as it is now), and `failed` unless it may be retried.
   */
  apply(
    ops: readonly RemoteOp<Value>[],
    signal?: AbortSignal,
  ): Promise<readonly ApplyOutcome<Value>[]>;
  /** Calls back soon after the remote may have changed. A hint means "look", never "this changed". */
  watch?(onHint: () => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

/** What the server permits connectors to reach; checked before anything is opened. */
export interface ConnectorPermissions {
  /** Absolute folders file connectors may open. */
  readonly fileRoots: readonly string[];
  /** Commands stdio connectors may start, matched against the command only. */
  readonly stdioCommands: readonly string[];
  /** Hosts, or `host:port`, that connectors may call; absent: loopback only. */
  readonly remoteHosts?: readonly string[];
}

export interface OpenContext {
  /** Start of the keys the link keeps in step; absent where nobody asks by key. */
  readonly prefix?: string;
  readonly permissions: ConnectorPermissions;
  /** What the hub of this side and the link's tenant call themselves; absent where nobody knows. */
  readonly ownHubId?: () => Promise<string>;
  /** Resolves `{"env":"NAME"}` references. @throws AppError CONNECTOR_NOT_ALLOWED, VALIDATION when it is not set */
  readonly secret: (name: string) => string;
  readonly log: ConnectorLog;
  readonly signal?: AbortSignal;
}

/** Whether a remote can hold an item of this kind. */
export function holdsKind({ kinds }: ConnectorCapabilities, kind: ItemKind): boolean {
  return kinds === 'any' || kinds.includes(kind);
}

export interface ConnectorLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** One kind of remote: its configuration, what it promises, and how to open it. */
export interface ConnectorType<Config = unknown, Value extends Json = JsonObject> {
  readonly kind: string;
  readonly title: string;
  readonly configSchema: z.ZodType<Config>;
  readonly capabilities: ConnectorCapabilities;
  /** Changes whenever the mapping to items changes; part of a link's policy. */
  readonly version: number;
  /** How often one host and credential may be called, unless the config's `rateLimit` says so. */
  readonly rateLimit?: RateLimit;
  /** @throws AppError CONNECTOR_NOT_ALLOWED when the permissions do not cover this config */
  checkAllowed(config: Config, permissions: ConnectorPermissions): void;
  /**
   * Whether a link of this scope may be, where only the remote can tell; asked before it is made. A
   * remote that does not answer proves nothing. @throws AppError LINK_TO_ITSELF
   */
  checkScope?(config: Config, context: OpenContext): Promise<void>;
  /** @throws AppError CONNECTOR_NOT_ALLOWED, CONNECTOR_UNREACHABLE, LINK_TO_ITSELF */
  open(config: Config, context: OpenContext): Promise<Connector<Value>>;
}

/** A connector type of whatever values. */
export type AnyConnectorType = ConnectorType<unknown, Json>;
