/**
 * The one place where errors become answers (RFC 9457). Details of unexpected errors stay in the
 * log; the caller gets the request id to ask about.
 */
import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import type { Logger } from 'pino';
import { AppError, ERROR_CODES, messageOf, retryAfterMsOf } from '../../domain/errors.ts';
import type { Problem } from '../contract.ts';
import { stateOf } from '../request-state.ts';

const RETRY_SECONDS = '1';

/** 404 for a path that names no call. */
export function notFound(): RequestHandler {
  return (req) => {
    const hint = KEY_CUT.test(req.path) ? ' In a key, encode each `/` as `%2F`.' : '';
    throw new AppError('NOT_FOUND', `Nothing is at ${req.method} ${req.path}.${hint}`);
  };
}

/** A call that takes a key, and more after it. */
const KEY_CUT = /^\/api\/context\/(get|update|delete|versions|diff|rollback)\/[^/]*\/./;

/** Answers any error as `application/problem+json`. */
export function problems(log: Logger): ErrorRequestHandler {
  return (thrown: unknown, req, res, next) => {
    const error = asAppError(thrown, req);
    const state = stateOf(res);
    // Somebody else has answered: the time was over before the work was.
    if (res.writableEnded) return;
    if (error.status >= 500) {
      log.error({ requestId: state.requestId, call: state.callId, err: thrown }, error.code);
    }
    if (res.headersSent) {
      next(thrown);
      return;
    }
    if (error.code === 'UNAVAILABLE') res.setHeader('Retry-After', RETRY_SECONDS);
    // What it still sends belongs to no request any more.
    if (error.code === 'REQUEST_TIMEOUT') res.setHeader('Connection', 'close');
    const retryAfterMs = error.code === 'RATE_LIMITED' ? retryAfterMsOf(error) : null;
    if (retryAfterMs !== null) res.setHeader('Retry-After', Math.ceil(retryAfterMs / 1_000));
    const problem = problemOf(error, state.requestId, state.problemStatus);
    res
      .status(problem.status)
      .type('application/problem+json')
      .send(Buffer.from(JSON.stringify(problem)));
  };
}

/** The problem document of an error. */
export function problemOf(error: AppError, requestId: string, status: number | null): Problem {
  const [, title, advice] = ERROR_CODES[error.code];
  return {
    ...error.extra,
    type: `/api/context/docs#${error.code}`,
    title,
    status: status ?? error.status,
    code: error.code,
    detail: error.code === 'INTERNAL' ? advice : error.message,
    requestId,
    ...(error.errors.length > 0 ? { errors: error.errors } : {}),
  };
}

function asAppError(thrown: unknown, req: Request): AppError {
  if (thrown instanceof AppError) return thrown;
  // The router throws this for `%ff` and the like in a path.
  if (thrown instanceof URIError || isBadRequest(thrown)) {
    const code = req.path.startsWith('/api/context/') ? 'INVALID_KEY' : 'VALIDATION';
    return new AppError(code, 'The path is not valid percent-encoded UTF-8.', { cause: thrown });
  }
  return new AppError('INTERNAL', messageOf(thrown), { cause: thrown });
}

function isBadRequest(thrown: unknown): boolean {
  return (
    thrown instanceof Error && 'status' in thrown && thrown.status === 400 && !('type' in thrown)
  );
}

/** Sends JSON that is bytes already. */
export function sendBytes(res: Response, status: number, bytes: Buffer): void {
  res.statusCode = status;
  res.setHeader('Content-Type', JSON_TYPE);
  res.setHeader('Content-Length', bytes.length);
  res.end(bytes);
}

/** Sends a JSON answer that was serialised before, under the type its headers name, if any. */
export function sendJson(res: Response, status: number, text: string): void {
  res.statusCode = status;
  if (!res.hasHeader('Content-Type')) res.setHeader('Content-Type', JSON_TYPE);
  // Who has it already gets no body again; that is rare, and Express knows how.
  if (isConditional(res.req)) {
    res.send(Buffer.from(text));
    return;
  }
  res.setHeader('Content-Length', Buffer.byteLength(text));
  // A text goes out in one piece with the headers, a buffer in a piece of its own.
  res.end(text);
}

const JSON_TYPE = 'application/json; charset=utf-8';

function isConditional({ headers }: Request): boolean {
  return headers['if-none-match'] !== undefined || headers['if-modified-since'] !== undefined;
}
