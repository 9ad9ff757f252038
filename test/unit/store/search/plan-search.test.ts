import { describe, expect, it } from 'vitest';
import { planSearch } from '../../../../store/search/plan-search.ts';
import type { SearchStatistics } from '../../../../store/search/term-statistics.ts';

/** A store in which the terms come up in these shares of the contexts. */
function storeWith(contexts: number, shares: Record<string, number> = {}): SearchStatistics {
  const facets = new Map([
    ['t:default', 1],
    ['p:small/', 0.001],
  ]);
  return {
    contexts,
    meanWords: 50,
    rarest: 1 / 4_000,
    shareOfTerm: new Map(Object.entries(shares)),
    shareOfFacet: facets,
  };
}

const ALL = ['t:default'];

describe('a plan', () => {
  it('ranks whatever has a word, as long as that is not much', () => {
    const plan = planSearch('red green', ALL, storeWith(400, { red: 0.5, green: 0.5 }));
    expect(plan).toMatchObject({ wanted: "'green' | 'red'", from: 'index', isWhole: true });
  });

  it('in a large store asks for a common word only together with another', () => {
    const shares = { common: 0.2, usual: 0.02, rare: 0.000_1 };
    const plan = planSearch('common usual rare', ALL, storeWith(100_000, shares));
    expect(plan).toMatchObject({ from: 'index', isWhole: false });
    const patterns = plan.wanted!.split(' | ');
    expect(patterns).toContain("('rare')");
    expect(patterns).not.toContain("('common')");
    expect(patterns).not.toContain("('usual')");
  });

  it('asks for any of the words where a filter leaves few contexts, however large the store', () => {
    const shares = { common: 0.2, usual: 0.02 };
    const plan = planSearch('common usual', [...ALL, 'p:small/'], storeWith(100_000, shares));
    expect(plan).toMatchObject({ wanted: "'usual' | 'common'", isWhole: true });
  });

  it('reads what passes a filter where that is less than what has the words, and only there', () => {
    const facets = [...ALL, 'p:small/'];
    const fromOf = (shares: Record<string, number>, contexts = 100_000): string =>
      planSearch(Object.keys(shares).join(' '), facets, storeWith(contexts, shares)).from;
    expect(fromOf({ common: 0.2, usual: 0.02 })).toBe('facets');
    expect(fromOf({ rare: 0.000_1 })).toBe('index');
    expect(fromOf({ common: 0.2, usual: 0.02 }, 1_000_000)).toBe('index');
  });

  it('looks among the newest for a word that nearly everything has', () => {
    const plan = planSearch('common', ALL, storeWith(100_000, { common: 0.6 }));
    expect(plan).toMatchObject({ from: 'newest', isWhole: false });
  });

  it('gives a rare word more weight than a common one, and none less than nothing', () => {
    const { terms } = planSearch('common rare', ALL, storeWith(1_000, { common: 1, rare: 0.01 }));
    expect(terms.map(({ term }) => term)).toEqual(['rare', 'common']);
    expect(terms[0]!.weight).toBeGreaterThan(terms[1]!.weight);
    expect(terms[1]!.weight).toBeGreaterThanOrEqual(0);
  });

  it('of a query without words asks for nothing', () => {
    expect(planSearch('what is it?', ALL, storeWith(10)).wanted).toBeNull();
  });

  it('of a text as a query is bounded', () => {
    const text = Array.from({ length: 2_000 }, (_, nth) => `word${nth}`).join(' ');
    const plan = planSearch(text, ALL, storeWith(1_000_000));
    expect(plan.terms.length).toBeLessThanOrEqual(16);
    expect(plan.wanted!.length).toBeLessThan(20_000);
  });
});
