/**
 * The few calls of another Syncline's REST API that a link needs, with its problems told in our
 * words. Refuses to follow redirects: the allow-list has judged this address and no other.
 */
import { z } from 'zod';
import { AppError, messageOf } from '../../domain/errors.ts';
import type { Json } from '../../domain/json.ts';

export interface HubAddress {
  /** Base URL, without a slash at the end. */
  readonly url: string;
  /** In clear; null while keys are off there. Never logged. */
  readonly apiKey: string | null;
  /** Longest wait for an answer, ms; a long poll adds its own. */
  readonly timeoutMs: number;
}

const contextSchema = z.object({ key: z.string(), version: z.int(), kind: z.string() });
const rowSchema = contextSchema.extend({ updatedAt: z.string() });
export type HubRow = z.infer<typeof rowSchema>;
/** A context as the other hub has it. */
export interface HubContext extends HubRow {
  readonly data: Json;
}

const listSchema = z.object({ items: z.array(rowSchema), nextCursor: z.string().nullable() });
const changeSchema = z.object({
  key: z.string(),
  version: z.int(),
  deleted: z.literal(true).optional(),
  reason: z.string().optional(),
});
export type HubChange = z.infer<typeof changeSchema>;
const changesSchema = z.object({ changes: z.array(changeSchema), cursor: z.string() });
export type HubChanges = z.infer<typeof changesSchema>;
const getSchema = rowSchema.extend({ data: z.unknown() });
const writtenSchema = z.object({ version: z.int() });

/** A write the other hub refused: nothing was written. */
export interface Refusal {
  readonly status: 'refused';
  /** Its own error code. */
  readonly code: string;
  readonly detail: string;
}
export type Written = { readonly status: 'written'; readonly version: number } | Refusal;

export interface WriteRequest {
  readonly method: 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body: object | null;
  readonly idempotencyKey: string;
}

/** Every call: @throws AppError CONNECTOR_UNREACHABLE, RATE_LIMITED (extra.retryAfterMs) */
export interface HubApi {
  health(signal?: AbortSignal): Promise<void>;
  list(
    query: { prefix: string; limit: number; cursor: string | null },
    signal?: AbortSignal,
  ): Promise<z.infer<typeof listSchema>>;
  /** Null: there is none. */
  get(key: string, signal?: AbortSignal): Promise<HubContext | null>;
  /** `expired`: the cursor is older than what is kept, or not one of this server's. */
  changes(
    query: { since: string; limit: number; waitS?: number },
    signal?: AbortSignal,
  ): Promise<HubChanges | 'expired'>;
  write(request: WriteRequest, signal?: AbortSignal): Promise<Written>;
}

const DEFAULT_RETRY_MS = 1_000;
/** Answers after which the same request may be sent again. */
const IS_PASSING = new Set([408, 425, 500, 502, 503, 504]);

/** The API at an address. Nothing is sent before the first call. */
export function createHubApi(address: HubAddress): HubApi {
  const call = (request: Sent, signal?: AbortSignal): Promise<Answer> =>
    send(address, request, signal);

  async function read<T>(schema: z.ZodType<T>, path: string, signal?: AbortSignal): Promise<T> {
    return parsed(address, schema, okBody(address, await call({ method: 'GET', path }, signal)));
  }

  return {
    async health(signal) {
      // The first call that needs the key, so that a wrong one is noticed here.
      await read(changesSchema, '/api/context/changes?since=now&limit=1', signal);
    },
    list({ prefix, limit, cursor }, signal) {
      const query = new URLSearchParams({ limit: String(limit) });
      if (prefix !== '') query.set('prefix', prefix);
      if (cursor !== null) query.set('cursor', cursor);
      return read(listSchema, `/api/context/list?${query.toString()}`, signal);
    },
    async get(key, signal) {
      const path = `/api/context/get/${encodeURIComponent(key)}`;
      const answer = await call({ method: 'GET', path }, signal);
      if (answer.status === 404 && codeOf(answer) === 'CONTEXT_NOT_FOUND') return null;
      const context = parsed(address, getSchema, okBody(address, answer));
      return { ...context, data: context.data as Json };
    },
    async changes({ since, limit, waitS = 0 }, signal) {
      const query = new URLSearchParams({ since, limit: String(limit) });
      if (waitS > 0) query.set('wait', String(waitS));
      const path = `/api/context/changes?${query.toString()}`;
      const answer = await call({ method: 'GET', path, extraMs: waitS * 1000 }, signal);
      const code = answer.status >= 400 ? codeOf(answer) : null;
      if (code === 'CURSOR_EXPIRED' || code === 'INVALID_CURSOR') return 'expired';
      return parsed(address, changesSchema, okBody(address, answer));
    },
    async write({ idempotencyKey, body, method, path }, signal) {
      const headers = { 'idempotency-key': idempotencyKey };
      const answer = await call({ method, path, body, headers }, signal);
      const code = answer.status >= 400 ? codeOf(answer) : null;
      if (code === 'IDEMPOTENCY_IN_PROGRESS') {
        throw new AppError('CONNECTOR_UNREACHABLE', `${address.url} still does the same write.`, {
          retryable: true,
        });
      }
      const isRefused = code !== null && answer.status < 500 && !ABOUT_THE_CALLER.has(code);
      if (isRefused) return { status: 'refused', code, detail: detailOf(answer) };
      const { version } = parsed(address, writtenSchema, okBody(address, answer));
      return { status: 'written', version };
    },
  };
}

