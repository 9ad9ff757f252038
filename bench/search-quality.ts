/**
 * How much of what answers real questions is among the first ten results. The questions are LoCoMo's
 * (long conversations, questions about them, and the turns that answer each); the data set is not
 * ours to pass on, so its file is an argument.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { AppError } from '../domain/errors.ts';
import { startBenchPostgres } from './bench-postgres.ts';
import { table } from './figures.ts';
import { describeMachine } from './machine.ts';
import type { Bench } from './main.ts';
import { countOf } from './options.ts';
import { readQuestions, type Question, type Turn } from './locomo.ts';
import { BENCH_CALLER, fill, noise, openSearchBench, type SearchBench } from './search-fill.ts';
import { inMemoryBm25 } from './search-reference.ts';

const FIRST = 10;

export const searchQuality: Bench = {
  about: 'evidence among the first ten results, for real questions (LoCoMo)',
  usage: '--dataset <locomo10.json> [--contexts 100000] [--every 1]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        dataset: { type: 'string' },
        contexts: { type: 'string', default: '100000' },
        every: { type: 'string', default: '1' },
      },
    });
    if (values.dataset === undefined) throw new AppError('VALIDATION', '--dataset is needed');
    const text = await readFile(values.dataset, 'utf8');
    const { turns, questions } = readQuestions(JSON.parse(text));
    const every = countOf(values.every, '--every');
    const asked = questions.filter((_, nth) => nth % every === 0);
    await measure(turns, asked, countOf(values.contexts, '--contexts'));
  },
};

/** Keys of the first results for a question, best first. */
type Way = (question: Question) => Promise<readonly string[]>;

async function measure(
  turns: readonly Turn[],
  questions: readonly Question[],
  contexts: number,
): Promise<void> {
  const postgres = await startBenchPostgres();
  const bench = await openSearchBench(postgres.url, 4);
  try {
    await fill(
      bench.database,
      turns.map(({ key, data }) => ({ key, data })),
    );
    await copyForPostgres(bench, turns);
    process.stdout.write(
      `search-quality · ${describeMachine()}\n${questions.length} questions, ${turns.length} turns; found among the first ${FIRST}\n\n`,
    );
    const reference = inMemoryBm25(turns);
    const within = (question: Question): string => question.prefix;
    const rows = [
      await row('websearch_to_tsquery (AND), ts_rank_cd', questions, byPostgres(bench, WEBSEARCH)),
      await row('any word (OR), ts_rank_cd', questions, byPostgres(bench, ANY_WORD)),
      await row('BM25 over every context, in memory', questions, async (question) =>
        reference(question.text, question.prefix, FIRST),
      ),
      await row('POST /search, prefix of the conversation', questions, bySearch(bench, within)),
      await row(
        'POST /search, all conversations',
        questions,
        bySearch(bench, () => ''),
      ),
    ];
    const texts = turns.map(({ data }) => data.text);
    await fill(bench.database, noise(texts, Math.max(0, contexts - turns.length)));
    await bench.admin.query('ANALYZE context_search');
    // Statistics are kept in memory for a while; another store takes its own.
    const full = { store: bench.reopened() };
    rows.push(
      await row(`the same among ${contexts} contexts, prefix`, questions, bySearch(full, within)),
      await row(
        `the same among ${contexts} contexts, all`,
        questions,
        bySearch(full, () => ''),
      ),
    );
    process.stdout.write(`${table(['ranking', 'evidence', 'any of it', 'first right'], rows)}\n`);
  } finally {
    await bench.close();
    await postgres.stop();
  }
}

async function row(name: string, questions: readonly Question[], way: Way): Promise<string[]> {
  let evidence = 0;
  let some = 0;
  let reciprocal = 0;
  for (const question of questions) {
    const found = await way(question);
    const ranks = question.evidence.map((key) => found.indexOf(key)).filter((rank) => rank >= 0);
    evidence += ranks.length / question.evidence.length;
    if (ranks.length === 0) continue;
    some += 1;
    reciprocal += 1 / (Math.min(...ranks) + 1);
  }
  const part = (sum: number): string => `${((100 * sum) / questions.length).toFixed(1)} %`;
  return [name, part(evidence), part(some), (reciprocal / questions.length).toFixed(3)];
}

function bySearch(
  { store }: Pick<SearchBench, 'store'>,
  prefixOf: (question: Question) => string,
): Way {
  return async (question) => {
    const query = { query: question.text, mode: 'text', limit: FIRST, offset: 0 } as const;
    const prefix = prefixOf(question);
    const { results } = await store.search.search(BENCH_CALLER, { ...query, prefix });
    return results.map(({ key }) => key);
  };
}

// What one would write first: Postgres' own English configuration and ranking, nothing else.
const WEBSEARCH = `SELECT key FROM plain, websearch_to_tsquery('english', $1) q
WHERE starts_with(key, $2) AND words @@ q ORDER BY ts_rank_cd(words, q) DESC, key LIMIT ${FIRST}`;
const ANY_WORD = `SELECT key FROM plain,
  (SELECT string_agg(quote_literal(w), ' | ')::tsquery AS q FROM unnest(tsvector_to_array(to_tsvector('english', $1))) w) q
WHERE starts_with(key, $2) AND words @@ q ORDER BY ts_rank_cd(words, q) DESC, key LIMIT ${FIRST}`;

async function copyForPostgres({ admin }: SearchBench, turns: readonly Turn[]): Promise<void> {
  await admin.query('CREATE TEMP TABLE plain (key text COLLATE "C", words tsvector)');
  await admin.query(
    `INSERT INTO plain SELECT k, to_tsvector('english', t) FROM unnest($1::text[], $2::text[]) AS u (k, t)`,
    [turns.map(({ key }) => key), turns.map(({ data }) => Object.values(data).join('\n'))],
  );
}

function byPostgres({ admin }: SearchBench, statement: string): Way {
  return async ({ text, prefix }) => {
    const { rows } = await admin.query<{ key: string }>(statement, [text, prefix]);
    return rows.map(({ key }) => key);
  };
}
