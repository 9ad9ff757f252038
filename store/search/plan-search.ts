/**
 * From a question to what Postgres is asked. Any context with one of its words may be an answer, but
 * reading all that have a common word takes seconds in a large store. So contexts are told apart by
 * which of the words they have: the patterns worth most come first, as long as the contexts expected
 * to have them are few enough to be ranked (measured: bench/search-quality.ts). Pure.
 */
import type { SearchStatistics } from './term-statistics.ts';
import { quote } from './search-row.ts';
import { wordsOf } from './words.ts';

/** Contexts that may be ranked for one search, as expected before it. */
const EXPECTED = 300;
/** Most contexts ranked for one search, however wrong the expectation was. */
export const MAX_RANKED = 1_000;
/** Entries of the index that may be walked through, as expected before. */
const MAX_WALKED = 10_000;
/** Words of a query that count; of more, the rarest do. */
const MAX_TERMS = 16;
/** Words that patterns are made of; of more, the rarest are. The others count in the score. */
const MAX_PATTERN_TERMS = 8;
/** Different words of a query that are looked at. */
const MAX_QUERY_TERMS = 64;

export interface Term {
  readonly term: string;
  /** Inverse document frequency: what finding it is worth. */
  readonly weight: number;
}

export interface SearchPlan {
  readonly terms: readonly Term[];
  /** `tsquery` text of the contexts to rank; null: the query has no words to search for. */
  readonly wanted: string | null;
  /**
   * `facets`: so few contexts pass the filter that all of them are read, and tried for the words;
   * should they turn out to be many, `index` finds the same. `newest`: too many contexts have the
   * words; only the latest of them are ranked.
   */
  readonly from: 'index' | 'facets' | 'newest';
  /** Whether every context with at least one of the words is ranked. */
  readonly isWhole: boolean;
}

/** The terms of a query, each once, in order. */
export function termsOf(query: string): string[] {
  const words = wordsOf(query, { most: 4 * MAX_QUERY_TERMS, isQuery: true });
  return [...new Set(words.map(({ term }) => term))].slice(0, MAX_QUERY_TERMS);
}

/** Plans a search among the contexts that have all of `facets`. */
export function planSearch(
  query: string,
  facets: readonly string[],
  statistics: SearchStatistics,
): SearchPlan {
  const terms = weigh(termsOf(query), statistics);
  if (terms.length === 0) return { terms, wanted: null, from: 'index', isWhole: true };
  const contexts = statistics.contexts * shareOf(facets, statistics);
  const any = terms.map(({ term }) => quote(term)).join(' | ');
  const expected = contexts * (1 - terms.reduce((none, { share }) => none * (1 - share), 1));
  if (expected <= EXPECTED) {
    const entries = statistics.contexts * terms.reduce((sum, { share }) => sum + share, 0);
    const isFewer = contexts <= EXPECTED && contexts < entries;
    return { terms, wanted: any, from: isFewer ? 'facets' : 'index', isWhole: true };
  }
  const { wanted, expected: few } = bestPatterns(terms, contexts, statistics.contexts);
  if (few > 2 * MAX_RANKED) return { terms, wanted, from: 'newest', isWhole: false };
  return { terms, wanted, from: 'index', isWhole: false };
}

interface WeighedTerm extends Term {
  readonly share: number;
}

/** Rarest first. BM25's weight, which is never below zero. */
function weigh(
  terms: readonly string[],
  { contexts, shareOfTerm, rarest }: SearchStatistics,
): WeighedTerm[] {
  return terms
    .map((term) => {
      const share = shareOfTerm.get(term) ?? rarest / 2;
      const having = share * contexts;
      return { term, share, weight: Math.log(1 + (contexts - having + 0.5) / (having + 0.5)) };
    })
    .sort((a, b) => a.share - b.share || (a.term < b.term ? -1 : 1))
    .slice(0, MAX_TERMS);
}

function shareOf(facets: readonly string[], { shareOfFacet, rarest }: SearchStatistics): number {
  return Math.min(1, ...facets.map((facet) => shareOfFacet.get(facet) ?? rarest / 2));
}

interface Pattern {
  /** Bit n: has the n-th term. */
  readonly has: number;
  readonly worth: number;
  /** Contexts expected to have these of the terms and no others. */
  readonly expected: number;
}

function bestPatterns(
  allTerms: readonly WeighedTerm[],
  contexts: number,
  inAll: number,
): { wanted: string; expected: number } {
  const terms = allTerms.slice(0, MAX_PATTERN_TERMS);
  const rare = walkable(terms, inAll);
  const patterns = patternsOf(terms, contexts).filter(({ has }) => (has & rare) !== 0);
  const chosen: number[] = [];
  let expected = 0;
  for (const pattern of patterns.sort((a, b) => b.worth - a.worth || a.has - b.has)) {
    if (chosen.length > 0 && expected + pattern.expected > EXPECTED) break;
    chosen.push(pattern.has);
    expected += pattern.expected;
  }
  const wanted = minimal(chosen).map((has) =>
    terms
      .filter((_, nth) => has & (1 << nth))
      .map(({ term }) => quote(term))
      .join(' & '),
  );
  return { wanted: wanted.map((each) => `(${each})`).join(' | '), expected };
}

/** The rarest terms, as bits, whose entries are few enough to be walked through; at least one. */
function walkable(terms: readonly WeighedTerm[], contexts: number): number {
  let bits = 1;
  let walked = (terms[0]?.share ?? 0) * contexts;
  for (let nth = 1; nth < terms.length; nth += 1) {
    walked += terms[nth]!.share * contexts;
    if (walked > MAX_WALKED) break;
    bits |= 1 << nth;
  }
  return bits;
}

/** All patterns there are, as if words came independently of each other. */
function patternsOf(terms: readonly WeighedTerm[], contexts: number): Pattern[] {
  return Array.from({ length: 2 ** terms.length - 1 }, (_, nth) => {
    const has = nth + 1;
    let worth = 0;
    let expected = contexts;
    terms.forEach(({ weight, share }, at) => {
      const isIn = (has & (1 << at)) !== 0;
      worth += isIn ? weight : 0;
      expected *= isIn ? share : 1 - share;
    });
    return { has, worth, expected };
  });
}

/** What has a smaller pattern of the list in it is found with that one. */
function minimal(patterns: readonly number[]): number[] {
  return patterns.filter(
    (has) => !patterns.some((other) => other !== has && (other & has) === other),
  );
}
