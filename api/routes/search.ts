/** Search. */
import type { SearchStore } from '../../store/contract.ts';
import { SEARCH_CALLS } from '../contract.ts';
import { route, type Route } from './route.ts';

/** The search call over a store. */
export function searchRoutes(search: SearchStore): readonly Route[] {
  return [
    route(SEARCH_CALLS.searchContexts, async ({ body, caller }) => ({
      status: 200,
      body: await search.search(caller, { query: body.query, ...body.options }),
    })),
  ];
}
