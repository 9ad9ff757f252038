/** The one error the client throws. */
import type { Problem } from '../api/contract.ts';

/**
 * Codes of the API, and three of the client's own: the server cannot be reached, did not answer in
 * time, or answered something that is not ours.
 */
export type ClientErrorCode = Problem['code'] | 'UNREACHABLE' | 'TIMEOUT' | 'BAD_ANSWER';

export interface SyncErrorFacts {
  readonly code: ClientErrorCode;
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[];
  readonly requestId?: string | null;
  readonly retryAfterMs?: number | null;
  /** The whole problem document, e.g. for `currentVersion`. */
  readonly problem?: Problem | null;
  readonly cause?: unknown;
}

export class SyncError extends Error {
  override readonly name = 'SyncError';
  readonly code: ClientErrorCode;
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** Each bad field, as a JSON pointer into what was sent. */
  readonly errors: readonly { readonly pointer: string; readonly detail: string }[];
  /** For asking the operator about it; null when there was no answer. */
  readonly requestId: string | null;
  readonly problem: Problem | null;
  /** How long the server asked to wait, ms; null: it did not say. */
  readonly retryAfterMs: number | null;

  constructor(message: string, facts: SyncErrorFacts) {
    super(message, { cause: facts.cause });
    this.code = facts.code;
    this.status = facts.status;
    this.errors = facts.errors ?? [];
    this.requestId = facts.requestId ?? null;
    this.problem = facts.problem ?? null;
    this.retryAfterMs = facts.retryAfterMs ?? null;
  }

  /** Version the context has now, when a write was refused with VERSION_CONFLICT. */
  get currentVersion(): number | null {
    const version = this.problem?.['currentVersion'];
    return typeof version === 'number' ? version : null;
  }
}
