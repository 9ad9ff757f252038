/**
 * Sends calls: time-outs, retries, errors with codes. A write whose answer was lost may have
 * happened, so each write carries an `Idempotency-Key`: sent again, it is answered as the first time.
 */
import type { Problem } from '../api/contract.ts';
import { closedError, type Closing } from './closing.ts';
import { jsonText } from './json-text.ts';
import { SyncError } from './sync-error.ts';

export interface TransportOptions {
  readonly url: string;
  readonly apiKey: string | null;
  readonly timeoutMs: number;
  /** How often a call is tried again when it found no answer, or one that says "later". */
  readonly retries: number;
  readonly fetch: typeof fetch;
  /** 0 to 1; spreads retries. */
  readonly random: () => number;
  /** Makes an `Idempotency-Key`. */
  readonly newKey: () => string;
}

export interface CallOptions {
  readonly query?: Readonly<
    Record<string, string | number | boolean | readonly string[] | undefined>
  >;
  readonly body?: unknown;
  /** Whether doing it twice is the same as doing it once; else it gets an `Idempotency-Key`. */
  readonly isRepeatable: boolean;
  /** The server must not keep the answer (it holds a secret): no key, and so never repeated. */
  readonly isSecret?: true;
  /** Added to the time-out, for calls that wait on the server. */
  readonly extraMs?: number;
  /** The store itself must answer, no cache. */
  readonly isFromSource?: boolean;
  /** Answers that are not errors though their status says so. */
  readonly alsoOk?: readonly number[];
}

export interface Transport {
  /** @throws SyncError */
  call<Answer>(method: string, path: string, options: CallOptions): Promise<Answer>;
}

const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 5000;
const RETRIED_STATUS = new Set([429, 502, 503, 504]);
/** Methods of calls that take an `Idempotency-Key`. */
const KEYED: ReadonlySet<string> = new Set(['POST', 'PUT', 'DELETE']);

/** A transport over `fetch`; calls end with the client, and fail once it is closed. */
export function createTransport(options: TransportOptions, closing: Closing): Transport {
  return {
    async call<Answer>(method: string, path: string, call: CallOptions): Promise<Answer> {
      requireNames(path);
      const hasKey = !call.isRepeatable && call.isSecret !== true && KEYED.has(method);
      const key = hasKey ? options.newKey() : null;
      const tries = call.isRepeatable || hasKey ? options.retries + 1 : 1;
      // Once: whoever changes the data meanwhile must not change what is sent again under the key.
      const text = call.body === undefined ? undefined : jsonText(call.body);
      const url = urlOf(options.url, path, call);
      const what = { method, url, call, text, key, closing };
      for (let attempt = 1; ; attempt += 1) {
        const result = await attemptCall(options, what);
        if (!(result instanceof Retryable)) return result as Answer;
        // A server that asks for more patience than the caller has would only be asked too soon.
        const isTooLong = result.afterMs > options.timeoutMs;
        if (attempt >= tries || isTooLong || closing.isClosed()) throw result.error;
        await pause(retryDelayMs(attempt, result.afterMs, options.random), closing);
      }
    },
  };
}

// A URL with such a name means another place: the server would be asked for something else.
function requireNames(path: string): void {
  const names = path.split('/').slice(1);
  if (!names.some((name) => NO_NAMES.has(name))) return;
  const code = path.startsWith('/api/context/') ? 'INVALID_KEY' : 'VALIDATION';
  throw new SyncError('A key or name must not be empty, `.` or `..`.', { code, status: 0 });
}

const NO_NAMES: ReadonlySet<string> = new Set(['', '.', '..']);

interface Attempt {
  readonly method: string;
  readonly url: string;
  readonly call: CallOptions;
  /** The body, the same in every attempt. */
  readonly text: string | undefined;
  /** The `Idempotency-Key`, the same in every attempt. */
  readonly key: string | null;
  readonly closing: Closing;
}

/** A failure after which the same call may do better. */
class Retryable {
  readonly error: SyncError;
  readonly afterMs: number;

  constructor(error: SyncError, afterMs = 0) {
    this.error = error;
    this.afterMs = afterMs;
  }
}

