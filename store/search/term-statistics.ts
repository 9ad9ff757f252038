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
  /** Never fails, and hardly waits: what cannot be taken in time is what was taken last, or a guess. */
  of(tenant: TenantId): Promise<SearchStatistics>;
}

/** Contexts in a sample at most. */
const SAMPLE = 4_000;
/** Bytes of `tsvector`s in a sample at most: some 500,000 words, which are counted within a second. */
const MAX_SAMPLED_BYTES = 8_000_000;
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
/** Longest wait for figures where there are none yet. */
const FIRST_WAIT_MS = 2_000;
/** The same where a small store has old ones: it is read within milliseconds, or is not that small. */
const NEXT_WAIT_MS = 100;
/** Below so many contexts new ones are waited for; above, searches go on with the old ones. */
const SMALL = 1_000;
/** After a failure they are not taken again for so long: it may have cost a statement's whole time. */
const REST_MS = 60_000;

/** A large store in which words are rare: what is found through them is bounded anyway. */
const GUESS: SearchStatistics = {
  contexts: 100_000,
  meanWords: 100,
  shareOfTerm: new Map(),
  shareOfFacet: new Map(),
  rarest: 0.001,
};

// The size of a value is known without reading it: only what is within bounds is read.
const figuresOf = (candidates: string): string => `
WITH found AS MATERIALIZED (${candidates}),
chosen AS MATERIALIZED (
  SELECT key FROM (
    SELECT key, sum(size) OVER (ORDER BY sample, key ROWS UNBOUNDED PRECEDING) - size AS before FROM found) f
  WHERE before < ${MAX_SAMPLED_BYTES}
), s AS MATERIALIZED (
  SELECT r.* FROM chosen c CROSS JOIN LATERAL (SELECT words, facets FROM context_search
    WHERE tenant_id = current_setting('app.tenant') AND key = c.key OFFSET 0) r
)
SELECT count(*)::int AS sampled, coalesce(avg(length(words)), 1)::float8 AS "meanWords",
  (SELECT coalesce(json_agg(t), '[]') FROM (SELECT w, count(*) AS n FROM s, unnest(tsvector_to_array(words)) AS w
    GROUP BY w ORDER BY n DESC LIMIT ${MAX_TERMS}) t) AS terms,
  (SELECT coalesce(json_agg(t), '[]') FROM (SELECT w, count(*) AS n FROM s, unnest(facets) AS w
    GROUP BY w ORDER BY n DESC LIMIT ${MAX_TERMS}) t) AS facets,
  (SELECT count(*)::int FROM found) AS contexts, (SELECT max(sample) FROM found) AS highest
FROM s`;

const CANDIDATE = `
  SELECT key, sample, pg_column_size(words) + pg_column_size(facets) AS size FROM context_search
  WHERE tenant_id = current_setting('app.tenant')`;
const SAMPLED = figuresOf(`${CANDIDATE} AND sample < -1879048192 ORDER BY sample LIMIT ${SAMPLE}`);
const WHOLE = figuresOf(`${CANDIDATE} ORDER BY key LIMIT ${2 * SAMPLE}`);

interface Figures {
  /** Contexts there were to choose from, and how many were read. */
  readonly contexts: number;
  readonly sampled: number;
  readonly meanWords: number;
  readonly terms: readonly { readonly w: string; readonly n: number }[];
  readonly facets: readonly { readonly w: string; readonly n: number }[];
  readonly highest: number | null;
}

interface Kept {
  readonly statistics: SearchStatistics;
  readonly untilMs: number;
}

export function createTermStatistics(deps: {
  readonly database: Database;
  readonly clock: Clock;
}): TermStatistics {
  const { database, clock } = deps;
  const kept = new Map<TenantId, Kept>();
  const taking = new Map<TenantId, Promise<SearchStatistics>>();

  async function take(tenant: TenantId): Promise<SearchStatistics> {
    return database.withTenant(tenant, async (tx) => {
      const [sampled] = await tx.query<Figures>(SAMPLED);
      if (sampled!.contexts >= MIN_SAMPLED) return fromSample(sampled!);
      const [whole] = await tx.query<Figures>(WHOLE);
      const isWhole = whole!.contexts < 2 * SAMPLE;
      return fromFigures(whole!, isWhole ? whole!.contexts : sampled!.contexts * SAMPLED_ONE_IN);
    });
  }

  function keep(tenant: TenantId, statistics: SearchStatistics, forMs: number): SearchStatistics {
    kept.delete(tenant);
    kept.set(tenant, { statistics, untilMs: clock.now() + forMs });
    for (const oldest of kept.keys()) if (kept.size > MAX_TENANTS) kept.delete(oldest);
    return statistics;
  }

  /** One at a time. A failure is nothing a search should fail for: its own statements tell. */
  function takeOnce(tenant: TenantId): Promise<SearchStatistics> {
    const under = taking.get(tenant);
    if (under) return under;
    const next = take(tenant)
      .then(
        (statistics) => keep(tenant, statistics, keepMs(statistics)),
        () => keep(tenant, kept.get(tenant)?.statistics ?? guessFor(tenant), REST_MS),
      )
      .finally(() => taking.delete(tenant));
    taking.set(tenant, next);
    return next;
  }

  return {
    async of(tenant) {
      const known = kept.get(tenant);
      if (!known) return within(FIRST_WAIT_MS, takeOnce(tenant), guessFor(tenant));
      const { statistics, untilMs } = known;
      const isFresh = clock.now() < untilMs && untilMs - clock.now() <= MAX_KEEP_MS;
      if (isFresh) return statistics;
      const next = takeOnce(tenant);
      return statistics.contexts < SMALL ? within(NEXT_WAIT_MS, next, statistics) : statistics;
    },
  };
}

/** What comes in time, or `otherwise`. */
async function within<T>(ms: number, coming: Promise<T>, otherwise: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<T>((resolve) => (timer = setTimeout(resolve, ms, otherwise)));
  return Promise.race([coming, late]).finally(() => clearTimeout(timer));
}

function guessFor(tenant: TenantId): SearchStatistics {
  return { ...GUESS, shareOfFacet: new Map([[`t:${tenant}`, 1]]) };
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
  const sampled = Math.max(1, figures.sampled);
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
