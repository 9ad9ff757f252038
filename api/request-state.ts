/** What middleware learns about a request and later steps read. Kept in `res.locals`, typed here. */
import type { Application, Response } from 'express';
import type { AppError } from '../domain/errors.ts';
import type { Caller } from '../domain/context.ts';
import type { Scope } from './call.ts';

export interface RequestState {
  requestId: string;
  /** Null until a key was accepted (or keys are off). */
  caller: Caller | null;
  scopes: readonly Scope[];
  /** Why nobody was accepted; thrown only by calls that need a caller. */
  authError: AppError | null;
  /** Status to answer instead of the error code's own: 412 for `If-Match`, 414 for a long URI. */
  problemStatus: number | null;
  /** Id of the matched call, for the log. */
  callId: string | null;
  /** Whether a write has kept its answer for the request's `Idempotency-Key` already. */
  isAnswerKept: boolean;
}

/** The state of the request this response answers. */
export function stateOf(res: Response): RequestState {
  return res.locals as RequestState;
}

/** A fresh state; the first middleware sets it. */
export function initState(res: Response, requestId: string): void {
  const state: RequestState = {
    requestId,
    caller: null,
    scopes: [],
    authError: null,
    problemStatus: null,
    callId: null,
    isAnswerKept: false,
  };
  Object.assign(res.locals, state);
}

const STOPPING = 'stopping';

/** Aborts when the server stops; long polls end on it. */
export function stoppingOf(app: Application): AbortController {
  const known: unknown = app.locals[STOPPING];
  if (known instanceof AbortController) return known;
  const controller = new AbortController();
  app.locals[STOPPING] = controller;
  return controller;
}
