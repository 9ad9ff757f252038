/** `GET /analytics`. */
import type { AnalyticsStore } from '../../store/contract.ts';
import { CONTEXT_CALLS } from '../contract.ts';
import { route, type Route } from './route.ts';

/** There is no cache yet, and the answer says so. */
const NO_CACHE = { enabled: false, hits: 0, misses: 0, hitRatio: 0 } as const;

export function analyticsRoutes(analytics: AnalyticsStore): readonly Route[] {
  return [
    route(CONTEXT_CALLS.analytics, async ({ query, caller }) => ({
      status: 200,
      body: { ...(await analytics.analyze(caller, query)), cache: NO_CACHE },
    })),
  ];
}
