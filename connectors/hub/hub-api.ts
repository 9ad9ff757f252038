/**
 * The few calls of another Syncline's REST API that a link needs, with its problems told in our
 * words. Refuses to follow redirects: the allow-list has judged this address and no other.
 */
import { z } from 'zod';
import { systemClock } from '../../domain/clock.ts';
import { AppError, messageOf } from '../../domain/errors.ts';
import type { Json } from '../../domain/json.ts';
import { retryAfterFrom } from '../rate-limit.ts';

export interface HubAddress {
  /** Base URL, without a slash at the end. */
  readonly url: string;
  /** In clear; null while keys are off there. Never logged. */
  readonly apiKey: string | null;
  /** Longest wait for an answer, ms; a long poll adds its own. */
  readonly timeoutMs: number;
}

const contextSchema = z.object({ key: z.string(), version: z.int(), kind: z.string() });
const rowSchema = contextSchema.extend({
  updatedAt: z.string(),
  // Hubs from before encryption do not say.
  encrypted: z.boolean().default(false),
});
export type HubRow = z.infer<typeof rowSchema>;
/** A context as the other hub has it. */
export interface HubContext extends HubRow {
  readonly data: Json;
  /** Size of its data as compact JSON. */
  readonly size: number;
}
/** A context that is there, and that the other hub itself cannot open. */
export interface HubFault {
  readonly fault: string;
}

const listSchema = z.object({ items: z.array(rowSchema), nextCursor: z.string().nullable() });
const changeSchema = z.object({
  key: z.string(),
  version: z.int(),
  deleted: z.literal(true).optional(),
  reason: z.string().optional(),
  cursor: z.string(),
});
export type HubChange = z.infer<typeof changeSchema>;
const changesSchema = z.object({
  changes: z.array(changeSchema),
  cursor: z.string(),
  // Of the head alone, and not from hubs of before.
  hubId: z.string().optional(),
});
export type HubChanges = z.infer<typeof changesSchema>;
const getSchema = rowSchema.extend({ data: z.unknown(), size: z.int() });
const batchSchema = z.object({
  results: z.array(z.looseObject({ status: z.int(), code: z.string().optional() })),
});
const versionsSchema = z.object({
  items: z.array(z.object({ changeType: z.string(), reason: z.string().nullish() })),
});
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
  /** The head of its feed. */
  health(signal?: AbortSignal): Promise<HubChanges>;
  list(
    query: { prefix: string; limit: number; cursor: string | null },
    signal?: AbortSignal,
  ): Promise<z.infer<typeof listSchema>>;
  /**
   * The contexts of at most {@link MAX_GETS} keys, in order; null: there is none. Where they are too
   * much for one answer, only the first so many, but at least one. One that cannot be opened there
   * is no reason to go without the others.
   */
  getMany(keys: readonly string[], signal?: AbortSignal): Promise<(HubContext | HubFault | null)[]>;
  /** How a key's newest version deleted it; null: it did not, or there is no history of the key. */
  deletion(key: string, signal?: AbortSignal): Promise<{ reason: string | null } | null>;
  /** `expired`: the cursor is older than what is kept, or not one of this server's. */
  changes(
    query: { since: string; limit: number; waitS?: number },
    signal?: AbortSignal,
  ): Promise<HubChanges | 'expired'>;
  write(request: WriteRequest, signal?: AbortSignal): Promise<Written>;
}

