/** Waiting for exactly one write of the hub to arrive on the other side of a link. */
import type { Clock } from '../../domain/clock.ts';
import type { ContextKey } from '../../domain/ids.ts';
import type { LinkStore, WaitStore, WriteOutcome } from '../../store/contract.ts';
import { SYNC_CALLS } from '../contract.ts';
import { longPoll } from '../long-poll.ts';
import type { ApiDeps } from '../ports.ts';
import { route, type Route } from './route.ts';

export interface WaitDeps {
  readonly links: LinkStore;
  readonly waits: WaitStore;
  readonly clock: Clock;
  readonly waitForSettling: ApiDeps['waitForSettling'];
}

/** `POST /wait`. */
export function waitRoutes(deps: WaitDeps): readonly Route[] {
  const { links, waits, clock, waitForSettling } = deps;
  return [
    route(SYNC_CALLS.waitForWrite, async ({ body, caller, res }) => {
      const untilMs = clock.now() + body.timeoutMs;
      const link = await links.get(caller, body.linkId);
      const write = { linkId: link.id, key: body.key as ContextKey, version: body.version };
      let last: WriteOutcome = await waits.outcomeOf(caller, write);
      if (last.outcome === 'pending') {
        await longPoll({
          clock,
          res,
          tenant: caller.tenant,
          untilMs,
          wait: waitForSettling,
          look: async () => {
            last = await waits.outcomeOf(caller, write);
            return last.outcome === 'pending' ? null : last;
          },
        });
      }
      return { status: 200, body: answerOf(last) };
    }),
  ];
}

function answerOf(outcome: WriteOutcome): object {
  if (outcome.outcome !== 'pending') return outcome;
  return outcome.detail === null
    ? { outcome: 'timeout' }
    : { outcome: 'timeout', detail: outcome.detail };
}
