/** Conflicts: list, show, resolve. */
import type { ConflictId } from '../../domain/ids.ts';
import type { ConflictStore, LinkStore } from '../../store/contract.ts';
import { SYNC_CALLS } from '../contract.ts';
import { route, type Route } from './route.ts';

interface ConflictDeps {
  readonly conflicts: ConflictStore;
  readonly links: LinkStore;
}

/** The conflict calls over a store. */
export function conflictRoutes({ conflicts, links }: ConflictDeps): readonly Route[] {
  return [
    route(SYNC_CALLS.listConflicts, async ({ query, caller }) => {
      const { linkId: idOrName, ...rest } = query;
      const linkId = idOrName === undefined ? undefined : (await links.get(caller, idOrName)).id;
      return { status: 200, body: await conflicts.list(caller, { ...rest, linkId }) };
    }),
    route(SYNC_CALLS.getConflict, async ({ params, caller }) => ({
      status: 200,
      body: await conflicts.get(caller, asConflictId(params.id)),
    })),
    route(SYNC_CALLS.resolveConflict, async ({ params, body, caller }) => ({
      status: 200,
      body: await conflicts.resolve(caller, asConflictId(params.id), {
        choice: body.choice,
        value: body.value,
        by: body.by ?? caller.actor,
      }),
    })),
  ];
}

const asConflictId = (id: string): ConflictId => id as ConflictId;
