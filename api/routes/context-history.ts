/** The history of a context: versions, diff, rollback. */
import type { ContextEnvelope } from '../../domain/context.ts';
import type { ContextKey } from '../../domain/ids.ts';
import type { ContextStore } from '../../store/contract.ts';
import { CONTEXT_CALLS } from '../contract.ts';
import { answering } from '../middleware/idempotency.ts';
import { conditionally, etagOf } from '../preconditions.ts';
import { route, type Answer, type Route } from './route.ts';

export function historyRoutes(contexts: ContextStore): readonly Route[] {
  return [
    route(CONTEXT_CALLS.listVersions, async ({ params, query, caller }) => ({
      status: 200,
      body: await contexts.versions(caller, { key: params.key as ContextKey, ...query }),
    })),
    route(CONTEXT_CALLS.diffContext, async ({ params, query, caller }) => ({
      status: 200,
      body: await contexts.diff(caller, { key: params.key as ContextKey, ...query }),
    })),
    rollbackContext(contexts),
  ];
}

function rollbackContext(contexts: ContextStore): Route {
  return route(CONTEXT_CALLS.rollbackContext, async ({ params, body, caller, req, res }) => {
    const key = params.key as ContextKey;
    const { version, changedBy, ifVersion } = body;
    const writer = changedBy === undefined ? caller : { ...caller, actor: changedBy };
    const answerOf = (envelope: ContextEnvelope): Answer => ({
      status: 200,
      body: envelope,
      headers: { ETag: etagOf(envelope.version) },
    });
    const written = await conditionally({
      req,
      res,
      ifVersion,
      currentVersion: async () => (await contexts.get(caller, key))?.version ?? 0,
      write: (expected) =>
        contexts.rollback(answering({ caller: writer, res }, answerOf), {
          key,
          version,
          ifVersion: expected,
        }),
    });
    return answerOf(written);
  });
}
