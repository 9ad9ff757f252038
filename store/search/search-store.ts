/**
 * Full-text search of one tenant's contexts. What was written is found at once, but for what a large
 * sync has just written: of that, the answer tells how much is missing. What is deleted or over is
 * never found. An empty query lists the newest first.
 */
import type { Clock } from '../../domain/clock.ts';
import type { Caller, ContextEnvelope } from '../../domain/context.ts';
import { AppError } from '../../domain/errors.ts';
import type { ContextKey, TenantId } from '../../domain/ids.ts';
import { selectContexts } from '../context-reads.ts';
import { envelopeOf, isLive } from '../context-rows.ts';
import { asLast, type Database, type OpenTransaction, type Transaction } from '../database.ts';
import type { Statement } from '../send-together.ts';
import type { ContextRow } from '../write-versions.ts';
import { MAX_HELPED, type HelpIndex } from './help-index.ts';
import { highlightsOf } from './highlights.ts';
import { COUNT_PENDING } from './note-pending.ts';
import { MAX_RANKED, planSearch, termsOf, type SearchPlan } from './plan-search.ts';
import { COUNT_ALL, COUNT_FOUND, LIST_FOUND, LIST_NEWEST, rankStatement } from './rank.ts';
import {
  packSearchCursor,
  unpackSearchCursor,
  type Place,
  type SearchCursor,
  type SearchIdentity,
} from './search-cursor.ts';
import { quote, wantedFacets } from './search-row.ts';
import type { SearchStatistics, TermStatistics } from './term-statistics.ts';

/**
 * How contexts are compared with a query: by their words, by their meaning, or both. Nothing has
 * vectors yet: `hybrid` ranks by words alone, and `semantic` is refused.
 */
export type SearchMode = 'text' | 'semantic' | 'hybrid';

export interface SearchQuery {
  readonly query: string;
  readonly mode: SearchMode;
  readonly sessionId?: string | undefined;
  readonly agentId?: string | undefined;
  /** Contexts that have all of them. */
  readonly tags?: readonly string[] | undefined;
  readonly prefix?: string | undefined;
  readonly kind?: string | undefined;
  readonly limit: number;
  readonly offset: number;
  readonly cursor?: string | undefined;
}

export interface SearchHit extends ContextEnvelope {
  /** What hits are ordered by; comparable within one search only. */
  readonly score: number;
  /** Null: did not count. */
  readonly scores: { readonly text: number | null; readonly vector: number | null };
  /** HTML-escaped, words in `<mark>`; null when the words are in no text that may be shown. */
  readonly highlight: string | null;
}

export interface SearchAnswer {
  readonly results: readonly SearchHit[];
  readonly total: number;
  /** Whether there are no more than `total`; at most 1,000 are ranked or counted. */
  readonly totalIsExact: boolean;
  readonly took: number;
  readonly nextCursor: string | null;
  /** Contexts a large sync has just written that are not found yet; missing: none. */
  readonly pending?: number;
}

export interface SearchStore {
  /** @throws AppError INVALID_CURSOR, SEARCH_MODE_UNAVAILABLE */
  search(caller: Caller, query: SearchQuery): Promise<SearchAnswer>;
}

export interface SearchStoreDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly statistics: TermStatistics;
  readonly helpIndex: HelpIndex;
}

/** Times a search helps: the one it waits for may have begun before what it lacks was written. */
const HELPS = 2;

export function createSearchStore({
  database,
  clock,
  statistics,
  helpIndex,
}: SearchStoreDeps): SearchStore {
  /** Null: it may miss some contexts, few enough to be indexed first. Never a replica. */
  function look(search: Search, known: SearchStatistics | null, mayMiss: boolean) {
    return database.withTenant(search.tenant, async (tx): Promise<(Found & Shown) | null> => {
      const { asked, pendingOf } = askingPending(tx);
      const found =
        search.query === ''
          ? await listNewest(asked, search)
          : await rank(asked, search, search.after?.statistics ?? known);
      const pending = await pendingOf();
      if (!mayMiss && pending > 0 && pending <= MAX_HELPED) return null;
      return { ...found, pending, results: await hitsOf(tx, search, found) };
    });
  }

  return {
    async search(caller, query) {
      const beganMs = clock.now();
      requireMode(query.mode);
      const search = searchOf(caller, query, new Date(beganMs));
      for (let helped = 0; ; helped += 1) {
        const isRanked = search.query !== '' && !search.after;
        const known = isRanked ? await statistics.of(caller.tenant) : null;
        const page = await look(search, known, helped === HELPS);
        if (page === null) await helpIndex(caller.tenant);
        else return answerOf(page, Math.max(0, clock.now() - beganMs));
      }
    },
  };
}

/** Asks what search does not know yet right before the first statement, in the same message. */
function askingPending(tx: OpenTransaction) {
  const sql = COUNT_PENDING;
  let counted: number | null = null;
  const ask = async (more: readonly Statement[]): Promise<unknown[]> => {
    const [[count], rows = []] = (await tx.queryAll([{ sql }, ...more])) as [
      [{ pending: number }],
      unknown[]?,
    ];
    counted = count.pending;
    return rows;
  };
  const asked: Transaction = {
    query: async <Row extends object>(sql: string, values?: readonly unknown[]) =>
      counted === null ? ((await ask([{ sql, values }])) as Row[]) : tx.query<Row>(sql, values),
  };
  const pendingOf = async (): Promise<number> => {
    if (counted === null) await ask([]);
    return counted ?? 0;
  };
  return { asked, pendingOf };
}

interface Shown {
  readonly results: readonly SearchHit[];
  readonly pending: number;
}

