/** The change feed, with long polls that end on a change, a deadline, a gone caller or a stop. */
import type { Clock } from '../../domain/clock.ts';
import type { ContextStore } from '../../store/contract.ts';
import { CONTEXT_CALLS } from '../contract.ts';
import type { ApiDeps } from '../ports.ts';
import { longPoll } from '../long-poll.ts';
import { route, type Route } from './route.ts';

export interface ChangeDeps {
  readonly contexts: ContextStore;
  readonly clock: Clock;
  readonly waitForChange: ApiDeps['waitForChange'];
}

/** `GET /changes`. */
export function changeRoutes(deps: ChangeDeps): readonly Route[] {
  const { contexts, clock, waitForChange } = deps;
  return [
    route(CONTEXT_CALLS.listChanges, async ({ query, caller, res }) => {
      const since = query.since ?? null;
      const { limit, wait = 0 } = query;
      const first = await contexts.changes(caller, { since, limit });
      if (first.changes.length > 0 || wait === 0) return { status: 200, body: first };
      const found = await longPoll({
        clock,
        res,
        tenant: caller.tenant,
        untilMs: clock.now() + wait * 1000,
        wait: waitForChange,
        look: async () => {
          const page = await contexts.changes(caller, { since: first.cursor, limit });
          return page.changes.length > 0 ? page : null;
        },
      });
      return { status: 200, body: found ?? { changes: [], cursor: first.cursor } };
    }),
  ];
}