/** Refusals that say something about the link, not about one item. */
const ABOUT_THE_CALLER = new Set([
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'ORIGIN_REFUSED',
  'RATE_LIMITED',
  'NOT_FOUND',
  'METHOD_NOT_ALLOWED',
]);

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly body?: object | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly extraMs?: number;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

async function send(address: HubAddress, sent: Sent, signal?: AbortSignal): Promise<Answer> {
  const { url, apiKey, timeoutMs } = address;
  const deadline = AbortSignal.timeout(timeoutMs + (sent.extraMs ?? 0));
  const response = await fetch(url + sent.path, {
    method: sent.method,
    headers: {
      accept: 'application/json',
      ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
      ...(sent.body ? { 'content-type': 'application/json' } : {}),
      ...sent.headers,
    },
    ...(sent.body ? { body: exactText(sent.body) } : {}),
    redirect: 'manual',
    signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
  }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw unreachable(address, reasonOf(error), error);
  });
  const text = await response.text().catch((error: unknown) => {
    throw unreachable(address, `the answer broke off (${reasonOf(error)})`, error);
  });
  if (response.status === 429) throw rateLimited(address, response.headers.get('retry-after'));
  return { status: response.status, body: jsonOf(address, text) };
}

// `JSON.stringify` turns -0 into 0, which is another value.
function exactText(value: unknown): string {
  if (Object.is(value, -0)) return '-0';
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(exactText).join(',')}]`;
  const members = Object.entries(value).map(
    ([name, member]) => `${JSON.stringify(name)}:${exactText(member)}`,
  );
  return `{${members.join(',')}}`;
}

function jsonOf(address: HubAddress, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw unreachable(address, 'the answer is not JSON', error);
  }
}

/** The body of a good answer. @throws AppError CONNECTOR_UNREACHABLE for any other */
function okBody(address: HubAddress, { status, body }: Answer): unknown {
  if (status >= 200 && status < 300) return body;
  const said = `it answered ${status} ${codeOf({ status, body }) ?? ''}: ${detailOf({ status, body })}`;
  throw new AppError('CONNECTOR_UNREACHABLE', `The hub at ${address.url} refuses: ${said}`, {
    retryable: IS_PASSING.has(status),
  });
}

function parsed<T>(address: HubAddress, schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  throw unreachable(address, 'what answers there is no Syncline', result.error);
}

const problemSchema = z.object({ code: z.string(), detail: z.string() });

function codeOf({ body }: Answer): string | null {
  return problemSchema.safeParse(body).data?.code ?? null;
}

function detailOf({ body }: Answer): string {
  return problemSchema.safeParse(body).data?.detail ?? 'no reason given';
}

function rateLimited(address: HubAddress, retryAfter: string | null): AppError {
  const seconds = Number(retryAfter ?? Number.NaN);
  const retryAfterMs = Number.isFinite(seconds) ? seconds * 1000 : DEFAULT_RETRY_MS;
  return new AppError('RATE_LIMITED', `The hub at ${address.url} asks to wait.`, {
    retryable: true,
    extra: { retryAfterMs },
  });
}

function unreachable(address: HubAddress, why: string, cause: unknown): AppError {
  return new AppError(
    'CONNECTOR_UNREACHABLE',
    `The hub at ${address.url} cannot be reached: ${why}.`,
    { retryable: true, cause },
  );
}

function reasonOf(error: unknown): string {
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error && 'code' in cause) return String(cause.code);
  return messageOf(error);
}
