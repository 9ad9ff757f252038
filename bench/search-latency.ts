/**
 * How long a search takes in a full store, from one caller and from many at once, with and without
 * somebody writing. Asked of the store itself, in this process; Postgres is another one.
 */
import { parseArgs } from 'node:util';
import { startBenchPostgres } from './bench-postgres.ts';
import { ms, percentile, table } from './figures.ts';
import { describeMachine } from './machine.ts';
import type { Bench } from './main.ts';
import { countOf } from './options.ts';
import {
  BENCH_CALLER,
  fill,
  openSearchBench,
  seeded,
  type FilledContext,
  type SearchBench,
} from './search-fill.ts';

const LIMIT = 20;
const VOCABULARY = 30_000;
const WORDS_ASKED = 5;

export const searchLatency: Bench = {
  about: 'time of a search in a full store, for one caller and for many at once',
  usage: '[--contexts 100000] [--searches 1000] [--callers 1,16]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        contexts: { type: 'string', default: '100000' },
        searches: { type: 'string', default: '1000' },
        callers: { type: 'string', default: '1,16' },
      },
    });
    const callers = values.callers.split(',').map((each) => countOf(each, '--callers'));
    const contexts = countOf(values.contexts, '--contexts');
    await measure({ contexts, searches: countOf(values.searches, '--searches'), callers });
  },
};

interface Wanted {
  readonly contexts: number;
  readonly searches: number;
  readonly callers: readonly number[];
}

/** What one caller asks next. */
type Ask = (nth: number) => { query: string; prefix?: string; tags?: readonly string[] };

async function measure({ contexts, searches, callers }: Wanted): Promise<void> {
  const postgres = await startBenchPostgres();
  const bench = await openSearchBench(postgres.url, Math.max(...callers));
  try {
    const texts = textsOf(contexts);
    const filled = texts.map(contextOf);
    await fill(bench.database, filled);
    await bench.admin.query('ANALYZE context_search; ANALYZE contexts');
    process.stdout.write(
      `search-latency · ${describeMachine()}\n${contexts} contexts, ${searches} searches each, ${LIMIT} results, on ${postgres.name}\n\n`,
    );
    const rows: string[][] = [];
    for (const [name, ask] of Object.entries(asksOf(texts))) {
      for (const many of callers) rows.push(await timed(bench, { name, ask, many, searches }));
    }
    const head = ['search', 'callers', 'p50', 'p95', 'p99', 'searches/s', 'CPU here, ms each'];
    process.stdout.write(`${table(head, rows)}\n`);
  } finally {
    await bench.close();
    await postgres.stop();
  }
}

async function timed(
  { store }: SearchBench,
  { name, ask, many, searches }: { name: string; ask: Ask; many: number; searches: number },
): Promise<string[]> {
  const took: number[] = [];
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < searches) {
      const began = performance.now();
      const query = { ...ask(next++), mode: 'text', limit: LIMIT, offset: 0 } as const;
      await store.search.search(BENCH_CALLER, query);
      took.push(performance.now() - began);
    }
  };
  await store.search.search(BENCH_CALLER, { query: 'warm', mode: 'text', limit: 1, offset: 0 });
  const cpu = process.cpuUsage();
  const began = performance.now();
  await Promise.all(Array.from({ length: many }, one));
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const cells = [50, 95, 99].map((percent) => ms(percentile(took, percent)));
  const rate = String(Math.round(searches / seconds));
  return [name, String(many), ...cells, rate, ((user + system) / 1000 / searches).toFixed(2)];
}

/** Words by Zipf's law, as people use them: the n-th word comes up one n-th as often as the first. */
function textsOf(count: number): string[][] {
  const random = seeded(7);
  const reach = Math.log(VOCABULARY);
  const word = (): string => `w${Math.floor(Math.exp(random() * reach)).toString(36)}`;
  return Array.from({ length: count }, () =>
    Array.from({ length: 20 + Math.floor(random() * 60) }, word),
  );
}

function contextOf(words: readonly string[], nth: number): FilledContext {
  return {
    key: `bench/project-${nth % 200}/${nth}`,
    data: { title: words.slice(0, 5).join(' '), text: words.join(' ') },
    tags: [`tag-${nth % 50}`],
  };
}

function asksOf(texts: readonly (readonly string[])[]): Readonly<Record<string, Ask>> {
  const random = seeded(11);
  const at = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const words = (count: number): string => {
    const text = at(texts);
    return Array.from({ length: count }, () => at(text)).join(' ');
  };
  return {
    'words of a context': () => ({ query: words(WORDS_ASKED) }),
    'one word': () => ({ query: words(1) }),
    'the three commonest words': () => ({ query: 'w1 w2 w3' }),
    'within a project': (nth) => ({
      query: words(WORDS_ASKED),
      prefix: `bench/project-${nth % 200}/`,
    }),
    'with a tag': (nth) => ({ query: words(WORDS_ASKED), tags: [`tag-${nth % 50}`] }),
    'nothing (the newest)': () => ({ query: '' }),
  };
}
