import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../../domain/clock.ts';
import { createSearchStore } from '../../../store/search/search-store.ts';
import type { SearchStatistics } from '../../../store/search/term-statistics.ts';
import { CALLER } from '../../support/engine.ts';
import { asKey, openStore, type StoreUnderTest } from './store-under-test.ts';

/** More than a search ranks. */
const COUNT = 1_010;

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore();
  const store = (sessionId: string, from: number, count: number) =>
    under.store.contexts.batch(CALLER, {
      atomic: true,
      operations: Array.from({ length: count }, (_, at) => ({
        op: 'store' as const,
        key: asKey(`${sessionId}/${from + at}`),
        data: {
          text: `a common word ${'of a walrus '.repeat((from + at) % 1_000 === 9 ? at : 0)}`,
        },
        options: { ttl: null, sessionId },
      })),
    });
  await store('long', 0, 500);
  await store('long', 500, COUNT - 500);
  await store('short', 0, 40);
});
afterAll(() => under.close());

/** Searches with statistics that say which part of 10,000 contexts a session has. */
function searchWith(share: number) {
  const statistics: SearchStatistics = {
    contexts: 10_000,
    meanWords: 5,
    rarest: 0.5,
    shareOfTerm: new Map(),
    shareOfFacet: new Map([
      ['s:long', share],
      ['s:short', share],
    ]),
  };
  const { search } = createSearchStore({
    database: under.database,
    clock: systemClock,
    statistics: { of: async () => statistics },
    helpIndex: async () => undefined,
  });
  return async (query: string, sessionId: string) => {
    const asked = { query, mode: 'text', sessionId, limit: 3, offset: 0 } as const;
    const { results, total } = await search(CALLER, asked);
    return { total, found: results.map(({ key, score }) => ({ key, score })) };
  };
}

it('finds what is beyond the first thousand of a filter that was thought to leave few', async () => {
  const { found, total } = await searchWith(0.001)('walrus', 'long');
  expect(found.map(({ key }) => key).sort()).toEqual(['long/1009', 'long/9']);
  expect(total).toBe(2);
});

it('finds and ranks the same whether it begins with the filter or with the words', async () => {
  const [byFilter, byWords] = [searchWith(0.01), searchWith(0.09)];
  for (const query of ['walrus', 'common walrus', 'common']) {
    const found = await byFilter(query, 'short');
    expect(found).toEqual(await byWords(query, 'short'));
    expect(found.total).toBe(query === 'walrus' ? 1 : 40);
  }
});
