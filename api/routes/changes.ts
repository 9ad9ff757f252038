/** The change feed, with long polls that end on a change, a deadline, a gone caller or a stop. */
import type { Response } from 'express';
import type { Clock } from '../../domain/clock.ts';
import type { Caller } from '../../domain/context.ts';
import type { ContextStore } from '../../store/contract.ts';
import { CONTEXT_CALLS } from '../contract.ts';
import type { ApiDeps } from '../ports.ts';
import { stoppingOf } from '../request-state.ts';
import { route, type Route } from './route.ts';

/** A wake-up may get lost, so a waiting call also looks by itself this often. */
const LOOK_AGAIN_MS = 1000;

export interface ChangeDeps {
  readonly contexts: ContextStore;
  readonly clock: Clock;
  readonly waitForChange: ApiDeps['waitForChange'];
}

type Changes = Awaited<ReturnType<ContextStore['changes']>>;

/** `GET /changes`. */
export function changeRoutes(deps: ChangeDeps): readonly Route[] {
  return [
    route(CONTEXT_CALLS.listChanges, async ({ query, caller, res }) => {
      const since = query.since ?? null;
      const first = await deps.contexts.changes(caller, { since, limit: query.limit });
      const isDone = first.changes.length > 0 || (query.wait ?? 0) === 0;
      const body = isDone
        ? first
        : await longPoll(deps, {
            caller,
            res,
            cursor: first.cursor,
            limit: query.limit,
            untilMs: deps.clock.now() + (query.wait ?? 0) * 1000,
          });
      return { status: 200, body };
    }),
  ];
}

interface Poll {
  readonly caller: Caller;
  readonly res: Response;
  readonly cursor: string;
  readonly limit: number;
  readonly untilMs: number;
}

async function longPoll(deps: ChangeDeps, poll: Poll): Promise<Changes> {
  const ended = new AbortController();
  const stopping = stoppingOf(poll.res.app).signal;
  const end = (): void => ended.abort();
  stopping.addEventListener('abort', end);
  poll.res.once('close', end);
  if (stopping.aborted) end();
  try {
    return await waitForChanges(deps, poll, ended.signal);
  } finally {
    stopping.removeEventListener('abort', end);
    poll.res.off('close', end);
  }
}

async function waitForChanges(deps: ChangeDeps, poll: Poll, signal: AbortSignal): Promise<Changes> {
  for (;;) {
    const leftMs = poll.untilMs - deps.clock.now();
    if (leftMs <= 0 || signal.aborted) return { changes: [], cursor: poll.cursor };
    await deps.waitForChange(poll.caller.tenant, Math.min(leftMs, LOOK_AGAIN_MS), signal);
    const { cursor, limit } = poll;
    const page = await deps.contexts.changes(poll.caller, { since: cursor, limit });
    if (page.changes.length > 0) return page;
  }
}
