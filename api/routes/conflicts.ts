/** Conflicts: list, show, resolve, one or many. */
import type { ConflictId, ContextKey } from '../../domain/ids.ts';
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
    // Mounted before `{id}`, which would take `resolve` for one.
    route(SYNC_CALLS.resolveConflicts, async ({ body, caller }) => {
      const { linkId: idOrName, filter, preview, by, ...rest } = body;
      const link = await links.get(caller, idOrName);
      const query = {
        ...rest,
        by: by ?? caller.actor,
        filter: { ...filter, key: filter.key as ContextKey | undefined },
      };
      const result = preview
        ? await conflicts.previewMany(caller, link.id, query)
        : await conflicts.resolveMany(caller, link.id, query);
      return { status: 200, body: { preview, ...result } };
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
        ifRevision: body.ifRevision,
      }),
    })),
  ];
}

const asConflictId = (id: string): ConflictId => id as ConflictId;
