/**
 * The statements of a search. Contexts are ranked by BM25 (Robertson and Zaragoza, 2009) with weights
 * for where a word stands: `ts_rank_cd` of a single word is the sum of the weights of its places, that
 * is, how often it comes up.
 */
import { MAX_RANKED, type SearchPlan } from './plan-search.ts';

/** What a word counts by its place: D a member's name, C text, B a tag, A the key; at most 1. */
const PLACES = `'{0.15, 0.5, 1, 1}'`;
/** A word in the text counts a half, so Postgres' bound of 1 lets tags and keys count twice as much. */
const TEXT = 0.5;
/** BM25's usual constants: how soon a repeated word stops counting, how much long texts are marked down. */
const K1 = 1.2;
const B = 0.75;

/** Contexts of the newest that are looked through where too many have the words. */
const NEWEST = 5_000;
const NEWEST_RANKED = 500;

const FROM_INDEX = `
SELECT key, words FROM search_candidates($1::tsquery, $2::text[], $3, $4, ${MAX_RANKED + 1})`;

// Where a filter leaves few, reading those costs less than finding common words in the whole index.
const FROM_FACETS = `
SELECT key, words FROM search_candidates(NULL, $2::text[], $3, $4, ${MAX_RANKED + 1})`;

const FROM_NEWEST = `
SELECT key, words FROM (
  SELECT key, words, facets FROM context_search
  WHERE tenant_id = current_setting('app.tenant') AND starts_with(key, $3)
    AND (expires_at IS NULL OR expires_at > $4)
  ORDER BY updated_at DESC, key DESC LIMIT ${NEWEST}) newest
WHERE words @@ $1::tsquery AND facets @> $2::text[] LIMIT ${NEWEST_RANKED}`;

const FROM: Readonly<Record<SearchPlan['from'], string>> = {
  index: FROM_INDEX,
  facets: FROM_FACETS,
  newest: FROM_NEWEST,
};

/**
 * One page of a ranking: total, how many contexts were looked at for it, and keys with scores.
 * Parameters: 1 tsquery, 2 facets, 3 prefix, 4 now, 5 mean words, 6 and 7 score and key to go on
 * after (or null), 8 limit, 9 offset, then each term (as tsquery) and its weight.
 */
export function rankStatement(terms: number, from: SearchPlan['from']): string {
  const score = Array.from({ length: terms }, (_, nth) => {
    const [term, weight] = [10 + 2 * nth, 11 + 2 * nth];
    return `$${weight}::float8 * (1 - k / (ts_rank_cd(${PLACES}, words, $${term}::tsquery) + k))`;
  }).join(' + ');
  return `
WITH candidates AS MATERIALIZED (${FROM[from]}), scored AS MATERIALIZED (
  SELECT key, ${K1 + 1} * (${score}) AS score
  FROM (SELECT key, words, ${TEXT * K1} * (${1 - B} + ${B} * length(words) / $5::float8) AS k FROM candidates
    WHERE words @@ $1::tsquery OFFSET 0) c
), page AS (
  SELECT key, score FROM scored
  WHERE $6::float8 IS NULL OR score < $6 OR (score = $6 AND key COLLATE "C" > $7)
  ORDER BY score DESC, key COLLATE "C" LIMIT $8 OFFSET $9
)
SELECT (SELECT count(*)::int FROM scored) AS total, (SELECT count(*)::int FROM candidates) AS looked,
  (SELECT coalesce(json_agg(page ORDER BY score DESC, key COLLATE "C"), '[]') FROM page) AS hits`;
}

/** Newest first. Parameters: 1 facets, 2 prefix, 3 now, 4 and 5 time and key to go on after, 6 limit, 7 offset. */
const LISTED = `(expires_at IS NULL OR expires_at > $3)
    AND ($4::timestamptz IS NULL OR (updated_at, key COLLATE "C") < ($4, $5))
  ORDER BY updated_at DESC, key COLLATE "C" DESC LIMIT $6 OFFSET $7`;

export const LIST_NEWEST = `
SELECT key, updated_at FROM context_search
WHERE tenant_id = current_setting('app.tenant') AND starts_with(key, $2) AND facets @> $1::text[] AND ${LISTED}`;

/** The same among the few contexts that have the facets. */
export const LIST_FOUND = `
SELECT key, updated_at FROM (
  SELECT key, updated_at, NULL::timestamptz AS expires_at
  FROM search_candidates(NULL, $1::text[], $2, $3, ${MAX_RANKED + 1}) OFFSET 0) found
WHERE ${LISTED}`;

/** How many contexts there are, up to a bound. Parameter: 1 now. */
export const COUNT_ALL = `
SELECT count(*)::int AS total FROM (SELECT 1 FROM context_search
  WHERE tenant_id = current_setting('app.tenant') AND (expires_at IS NULL OR expires_at > $1)
  LIMIT ${MAX_RANKED + 1}) counted`;

/** How many contexts pass a filter, up to a bound. Parameters: 1 facets, 2 prefix, 3 now. */
export const COUNT_FOUND = `
SELECT count(*)::int AS total FROM search_candidates(NULL, $1::text[], $2, $3, ${MAX_RANKED + 1})`;