async function attemptCall(options: TransportOptions, attempt: Attempt): Promise<unknown> {
  const { call, closing } = attempt;
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  const stay = closing.onClose(abort);
  const timer = setTimeout(abort, options.timeoutMs + (call.extraMs ?? 0));
  try {
    if (closing.isClosed()) throw closedError();
    const response = await options.fetch(attempt.url, {
      method: attempt.method,
      headers: headersOf(options.apiKey, attempt),
      ...(attempt.text === undefined ? {} : { body: attempt.text }),
      // Makes fetch send `Cache-Control: no-cache`, without a preflight in browsers.
      ...(call.isFromSource === true ? { cache: 'no-store' } : {}),
      signal: controller.signal,
    });
    return await readAnswer(response, await response.text(), call);
  } catch (error) {
    return failure(error, controller.signal.aborted && !closing.isClosed(), options);
  } finally {
    clearTimeout(timer);
    stay();
  }
}

const NO_ANSWER = { code: 'UNREACHABLE', status: 0 } as const;

function failure(error: unknown, isTimeout: boolean, options: TransportOptions): Retryable {
  if (error instanceof SyncError) throw error;
  const { url, timeoutMs } = options;
  const facts = { ...NO_ANSWER, cause: error };
  return new Retryable(
    isTimeout
      ? new SyncError(`${url} did not answer within ${timeoutMs} ms.`, {
          ...facts,
          code: 'TIMEOUT',
        })
      : new SyncError(`${url} cannot be reached (${reasonOf(error)}).`, facts),
  );
}

function reasonOf(error: unknown): string {
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error && 'code' in cause) return String(cause.code);
  return error instanceof Error ? error.message : String(error);
}

async function readAnswer(response: Response, text: string, call: CallOptions): Promise<unknown> {
  if (response.ok || call.alsoOk?.includes(response.status) === true) return parse(text, response);
  const error = errorOf(response, text);
  // The first attempt is still at work: its answer comes.
  const isAtWork = error.code === 'IDEMPOTENCY_IN_PROGRESS';
  if (!RETRIED_STATUS.has(response.status) && !isAtWork) throw error;
  return new Retryable(error, error.retryAfterMs ?? 0);
}

/** `Retry-After` as ms: seconds, or a date. */
function retryAfterMs({ headers }: Response): number | null {
  const text = headers.get('retry-after');
  if (text === null) return null;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}

/** The error an answer tells. */
export function errorOf(response: Response, text: string): SyncError {
  const type = response.headers.get('content-type') ?? '';
  if (!type.startsWith('application/problem+json')) {
    const detail = `The server answered ${response.status} without a problem document.`;
    const facts = { status: response.status, retryAfterMs: retryAfterMs(response) };
    return new SyncError(detail, { code: 'BAD_ANSWER', ...facts });
  }
  const problem = parse(text, response) as Problem;
  const { code, status, errors = [], requestId } = problem;
  const facts = { code, status, errors, requestId, problem };
  return new SyncError(problem.detail, { ...facts, retryAfterMs: retryAfterMs(response) });
}

function parse(text: string, response: Response): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const facts = { code: 'BAD_ANSWER', status: response.status, cause } as const;
    throw new SyncError('The server answered something that is not JSON.', facts);
  }
}

function urlOf(base: string, path: string, call: CallOptions): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(call.query ?? {})) {
    const values = Array.isArray(value) ? (value as readonly string[]) : [value];
    for (const each of values) if (each !== undefined) query.append(name, String(each));
  }
  const text = query.toString();
  return base.replace(/\/+$/, '') + path + (text === '' ? '' : `?${text}`);
}

function headersOf(apiKey: string | null, { text, key }: Attempt): Record<string, string> {
  return {
    accept: 'application/json',
    ...(text === undefined ? {} : { 'content-type': 'application/json' }),
    ...(key === null ? {} : { 'idempotency-key': key }),
    ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
  };
}

/** Doubles with each attempt, half of it by chance; never less than the server asked for. */
function retryDelayMs(attempt: number, afterMs: number, random: () => number): number {
  const fullMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (attempt - 1));
  return Math.max(afterMs, fullMs / 2 + (random() * fullMs) / 2);
}

function pause(ms: number, closing: Closing): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    const stay = closing.onClose(end);
    function end(): void {
      clearTimeout(timer);
      stay();
      resolve();
    }
  });
}
