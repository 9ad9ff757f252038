/**
 * How common words are among a tenant's contexts: the weight of a word in a ranking, and what a query
 * would cost. Taken from a sample, kept in memory and taken anew from time to time; a word too rare
 * for the sample counts as rare. Being somewhat old or wrong costs a little order, never a result.
 */
import type { Clock } from '../../domain/clock.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { Database } from '../database.ts';

export interface SearchStatistics {
  /** About how many contexts the tenant has. */
  readonly contexts: number;
  /** Different words a context has on average; at least 1. */
  readonly meanWords: number;
  /** Share of contexts that have a word or facet, 0 to 1. Missing: fewer than {@link rarest}. */
  readonly shareOfTerm: ReadonlyMap<string, number>;
  readonly shareOfFacet: ReadonlyMap<string, number>;
  /** The share one sampled context stands for. */
  readonly rarest: number;
}

export interface TermStatistics {
  of(tenant: TenantId): Promise<SearchStatistics>;
}

/** Contexts in a sample. */
const SAMPLE = 4_000;
/** The index of samples holds one context in so many; a smaller store is read as it is. */
const SAMPLED_ONE_IN = 16;
const MIN_SAMPLED = 400;
const MAX_TERMS = 10_000;
/** Tenants whose statistics are kept. */
const MAX_TENANTS = 100;
/** They are kept a while that grows with the store: a large one changes slowly. */
const KEEP_MS_PER_CONTEXT = 10;
const MIN_KEEP_MS = 1_000;
const MAX_KEEP_MS = 300_000;
/** Below so many contexts they are taken at once; above, searches go on with the old ones meanwhile. */
const SMALL = 1_000;

const figuresOf = (rows: string): string => `
WITH s AS MATERIALIZED (${rows})
SELECT count(*)::int AS contexts, coalesce(avg(length(words)), 1)::float8 AS "meanWords",
  (SELECT coalesce(json_agg(t), '[]') FROM (SELECT w, count(*) AS n FROM s, unnest(tsvector_to_array(words)) AS w
    GROUP BY w ORDER BY n DESC LIMIT ${MAX_TERMS}) t) AS terms,
  (SELECT coalesce(json_agg(t), '[]') FROM (SELECT w, count(*) AS n FROM s, unnest(facets) AS w
    GROUP BY w ORDER BY n DESC LIMIT ${MAX_TERMS}) t) AS facets,
  max(sample) AS highest
FROM s`;

const MINE = `tenant_id = current_setting('app.tenant')`;
const SAMPLED = figuresOf(`
  SELECT words, facets, sample FROM context_search
  WHERE ${MINE} AND sample < -1879048192 ORDER BY sample LIMIT ${SAMPLE}`);
const WHOLE = figuresOf(`
  SELECT words, facets, sample FROM context_search WHERE ${MINE} ORDER BY key LIMIT ${2 * SAMPLE}`);

interface Figures {
  readonly contexts: number;
  readonly meanWords: number;
  readonly terms: readonly { readonly w: string; readonly n: number }[];
  readonly facets: readonly { readonly w: string; readonly n: number }[];
  readonly highest: number | null;
}

interface Kept {
  readonly statistics: SearchStatistics;
  readonly takenAtMs: number;
}

export function createTermStatistics(deps: {
  readonly database: Database;
  readonly clock: Clock;
}): TermStatistics {
  const { database, clock } = deps;
  const kept = new Map<TenantId, Kept>();
  const first = new Map<TenantId, Promise<SearchStatistics>>();

  async function take(tenant: TenantId): Promise<SearchStatistics> {
    const statistics = await database.withTenant(tenant, async (tx) => {
      const [sampled] = await tx.query<Figures>(SAMPLED);
      if (sampled!.contexts >= MIN_SAMPLED) return fromSample(sampled!);
      const [whole] = await tx.query<Figures>(WHOLE);
      const isWhole = whole!.contexts < 2 * SAMPLE;
      return fromFigures(whole!, isWhole ? whole!.contexts : sampled!.contexts * SAMPLED_ONE_IN);
    });
    kept.delete(tenant);
    kept.set(tenant, { statistics, takenAtMs: clock.now() });
    for (const oldest of kept.keys()) if (kept.size > MAX_TENANTS) kept.delete(oldest);
    return statistics;
  }

  function takeOnce(tenant: TenantId): Promise<SearchStatistics> {
    const known = first.get(tenant);
    if (known) return known;
    const taking = take(tenant).finally(() => first.delete(tenant));
    first.set(tenant, taking);
    return taking;
  }

  return {
    async of(tenant) {
      const known = kept.get(tenant);
      if (!known) return takeOnce(tenant);
      const { statistics, takenAtMs } = known;
      if (Math.abs(clock.now() - takenAtMs) < keepMs(statistics)) return statistics;
      const next = takeOnce(tenant);
      if (statistics.contexts < SMALL) return next;
      // The next search, or the one after, has the new ones; a failure shows in its own statements.
      next.catch(() => undefined);
      return statistics;
    },
  };
}

function keepMs({ contexts }: SearchStatistics): number {
  return Math.min(MAX_KEEP_MS, Math.max(MIN_KEEP_MS, contexts * KEEP_MS_PER_CONTEXT));
}

/** The lowest hashes up to `highest` are as large a part of all hashes as the sample is of all keys. */
function fromSample(figures: Figures): SearchStatistics {
  const part =
    figures.contexts < SAMPLE
      ? 1 / SAMPLED_ONE_IN
      : ((figures.highest ?? 0) + 2 ** 31 + 1) / 2 ** 32;
  return fromFigures(figures, Math.round(figures.contexts / part));
}

function fromFigures(figures: Figures, contexts: number): SearchStatistics {
  const sampled = Math.max(1, figures.contexts);
  const shares = (counts: Figures['terms']): Map<string, number> =>
    new Map(counts.map(({ w, n }) => [w, rounded(n / sampled)]));
  return {
    contexts,
    meanWords: rounded(Math.max(1, figures.meanWords)),
    shareOfTerm: shares(figures.terms),
    shareOfFacet: shares(figures.facets),
    rarest: rounded(1 / sampled),
  };
}

/** Short enough to travel in a cursor. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