/** Longest answer that is read; a context has at most a few tens of MiB. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Longest answer that is read where it tells of an error. */
const MAX_PROBLEM_BYTES = 64 * 1024;
/** Of what another hub says, this much goes into our errors and histories, in characters. */
const MAX_DETAIL = 500;
const NO_SYNCLINE = 'what answers there is no Syncline';
/** Contexts asked for at once. */
export const MAX_GETS = 100;
/** Said of one context: its body is sealed, and that hub has no key for it. */
const UNOPENED = new Set(['ENCRYPTION_NOT_CONFIGURED', 'DECRYPTION_FAILED']);
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
    // The first call that needs the key, so that a wrong one is noticed here.
    health: (signal) => read(changesSchema, '/api/context/changes?since=now&limit=1', signal),
    list({ prefix, limit, cursor }, signal) {
      const query = new URLSearchParams({ limit: String(limit) });
      if (prefix !== '') query.set('prefix', prefix);
      if (cursor !== null) query.set('cursor', cursor);
      return read(listSchema, `/api/context/list?${query.toString()}`, signal);
    },
    async getMany(keys, signal) {
      const body = { operations: keys.map((key) => ({ op: 'get', key })) };
      const answer = await call({ method: 'POST', path: '/api/context/batch', body }, signal);
      const { results } = parsed(address, batchSchema, okBody(address, answer));
      const full = results.findIndex(({ code }) => code === 'BATCH_TOO_LARGE');
      // The first is always answered; whoever asks goes on after what was.
      const isOurs = results.length === keys.length && full !== 0;
      if (!isOurs) throw unreachable(address, NO_SYNCLINE, null);
      return results.slice(0, full < 0 ? keys.length : full).map((result) => {
        if (result.code === 'CONTEXT_NOT_FOUND') return null;
        const one = { status: result.status, body: result };
        if (UNOPENED.has(result.code ?? '')) return { fault: detailOf(one) };
        const body = okBody(address, one);
        const context = parsed(address, getSchema, body);
        return { ...context, data: context.data as Json };
      });
    },
    async deletion(key, signal) {
      const path = `/api/context/versions/${encodeURIComponent(key)}?limit=1`;
      const answer = await call({ method: 'GET', path }, signal);
      if (answer.status === 404 && codeOf(answer) === 'CONTEXT_NOT_FOUND') return null;
      const [newest] = parsed(address, versionsSchema, okBody(address, answer)).items;
      return newest?.changeType === 'delete' ? { reason: newest.reason ?? null } : null;
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
  if (response.status === 429) {
    await response.body?.cancel().catch(() => undefined);
    throw rateLimited(address, response.headers.get('retry-after'));
  }
  const text = await textOf(address, response);
  return { status: response.status, body: jsonOf(address, text) };
}

/** The whole answer, if it is not too long: whoever is at the address must not fill our memory. */
async function textOf(address: HubAddress, response: Response): Promise<string> {
  const limit = response.ok ? MAX_ANSWER_BYTES : MAX_PROBLEM_BYTES;
  const parts: AsyncIterable<Uint8Array> | readonly Uint8Array[] = response.body ?? [];
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    // Leaving the loop ends the connection.
    for await (const chunk of parts) {
      bytes += chunk.byteLength;
      if (bytes > limit) break;
      chunks.push(chunk);
    }
  } catch (error) {
    throw unreachable(address, `the answer broke off (${reasonOf(error)})`, error);
  }
  if (bytes > limit) throw unreachable(address, `the answer is longer than ${limit} bytes`, null);
  return new TextDecoder().decode(Buffer.concat(chunks));
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
function okBody(address: HubAddress, answer: Answer): unknown {
  const { status, body } = answer;
  if (status >= 200 && status < 300) return body;
  const said = `it answered ${status} ${codeOf(answer) ?? ''}: ${detailOf(answer)}`;
  throw new AppError('CONNECTOR_UNREACHABLE', `The hub at ${address.url} refuses: ${said}`, {
    retryable: IS_PASSING.has(status),
  });
}

function parsed<T>(address: HubAddress, schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  throw unreachable(address, NO_SYNCLINE, result.error);
}

const problemSchema = z.object({
  code: z.string().regex(/^[A-Z_]{1,64}$/),
  detail: z.string().transform(tellable),
});

/** What a stranger says, fit for errors and histories: no control characters, and not too long. */
function tellable(text: string): string {
  const whole = [...text.replace(/[\p{Cc}\p{Cs}]+/gu, ' ')];
  return whole.length > MAX_DETAIL ? `${whole.slice(0, MAX_DETAIL - 1).join('')}…` : whole.join('');
}

function codeOf({ body }: Answer): string | null {
  return problemSchema.safeParse(body).data?.code ?? null;
}

function detailOf({ body }: Answer): string {
  return problemSchema.safeParse(body).data?.detail ?? 'no reason given';
}

function rateLimited(address: HubAddress, retryAfter: string | null): AppError {
  const retryAfterMs = retryAfterFrom(retryAfter, systemClock.now());
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
