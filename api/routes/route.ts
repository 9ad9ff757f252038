/** Binds a call of the contract to the code that answers it, and mounts such routes. */
import type { Application, Request, RequestHandler, Response } from 'express';
import type { z } from 'zod';
import type { Caller } from '../../domain/context.ts';
import { AppError } from '../../domain/errors.ts';
import type { Idempotency } from '../../store/contract.ts';
import type { Call } from '../call.ts';
import { callerOf, requireScope } from '../middleware/authenticate.ts';
import { onlyOnce } from '../middleware/idempotency.ts';
import { jsonBody } from '../middleware/json-body.ts';
import { sendBytes, sendJson } from '../middleware/problems.ts';
import { parseQuery } from '../query.ts';
import { stateOf } from '../request-state.ts';
import { validate } from '../validate.ts';

export interface Answer {
  readonly status: number;
  /** Undefined: no body. */
  readonly body?: unknown;
  /** The body as JSON in UTF-8 already; instead of `body`, and only of calls that change nothing. */
  readonly bytes?: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** What is kept of the body for a request sent again, where the body holds a secret. */
  readonly kept?: unknown;
}

/** A request whose parts are what the call's schemas make them. */
export interface CallRequest<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  readonly params: z.output<P>;
  readonly query: z.output<Q>;
  readonly body: z.output<B>;
  /** @throws AppError UNAUTHENTICATED for calls that need no key */
  readonly caller: Caller;
  readonly req: Request;
  readonly res: Response;
}

export interface Route {
  readonly call: Call;
  readonly answer: (req: Request, res: Response) => Promise<Answer>;
}

/** A route whose handler sees validated parts only. */
export function route<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  call: Call<P, Q, B>,
  handle: (request: CallRequest<P, Q, B>) => Promise<Answer> | Answer,
): Route {
  const answer = async (req: Request, res: Response): Promise<Answer> => {
    const params = validate(call.params, { ...req.params }, 'path');
    const query = validate(call.query, parseQuery(req.originalUrl), 'query');
    const body = validate(call.body, bodyOf(req, call), 'body');
    return handle({
      params,
      query,
      body,
      get caller() {
        return callerOf(res);
      },
      req,
      res,
    });
  };
  return { call: call, answer };
}

function bodyOf(req: Request, call: Call): unknown {
  const body: unknown = call.bodyIs === 'none' ? undefined : req.body;
  if (body !== undefined || call.bodyIs === 'required') return body;
  return {};
}

/** Mounts routes; another method on the same path answers 405 with `Allow`. */
export function mountRoutes(
  app: Application,
  routes: readonly Route[],
  {
    maxContextBytes,
    idempotency,
  }: { readonly maxContextBytes: number; readonly idempotency: Idempotency },
): void {
  for (const [path, group] of groupByPath(routes)) {
    const mounted = app.route(path.replace(/\{(\w+)\}/g, ':$1'));
    for (const each of group) {
      mounted[each.call.method](
        nameCall(each.call),
        requireScope(each.call.scope, each.call.orScope),
        jsonBody(each.call, maxContextBytes),
        sendAnswer(each, idempotency),
      );
    }
    mounted.all(otherMethods(group));
  }
}

function groupByPath(routes: readonly Route[]): Map<string, Route[]> {
  const groups = new Map<string, Route[]>();
  for (const each of routes) {
    groups.set(each.call.path, [...(groups.get(each.call.path) ?? []), each]);
  }
  return groups;
}

function nameCall({ id }: Call): RequestHandler {
  return (_req, res, next) => {
    stateOf(res).callId = id;
    next();
  };
}

function sendAnswer({ call, answer }: Route, idempotency: Idempotency): RequestHandler {
  return async (req, res) => {
    const work = (): Promise<Answer> => answer(req, res);
    const { status, body, bytes, headers } = await onlyOnce(
      { idempotency, call },
      { req, res },
      work,
    );
    // The time was over before the work was: the caller has its answer.
    if (res.headersSent) return;
    for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
    res.setHeader('Cache-Control', 'no-cache');
    if (bytes) sendBytes(res, status, bytes);
    else if (body === '') res.status(status).end();
    else sendJson(res, status, body);
  };
}

function otherMethods(group: readonly Route[]): RequestHandler {
  const methods = new Set(group.map((each) => each.call.method.toUpperCase()));
  if (methods.has('GET')) methods.add('HEAD');
  const allow = [...methods, 'OPTIONS'].join(', ');
  return (req, res) => {
    res.setHeader('Allow', allow);
    if (req.method === 'OPTIONS') {
      res.status(204).end();
      return;
    }
    throw new AppError('METHOD_NOT_ALLOWED', `${req.method} is not allowed here; ${allow} are.`);
  };
}
