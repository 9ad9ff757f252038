/**
 * `Idempotency-Key`: the first answer to a key is kept for a day and given again to whoever sends
 * the same request; another request under the same key is refused. Kept are 2xx and 409; after any
 * other answer the key is free again. A twin of a request under way waits for its answer.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Request, Response } from 'express';
import type { Caller, RememberedAnswer, RequestSlot } from '../../domain/context.ts';
import { AppError } from '../../domain/errors.ts';
import { hashText } from '../../domain/hash.ts';
import { canonicalJson, type Json } from '../../domain/json.ts';
import type { Idempotency } from '../../store/contract.ts';
import type { Call } from '../call.ts';
import { jsonText } from '../json/json-text.ts';
import { stateOf, stoppingOf } from '../request-state.ts';
import type { Answer } from '../routes/route.ts';
import { callerOf } from './authenticate.ts';
import { problemOf } from './problems.ts';

const MAX_KEY_CHARS = 255;
/** Longest wait of a twin, ms (contract 06). */
const MAX_WAIT_MS = 10_000;
const FIRST_PAUSE_MS = 20;
const MAX_PAUSE_MS = 250;
const PROBLEM_TYPE = 'application/problem+json';
const METHODS: ReadonlySet<string> = new Set(['post', 'put', 'delete']);

/** Whether a call takes the header. */
export function takesIdempotencyKey({
  method,
  scope,
  streams,
}: Pick<Call, 'method' | 'scope' | 'streams'>): boolean {
  // A stream is not kept, so nothing could tell it from another.
  return METHODS.has(method) && scope !== null && !streams?.body;
}

/** An answer as text: what is sent, and what is kept. */
function rememberedOf({ status, headers = {}, body, bytes }: Answer): SentAnswer {
  const text = body === undefined ? '' : jsonText(body);
  return { status, headers, body: text, ...(bytes ? { bytes } : {}) };
}

/** Bytes are never remembered: calls that answer them change nothing. */
interface SentAnswer extends RememberedAnswer {
  readonly bytes?: Buffer;
}

/**
 * The caller for a write that answers this: with an `Idempotency-Key` the answer is kept in the
 * write's own transaction.
 */
export function answering<Result>(
  { caller, res }: { readonly caller: Caller; readonly res: Response },
  answerOf: (result: Result) => Answer,
): Caller {
  const { request } = caller;
  if (!request) return caller;
  const keep = (result: unknown): RememberedAnswer => {
    stateOf(res).isAnswerKept = true;
    // The store calls it with what it is about to give its caller.
    return rememberedOf(answerOf(result as Result));
  };
  return { ...caller, request: { ...request, answerOf: keep } };
}

/** Answers a request once per key. `answer` does the work; it may throw. */
export async function onlyOnce(
  { idempotency, call }: { readonly idempotency: Idempotency; readonly call: Call },
  { req, res }: { readonly req: Request; readonly res: Response },
  answer: () => Promise<Answer>,
): Promise<SentAnswer> {
  refuseWithStream(call, req);
  const key = takesIdempotencyKey(call) ? req.get('idempotency-key') : undefined;
  if (key === undefined) return rememberedOf(await answer());
  checkKey(key);
  const caller = callerOf(res);
  const { slot, earlier } = await takeSlot(idempotency, { req, res, caller, key });
  if (earlier) {
    res.setHeader('Idempotency-Replayed', 'true');
    return earlier;
  }
  stateOf(res).caller = { ...caller, request: slot };
  try {
    const given = await answer();
    const kept = rememberedOf('kept' in given ? { ...given, body: given.kept } : given);
    if (!stateOf(res).isAnswerKept) await settle(idempotency, { caller, slot, given: kept });
    return rememberedOf(given);
  } catch (error) {
    await settle(idempotency, { caller, slot, given: conflictAnswer(res, error) });
    throw error;
  }
}

/** @throws AppError VALIDATION: a promise that is not kept must not be taken in silence */
function refuseWithStream({ streams }: Call, req: Request): void {
  if (!streams?.body || req.get('idempotency-key') === undefined) return;
  throw new AppError(
    'VALIDATION',
    'This call takes no `Idempotency-Key`: its body is a stream and is not kept. It may be sent again as it is.',
  );
}

function checkKey(key: string): void {
  if (key.length >= 1 && key.length <= MAX_KEY_CHARS) return;
  throw new AppError(
    'VALIDATION',
    `\`Idempotency-Key\` must have 1 to ${MAX_KEY_CHARS} characters.`,
  );
}

interface Wanted {
  readonly req: Request;
  readonly res: Response;
  readonly caller: Caller;
  readonly key: string;
}

type Taken =
  | { readonly slot: RequestSlot; readonly earlier: null }
  | { readonly slot: null; readonly earlier: RememberedAnswer };

/** @throws AppError IDEMPOTENCY_MISMATCH, IDEMPOTENCY_IN_PROGRESS */
async function takeSlot(
  idempotency: Idempotency,
  { req, res, caller, key }: Wanted,
): Promise<Taken> {
  const [path = '', query = ''] = req.originalUrl.split('?', 2);
  const slot = hashText(`${req.method} ${path}\n${key}`);
  const body = req.body === undefined ? '' : canonicalJson(req.body as Json);
  const fingerprint = hashText(`${query}\n${conditionsOf(req)}\n${body}`);
  let pauseMs = FIRST_PAUSE_MS;
  for (let waitedMs = 0; ; waitedMs += pauseMs, pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)) {
    const claim = await idempotency.claim(caller.tenant, { slot, fingerprint });
    if (claim.status === 'first') return { slot: claim.slot, earlier: null };
    if (claim.status === 'answered') return { slot: null, earlier: claim.answer };
    if (claim.status === 'mismatch') throw mismatch();
    const isOver = waitedMs >= MAX_WAIT_MS || stoppingOf(res.app).signal.aborted || res.closed;
    if (isOver) throw inProgress();
    await delay(pauseMs);
  }
}

function conditionsOf(req: Request): string {
  const noneMatch = req.get('if-none-match');
  return `${req.get('if-match') ?? ''}${noneMatch === undefined ? '' : ` not ${noneMatch}`}`;
}

const mismatch = (): AppError =>
  new AppError('IDEMPOTENCY_MISMATCH', 'This `Idempotency-Key` was used for another request.');

const inProgress = (): AppError =>
  new AppError('IDEMPOTENCY_IN_PROGRESS', 'The first request with this key has not ended yet.', {
    retryable: true,
  });

/** Keeps an answer worth keeping, else frees the key. */
async function settle(
  idempotency: Idempotency,
  of: {
    readonly caller: Caller;
    readonly slot: RequestSlot;
    readonly given: RememberedAnswer | null;
  },
): Promise<void> {
  const { caller, slot, given } = of;
  const work = given
    ? idempotency.remember(caller.tenant, slot, given)
    : idempotency.release(caller.tenant, slot);
  // The work is done and its answer stands; a slot nobody freed is free when its lease ends.
  await work.catch(() => undefined);
}

/** What a thrown 409 will have been answered; null for an error that is not remembered. */
function conflictAnswer(res: Response, error: unknown): RememberedAnswer | null {
  const { problemStatus, requestId } = stateOf(res);
  if (!(error instanceof AppError) || (problemStatus ?? error.status) !== 409) return null;
  if (error.code === 'IDEMPOTENCY_IN_PROGRESS') return null;
  const problem = problemOf(error, requestId, problemStatus);
  const headers = { 'Content-Type': PROBLEM_TYPE };
  return { status: 409, headers, body: JSON.stringify(problem) };
}
