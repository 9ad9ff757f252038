/** `GET /analytics`. */
import type { ContextCache } from '../../cache/contract.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { AnalyticsStore } from '../../store/contract.ts';
import { CONTEXT_CALLS } from '../contract.ts';
import { route, type Route } from './route.ts';

export function analyticsRoutes(analytics: AnalyticsStore, cache?: ContextCache): readonly Route[] {
  return [
    route(CONTEXT_CALLS.analytics, async ({ query, caller }) => ({
      status: 200,
      body: { ...(await analytics.analyze(caller, query)), cache: numbersOf(cache, caller.tenant) },
    })),
  ];
}

/** Of the whole tenant: the cache knows no sessions and no agents. */
function numbersOf(cache: ContextCache | undefined, tenant: TenantId) {
  const { hits, misses } = cache?.stats(tenant) ?? { hits: 0, misses: 0 };
  const hitRatio = hits + misses === 0 ? 0 : hits / (hits + misses);
  return { enabled: cache !== undefined, hits, misses, hitRatio };
}
