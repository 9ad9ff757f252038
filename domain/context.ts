/** Contexts and versions as every room speaks of them. */
import type { Hash } from './hash.ts';
import type { ContextKey, TenantId } from './ids.ts';
import type { Json, JsonObject } from './json.ts';

export type ChangeType = 'create' | 'update' | 'merge' | 'append' | 'rollback' | 'delete';
/** Why a version is a delete. */
export type DeleteReason = 'user' | 'remote' | 'ttl' | 'filter' | 'retention' | 'merge';

/** Everything about a context but its data. Times are ISO 8601 in UTC; `size` is bytes of compact JSON. */
export interface ContextEnvelope {
  readonly key: ContextKey;
  readonly version: number;
  readonly hash: Hash;
  readonly kind: string;
  readonly source: string | null;
  readonly parentId: string | null;
  readonly sessionId: string | null;
  readonly agentId: string | null;
  readonly tags: readonly string[];
  readonly metadata: JsonObject;
  readonly encrypted: boolean;
  readonly compressed: boolean;
  readonly size: number;
  readonly createdAt: string;
  readonly createdBy: string | null;
  readonly updatedAt: string;
  readonly updatedBy: string | null;
  readonly expiresAt: string | null;
}

export interface Context extends ContextEnvelope {
  readonly data: Json;
}

/** One row of a context's history, newest first in lists. */
export interface VersionRow {
  readonly version: number;
  readonly hash: Hash | null;
  readonly changeType: ChangeType;
  readonly changedBy: string | null;
  readonly changedAt: string;
  readonly size: number;
  readonly reason: DeleteReason | null;
}

/** One row of the change feed. */
export interface Change {
  readonly key: ContextKey;
  readonly version: number;
  readonly timestamp: string;
  readonly changeType: ChangeType;
  readonly changedBy: string | null;
  readonly deleted?: true;
  readonly reason?: DeleteReason;
  /** Position in commit order; pass it as `since`. */
  readonly cursor: string;
}

/** What a write may say besides the data; a missing member keeps (update) or resets (store). */
export interface ContextOptions {
  readonly kind?: string | undefined;
  readonly source?: string | null | undefined;
  readonly parentId?: string | null | undefined;
  readonly sessionId?: string | null | undefined;
  readonly agentId?: string | null | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly metadata?: JsonObject | undefined;
  /** Seconds; null = never. */
  readonly ttl?: number | null | undefined;
  readonly compress?: boolean | undefined;
  /** Left out: an encrypted context stays so, and others are as the server is set. */
  readonly encrypt?: boolean | undefined;
  readonly ifVersion?: number | undefined;
}

/** An answer as it went out, kept for a request that is sent again. */
export interface RememberedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text. */
  readonly body: string;
}

/** The place of one `Idempotency-Key`, and the right to answer for it. */
export interface RequestSlot {
  /** SHA-256 over method, path and key, as hex. */
  readonly slot: string;
  readonly token: string;
  /** What of an answer's body is kept; missing: the body itself. */
  readonly seal?: ((body: string) => string) | undefined;
  /** What a write with this result is answered; then it is kept in the write's own transaction. */
  readonly answerOf?: ((result: unknown) => RememberedAnswer) | undefined;
}

/** Who asks: every store call runs for exactly one tenant. */
export interface Caller {
  readonly tenant: TenantId;
  /** Name written into history, e.g. an api key's name or `sync:<link name>`. */
  readonly actor: string | null;
  /** Set where the request carries an `Idempotency-Key`. */
  readonly request?: RequestSlot;
}
