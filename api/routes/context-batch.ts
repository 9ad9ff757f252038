/** `POST /batch`: operations are judged one by one, done by the store together, answered in order. */
import type { Response } from 'express';
import type { z } from 'zod';
import type { Caller, Context } from '../../domain/context.ts';
import { AppError, ERROR_CODES } from '../../domain/errors.ts';
import type { ContextKey } from '../../domain/ids.ts';
import { isJsonObject } from '../../domain/json.ts';
import type { BatchOperation, BatchOutcome, ContextStore } from '../../store/contract.ts';
import type { Scope } from '../call.ts';
import { CONTEXT_CALLS } from '../contract.ts';
import { selectFields } from '../fields.ts';
import { checkScope } from '../middleware/authenticate.ts';
import { answering } from '../middleware/idempotency.ts';
import { batchOperationSchema, type batchBodySchema } from '../schemas/batch.ts';
import { contextSchema } from '../schemas/contexts.ts';
import { validate } from '../validate.ts';
import { route, type Answer, type Route } from './route.ts';

type Sent = z.output<typeof batchBodySchema>['operations'][number];
type Valid = Exclude<Sent, { op: 'invalid' }>;

export function batchRoutes(contexts: ContextStore): readonly Route[] {
  return [
    route(CONTEXT_CALLS.batchContexts, async ({ body, caller, res }) => {
      const { atomic = false, operations } = body;
      for (const sent of operations) checkScope(res, scopeOf(sent));
      return answerBatch({ contexts, caller, res }, { atomic, operations: operations.map(judge) });
    }),
  ];
}

function scopeOf(sent: Sent): Scope {
  const named = sent.op === 'invalid' ? sent.given : sent;
  return isJsonObject(named) && named['op'] === 'get' ? 'read' : 'write';
}

/** An operation that may be done, or why it may not. */
type Judged =
  | { readonly sent: Valid; readonly operation: BatchOperation }
  | { readonly sent: unknown; readonly error: AppError };

interface JudgedBatch {
  readonly atomic: boolean;
  readonly operations: readonly Judged[];
}

function judge(sent: Sent): Judged {
  try {
    const valid = sent.op === 'invalid' ? validate(batchOperationSchema, sent.given, 'body') : sent;
    return { sent: valid, operation: operationOf(valid) };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { sent: sent.op === 'invalid' ? sent.given : sent, error };
  }
}

function operationOf(sent: Valid): BatchOperation {
  const key = sent.key as ContextKey;
  switch (sent.op) {
    case 'store':
      return { op: 'store', key, data: sent.data, options: sent.options ?? {} };
    case 'update': {
      const { changeType = 'replace', changedBy, ...options } = sent.options ?? {};
      return { op: 'update', key, data: sent.data, changeType, changedBy, options };
    }
    case 'delete':
      return { op: 'delete', key, ifVersion: ifVersionOf(sent) };
    case 'get':
      // Judged now: what is found later is cut down without fail.
      if (sent.fields !== undefined) selectFields(ANY_CONTEXT, sent.fields);
      return { op: 'get', key, version: sent.version };
  }
}

const ANY_CONTEXT = Object.fromEntries(
  Object.keys(contextSchema.shape).map((name) => [name, null]),
) as unknown as Context;

function ifVersionOf({ ifVersion, options }: Extract<Valid, { op: 'delete' }>): number | undefined {
  const named = new Set([ifVersion, options?.ifVersion].filter((each) => each !== undefined));
  if (named.size <= 1) return [...named][0];
  throw new AppError('VALIDATION', 'two different versions are named', {
    errors: [{ pointer: '/options/ifVersion', detail: 'differs from `ifVersion`' }],
  });
}

interface BatchDeps {
  readonly contexts: ContextStore;
  readonly caller: Caller;
  readonly res: Response;
}

async function answerBatch(
  { contexts, caller, res }: BatchDeps,
  { atomic, operations: judged }: JudgedBatch,
): Promise<Answer> {
  const refused = judged.findIndex((each) => 'error' in each);
  if (atomic && refused >= 0)
    throw atIndex((judged[refused] as { error: AppError }).error, refused);
  const answerOf = (outcomes: readonly BatchOutcome[]): Answer => {
    let next = 0;
    const results = judged.map((each, index) =>
      'error' in each
        ? failureOf(each.sent, atIndex(each.error, index))
        : resultOf(each.sent, outcomes[next++]!, index),
    );
    return { status: 200, body: { results } };
  };
  const operations = judged.flatMap((each) => ('operation' in each ? [each.operation] : []));
  const doing = contexts.batch(answering({ caller, res }, answerOf), { atomic, operations });
  const outcomes = await doing.catch((error: unknown) => {
    const index = error instanceof AppError ? error.extra['failedIndex'] : undefined;
    throw typeof index === 'number' ? atIndex(error as AppError, index) : error;
  });
  return answerOf(outcomes);
}

/** The error with its pointers into the request. */
function atIndex(error: AppError, failedIndex: number): AppError {
  const { code, message, cause, extra } = error;
  const errors = error.errors.map(({ pointer, detail }) => ({
    pointer: `/operations/${failedIndex}${pointer}`,
    detail,
  }));
  const detail = `Operation ${failedIndex}: ${message}`;
  return new AppError(code, detail, { cause, errors, extra: { ...extra, failedIndex } });
}

function resultOf(sent: Valid, outcome: BatchOutcome, index: number): object {
  const head = { op: sent.op, key: sent.key };
  switch (outcome.status) {
    case 'stored':
      return { ...head, status: outcome.created ? 201 : 200, ...outcome.envelope };
    case 'updated':
      return { ...head, status: 200, ...outcome.envelope };
    case 'deleted':
      return { ...head, status: 200, version: outcome.version, deleted: true };
    case 'found': {
      const fields = sent.op === 'get' ? sent.fields : undefined;
      const { context } = outcome;
      return {
        ...head,
        status: 200,
        ...(fields === undefined ? context : selectFields(context, fields)),
      };
    }
    case 'missing':
      return failureOf(sent, outcome.error);
    case 'failed':
      return failureOf(sent, atIndex(outcome.error, index));
  }
}

function failureOf(sent: unknown, { code, message, errors, extra }: AppError): object {
  const given = isJsonObject(sent) ? sent : {};
  const { failedIndex: _failedIndex, ...more } = extra;
  return {
    ...more,
    op: typeof given['op'] === 'string' ? given['op'] : null,
    key: typeof given['key'] === 'string' ? given['key'] : null,
    status: ERROR_CODES[code][0],
    code,
    detail: message,
    ...(errors.length > 0 ? { errors } : {}),
  };
}