function answerOf(
  { results, total, totalIsExact, nextCursor, pending }: Found & Shown,
  took: number,
): SearchAnswer {
  const answer = { results, total, totalIsExact, took, nextCursor };
  return pending === 0 ? answer : { ...answer, pending };
}

function requireMode(mode: SearchMode): void {
  if (mode !== 'semantic') return;
  throw new AppError(
    'SEARCH_MODE_UNAVAILABLE',
    'there are no vectors yet; search by text or hybrid',
  );
}

interface Search extends SearchIdentity {
  readonly tenant: TenantId;
  readonly at: Date;
  readonly limit: number;
  readonly offset: number;
  readonly after: SearchCursor | null;
}

function searchOf(caller: Caller, given: SearchQuery, at: Date): Search {
  const { limit, offset, cursor, prefix = '' } = given;
  const query = given.query.trim();
  const identity = {
    query,
    terms: termsOf(query),
    facets: wantedFacets(caller.tenant, given),
    prefix,
  };
  const after = cursor === undefined ? null : unpackSearchCursor(identity, cursor);
  return { ...identity, tenant: caller.tenant, at, limit, offset, after };
}

interface Found {
  readonly places: readonly Place[];
  readonly total: number;
  readonly totalIsExact: boolean;
  readonly nextCursor: string | null;
}

const NOTHING: Found = { places: [], total: 0, totalIsExact: true, nextCursor: null };

interface RankedRow {
  readonly total: number;
  readonly looked: number;
  readonly hits: readonly { readonly key: string; readonly score: number }[];
}

async function rank(
  tx: Transaction,
  search: Search,
  known: SearchStatistics | null,
): Promise<Found> {
  const { query, facets, prefix, at, limit, offset, after } = search;
  if (search.terms.length === 0) return NOTHING;
  if (known === null) throw new AppError('INVALID_CURSOR', 'this is not a cursor of this search');
  const plan = planSearch(query, facets, known);
  const values = [
    plan.wanted,
    facets,
    prefix,
    at,
    known.meanWords,
    after?.place.value ?? null,
    after?.place.key ?? null,
    limit + 1,
    offset,
    ...plan.terms.flatMap(({ term, weight }) => [quote(term), weight]),
  ];
  const ask = async (from: SearchPlan['from']): Promise<RankedRow> =>
    (await tx.query<RankedRow>(rankStatement(plan.terms.length, from), values))[0]!;
  const first = await ask(plan.from);
  // More pass the filter than the statistics knew, and not all of them were tried.
  const isCut = plan.from === 'facets' && first.looked > MAX_RANKED;
  const row = isCut ? await ask('index') : first;
  const places = row.hits.map(({ key, score }) => ({ value: score, key }));
  const total = Math.min(row.total, MAX_RANKED);
  const isExact = plan.isWhole && row.total <= MAX_RANKED;
  return pageOf(search, places, { total, totalIsExact: isExact, statistics: known });
}

/** Few contexts with the facets are sorted; of many the newest are soon found. */
async function listNewest(tx: Transaction, search: Search): Promise<Found> {
  const { facets, prefix, at, limit, offset, after } = search;
  if (after?.statistics)
    throw new AppError('INVALID_CURSOR', 'this is not a cursor of this search');
  const isFiltered = facets.length > 1 || prefix !== '';
  const [counted] = isFiltered
    ? await tx.query<{ total: number }>(COUNT_FOUND, [facets, prefix, at])
    : await tx.query<{ total: number }>(COUNT_ALL, [at]);
  const total = counted!.total;
  const place = after ? [new Date(after.place.value), after.place.key] : [null, null];
  const rows = await tx.query<{ key: string; updated_at: Date }>(
    total > MAX_RANKED || !isFiltered ? LIST_NEWEST : LIST_FOUND,
    [facets, prefix, at, ...place, limit + 1, offset],
  );
  const places = rows.map((row) => ({ value: row.updated_at.getTime(), key: row.key }));
  return pageOf(search, places, {
    total: Math.min(total, MAX_RANKED),
    totalIsExact: total <= MAX_RANKED,
    statistics: null,
  });
}

function pageOf(
  search: Search,
  places: readonly Place[],
  facts: Pick<Found, 'total' | 'totalIsExact'> & { readonly statistics: SearchStatistics | null },
): Found {
  const { statistics, ...totals } = facts;
  const kept = places.slice(0, search.limit);
  const place = kept.at(-1);
  const hasMore = places.length > search.limit && place !== undefined;
  const nextCursor = hasMore ? packSearchCursor(search, { place, statistics }) : null;
  return { places: kept, ...totals, nextCursor };
}

/** The contexts themselves. What the index knows and the table does not (any more) is left out. */
async function hitsOf(tx: OpenTransaction, search: Search, found: Found): Promise<SearchHit[]> {
  const keys = found.places.map(({ key }) => key as ContextKey);
  const rows = await selectContexts(tx, keys);
  const live = keys.flatMap((key) => {
    const row = rows.get(key);
    return row && isLive(row, search.at) ? [row] : [];
  });
  const highlights = await highlightsOf(asLast(tx), live, search.terms);
  const isRanked = search.query !== '';
  const scores = new Map(found.places.map(({ key, value }) => [key, isRanked ? value : 0]));
  return live.map((row) =>
    hitOf(row, scores.get(row.key) ?? 0, highlights.get(row.key) ?? null, isRanked),
  );
}

function hitOf(
  row: ContextRow,
  score: number,
  highlight: string | null,
  isRanked: boolean,
): SearchHit {
  const scores = { text: isRanked ? score : null, vector: null };
  return { ...envelopeOf(row), score, scores, highlight };
}
