/** Contexts: store, get, update, delete, list; the rest is in files of its own. */
import type { Request, Response } from 'express';
import type { ContextCache } from '../../cache/contract.ts';
import type { Caller, ContextEnvelope } from '../../domain/context.ts';
import type { ContextKey } from '../../domain/ids.ts';
import type { ContextStore } from '../../store/contract.ts';
import { CONTEXT_CALLS } from '../contract.ts';
import { answering } from '../middleware/idempotency.ts';
import { conditionally, etagOf } from '../preconditions.ts';
import { batchRoutes } from './context-batch.ts';
import { historyRoutes } from './context-history.ts';
import { getContext } from './get-context.ts';
import { route, type Answer, type Route } from './route.ts';

/** The context calls over a store. Without a cache every read asks the store. */
export function contextRoutes(contexts: ContextStore, cache?: ContextCache): readonly Route[] {
  return [
    storeContext(contexts),
    getContext({ contexts, cache }),
    updateContext(contexts),
    deleteContext(contexts),
    route(CONTEXT_CALLS.listContexts, async ({ query, caller }) => ({
      status: 200,
      body: await contexts.list(caller, query),
    })),
    ...historyRoutes(contexts),
    ...batchRoutes(contexts),
  ];
}

function storeContext(contexts: ContextStore): Route {
  return route(CONTEXT_CALLS.storeContext, async ({ body, caller, req, res }) => {
    const key = asKey(body.key);
    const { ifVersion, ...options } = body.options ?? {};
    const location = `/api/context/get/${encodeURIComponent(key)}`;
    const answerOf = ({ created, envelope }: Stored): Answer =>
      written(envelope, created ? 201 : 200, created ? { Location: location } : {});
    const stored = await conditionally({
      ...requestFacts(contexts, { caller, key, req, res, ifVersion }),
      write: (expected) =>
        contexts.store(answering({ caller, res }, answerOf), {
          key,
          data: body.data,
          options: { ...options, ifVersion: expected },
        }),
    });
    return answerOf(stored);
  });
}

function updateContext(contexts: ContextStore): Route {
  return route(CONTEXT_CALLS.updateContext, async ({ params, body, caller, req, res }) => {
    const key = asKey(params.key);
    const { changeType = 'replace', changedBy, ifVersion, ...options } = body.options ?? {};
    const writer = changedBy === undefined ? caller : { ...caller, actor: changedBy };
    const answerOf = (envelope: ContextEnvelope): Answer => written(envelope, 200);
    const updated = await conditionally({
      ...requestFacts(contexts, { caller, key, req, res, ifVersion }),
      write: (expected) =>
        contexts.update(answering({ caller: writer, res }, answerOf), {
          key,
          data: body.data,
          changeType,
          options: { ...options, ifVersion: expected },
        }),
    });
    return answerOf(updated);
  });
}

function deleteContext(contexts: ContextStore): Route {
  return route(CONTEXT_CALLS.deleteContext, async ({ params, query, caller, req, res }) => {
    const key = asKey(params.key);
    const answerOf = ({ version }: { version: number }): Answer => ({
      status: 200,
      body: { key, version, deleted: true },
    });
    const deleted = await conditionally({
      ...requestFacts(contexts, { caller, key, req, res, ifVersion: query.ifVersion }),
      write: (ifVersion) =>
        contexts.delete(answering({ caller, res }, answerOf), { key, ifVersion }),
    });
    return answerOf(deleted);
  });
}

type Stored = Awaited<ReturnType<ContextStore['store']>>;

interface WriteFacts {
  readonly caller: Caller;
  readonly key: ContextKey;
  readonly req: Request;
  readonly res: Response;
  readonly ifVersion: number | undefined;
}

function requestFacts(contexts: ContextStore, facts: WriteFacts) {
  const { caller, key, req, res, ifVersion } = facts;
  return {
    req,
    res,
    ifVersion,
    currentVersion: async (): Promise<number> => (await contexts.get(caller, key))?.version ?? 0,
  };
}

function written(
  envelope: ContextEnvelope,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return { status, body: envelope, headers: { ETag: etagOf(envelope.version), ...headers } };
}

// The schema has proved the key's rules.
const asKey = (key: string): ContextKey => key as ContextKey;
