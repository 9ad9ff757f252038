/**
 * Where a search goes on. A cursor carries the statistics its first page was ranked by, so that every
 * page is ranked alike: a context nobody touches comes exactly once, whatever else is written.
 */
import { AppError } from '../../domain/errors.ts';
import { hashJson } from '../../domain/hash.ts';
import type { Json } from '../../domain/json.ts';
import type { SearchStatistics } from './term-statistics.ts';

/** The last hit of a page: its score, or (an empty query) its time in ms; and its key. */
export interface Place {
  readonly value: number;
  readonly key: string;
}

export interface SearchCursor {
  readonly place: Place;
  /** Null where nothing was ranked. */
  readonly statistics: SearchStatistics | null;
}

/** What of a search must be the same on each page. */
export interface SearchIdentity {
  readonly query: string;
  readonly terms: readonly string[];
  readonly facets: readonly string[];
  readonly prefix: string;
}

/** @returns text that {@link unpackSearchCursor} takes back for the same search */
export function packSearchCursor(
  search: SearchIdentity,
  { place, statistics }: SearchCursor,
): string {
  const numbers = statistics && [
    statistics.contexts,
    statistics.meanWords,
    statistics.rarest,
    ...search.terms.map((term) => statistics.shareOfTerm.get(term) ?? null),
    ...search.facets.map((facet) => statistics.shareOfFacet.get(facet) ?? null),
  ];
  const packed = [fingerprintOf(search), place.value, place.key, numbers];
  return Buffer.from(JSON.stringify(packed)).toString('base64url');
}

/** @throws AppError INVALID_CURSOR when it is not one, or of another search */
export function unpackSearchCursor(search: SearchIdentity, cursor: string): SearchCursor {
  const values = parse(cursor);
  const [fingerprint, value, key, numbers, ...rest] = values;
  const isPlace = Number.isFinite(value) && typeof key === 'string' && !key.includes('\0');
  if (fingerprint !== fingerprintOf(search) || !isPlace || rest.length > 0) throw invalid();
  const place = { value: value as number, key };
  if (numbers === null) return { place, statistics: null };
  return { place, statistics: statisticsOf(search, numbers) };
}

function statisticsOf(
  { terms, facets }: SearchIdentity,
  numbers: Json | undefined,
): SearchStatistics {
  const isCount = (value: Json): boolean =>
    typeof value === 'number' && Number.isFinite(value) && value >= 0;
  if (!Array.isArray(numbers) || numbers.length !== 3 + terms.length + facets.length)
    throw invalid();
  if (!numbers.every((value, at) => isCount(value) || (value === null && at > 2))) throw invalid();
  const [contexts, meanWords, rarest, ...shares] = numbers as [
    number,
    number,
    number,
    ...(number | null)[],
  ];
  const named = (names: readonly string[], from: number): Map<string, number> =>
    new Map(
      names.flatMap((name, nth) => {
        const share = shares[from + nth];
        return typeof share === 'number' ? [[name, Math.min(1, share)] as const] : [];
      }),
    );
  return {
    contexts,
    meanWords: Math.max(1, meanWords),
    rarest: Math.min(1, rarest),
    shareOfTerm: named(terms, 0),
    shareOfFacet: named(facets, terms.length),
  };
}

function parse(cursor: string): Json[] {
  try {
    const values = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as Json;
    if (Array.isArray(values)) return values;
  } catch {
    // Falls through: whatever is wrong with it, it is not a cursor of ours.
  }
  throw invalid();
}

function fingerprintOf({ query, facets, prefix }: SearchIdentity): string {
  return hashJson([query, [...facets], prefix]).slice(0, 16);
}

function invalid(): AppError {
  return new AppError('INVALID_CURSOR', 'this is not a cursor of this search');
}
