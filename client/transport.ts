/** Sends calls: time-outs, retries of what may be repeated, errors with codes. */
import type { Problem } from '../api/contract.ts';
import { jsonText } from './json-text.ts';
import { SyncError } from './sync-error.ts';

export interface TransportOptions {
  readonly url: string;
  readonly apiKey: string | null;
  readonly timeoutMs: number;
  /** How often a call that may be repeated is tried again. */
  readonly retries: number;
  readonly fetch: typeof fetch;
  /** 0 to 1; spreads retries. */
  readonly random: () => number;
}

export interface CallOptions {
  readonly query?: Readonly<
    Record<string, string | number | boolean | readonly string[] | undefined>
  >;
  readonly body?: unknown;
  /** Whether doing it twice is the same as doing it once. */
  readonly isRepeatable: boolean;
  /** Added to the time-out, for calls that wait on the server. */
  readonly extraMs?: number;
  /** Answers that are not errors though their status says so. */
  readonly alsoOk?: readonly number[];
}

export interface Transport {
  /** @throws SyncError */
  call<Answer>(method: string, path: string, options: CallOptions): Promise<Answer>;
  /** Ends everything under way; later calls fail. */
  close(): void;
}

const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 5000;
const RETRIED_STATUS = new Set([429, 502, 503, 504]);

/** A transport over `fetch`. */
export function createTransport(options: TransportOptions): Transport {
  const closing = new AbortController();
  return {
    async call<Answer>(method: string, path: string, call: CallOptions): Promise<Answer> {
      const tries = call.isRepeatable ? options.retries + 1 : 1;
      for (let attempt = 1; ; attempt += 1) {
        const result = await attemptCall(options, { method, path, call, closing: closing.signal });
        if (!(result instanceof Retryable)) return result as Answer;
        if (attempt >= tries || closing.signal.aborted) throw result.error;
        await pause(retryDelayMs(attempt, result.afterMs, options.random), closing.signal);
      }
    },
    close: () => closing.abort(),
  };
}

interface Attempt {
  readonly method: string;
  readonly path: string;
  readonly call: CallOptions;
  readonly closing: AbortSignal;
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
  closing.addEventListener('abort', abort);
  const timer = setTimeout(abort, options.timeoutMs + (call.extraMs ?? 0));
  try {
    if (closing.aborted) throw new SyncError('The client is closed.', NO_ANSWER);
    const response = await options.fetch(urlOf(options.url, attempt), {
      method: attempt.method,
      headers: headersOf(options.apiKey, call.body !== undefined),
      ...(call.body === undefined ? {} : { body: jsonText(call.body) }),
      signal: controller.signal,
    });
    return await readAnswer(response, await response.text(), call);
  } catch (error) {
    return failure(error, controller.signal.aborted && !closing.aborted, options);
  } finally {
    clearTimeout(timer);
    closing.removeEventListener('abort', abort);
  }
}

const NO_ANSWER = { code: 'UNREACHABLE', status: 0 } as const;

function failure(error: unknown, isTimeout: boolean, options: TransportOptions): Retryable {
  if (error instanceof SyncError || isBadInput(error)) throw error;
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

// fetch also throws a TypeError for a lost connection, but then with a cause.
function isBadInput(error: unknown): boolean {
  return error instanceof TypeError && error.message.startsWith('JSON cannot hold');
}

function reasonOf(error: unknown): string {
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error && 'code' in cause) return String(cause.code);
  return error instanceof Error ? error.message : String(error);
}

async function readAnswer(response: Response, text: string, call: CallOptions): Promise<unknown> {
  if (response.ok || call.alsoOk?.includes(response.status) === true) return parse(text, response);
  const error = errorOf(response, text);
  if (!RETRIED_STATUS.has(response.status)) throw error;
  const seconds = Number(response.headers.get('retry-after') ?? '0');
  return new Retryable(error, Number.isFinite(seconds) ? seconds * 1000 : 0);
}

function errorOf(response: Response, text: string): SyncError {
  const type = response.headers.get('content-type') ?? '';
  if (!type.startsWith('application/problem+json')) {
    const detail = `The server answered ${response.status} without a problem document.`;
    return new SyncError(detail, { code: 'BAD_ANSWER', status: response.status });
  }
  const problem = parse(text, response) as Problem;
  const { code, status, errors = [], requestId } = problem;
  return new SyncError(problem.detail, { code, status, errors, requestId, problem });
}

function parse(text: string, response: Response): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const facts = { code: 'BAD_ANSWER', status: response.status, cause } as const;
    throw new SyncError('The server answered something that is not JSON.', facts);
  }
}

function urlOf(base: string, { path, call }: Attempt): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(call.query ?? {})) {
    const values = Array.isArray(value) ? (value as readonly string[]) : [value];
    for (const each of values) if (each !== undefined) query.append(name, String(each));
  }
  const text = query.toString();
  return base.replace(/\/+$/, '') + path + (text === '' ? '' : `?${text}`);
}

function headersOf(apiKey: string | null, hasBody: boolean): Record<string, string> {
  return {
    accept: 'application/json',
    ...(hasBody ? { 'content-type': 'application/json' } : {}),
    ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
  };
}

/** Doubles with each attempt, half of it by chance; never less than the server asked for. */
function retryDelayMs(attempt: number, afterMs: number, random: () => number): number {
  const fullMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (attempt - 1));
  return Math.max(Math.min(afterMs, MAX_RETRY_MS), fullMs / 2 + (random() * fullMs) / 2);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    }
  });
}
