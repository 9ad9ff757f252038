/**
 * How many reads the cache answers: two API processes' worth of the product, keys chosen by Zipf's
 * law, with writes among the reads. Beside it what a cache without bounds would answer. A read that is
 * older than a write acknowledged before it began is stale, and counts as a miss.
 */
import { parseArgs } from 'node:util';
import {
  createKeepAliveCaller,
  type Answer,
  type KeepAliveCaller,
} from '../test/load/keep-alive-caller.ts';
import { cacheNodes } from '../test/support/cache-nodes.ts';
import { createRandom, type Random } from '../test/support/random.ts';
import { startTestServers } from '../test/support/servers-start.ts';
import { ms, percentile, table } from './figures.ts';
import { describeMachine } from './machine.ts';
import type { Bench } from './main.ts';
import { countOf } from './options.ts';

const BATCH = 500;
const SOURCES = ['l1', 'l2', 'source'] as const;

interface Setup {
  /** One process each. */
  readonly nodes: readonly KeepAliveCaller[];
  readonly random: Random;
  readonly contexts: number;
  readonly requests: number;
  /** 0 to 1 */
  readonly writes: number;
  readonly exponent: number;
  readonly callers: number;
}

export const cacheBench: Bench = {
  about: 'share of reads each layer of the cache answers, under Zipf’s law with writes',
  usage:
    '[--contexts 20000] [--requests 40000] [--writes 5 (%)] [--exponent 1.2] [--callers 8] [--processes 2] [--memory 128mb]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        contexts: { type: 'string', default: '20000' },
        requests: { type: 'string', default: '40000' },
        writes: { type: 'string', default: '5' },
        exponent: { type: 'string', default: '1.2' },
        callers: { type: 'string', default: '8' },
        processes: { type: 'string', default: '2' },
        memory: { type: 'string', default: '128mb' },
      },
    });
    process.stdout.write(`cache · ${describeMachine()}\n`);
    const servers = await startTestServers(() => undefined);
    Object.assign(process.env, servers.env);
    const world = await cacheNodes(servers.env['TEST_REDIS_URL'] ?? '');
    const callers = countOf(values.callers, '--callers');
    const nodes: KeepAliveCaller[] = [];
    try {
      const production = { memory_cache_size: values.memory };
      for (let nth = 0; nth < countOf(values.processes, '--processes'); nth += 1) {
        const { url } = await world.start({ production });
        nodes.push(createKeepAliveCaller(url, callers));
      }
      const setup: Setup = {
        nodes,
        random: createRandom(1),
        contexts: countOf(values.contexts, '--contexts'),
        requests: countOf(values.requests, '--requests'),
        writes: Number(values.writes) / 100,
        exponent: Number(values.exponent),
        callers,
      };
      await fill(setup);
      report(setup, await measure(setup));
      await measureOne(setup);
    } finally {
      for (const node of nodes) node.close();
      await world.stop();
      await servers.stop();
    }
  },
};

const keyOf = (nth: number): string => `bench/${nth}`;
const pathOf = (nth: number): string => `/api/context/get/${encodeURIComponent(keyOf(nth))}`;

/** About 700 bytes. */
function note(random: Random, nth: number): object {
  const text = Array.from({ length: 80 }, () => random.upTo(1_000_000).toString(36)).join(' ');
  return { title: `Note ${nth}`, text: text.padEnd(640, '.').slice(0, 640) };
}

async function fill({ nodes, random, contexts }: Setup): Promise<void> {
  for (let from = 0; from < contexts; from += BATCH) {
    const operations = Array.from({ length: Math.min(BATCH, contexts - from) }, (_, at) => ({
      op: 'store',
      key: keyOf(from + at),
      data: note(random, from + at),
      options: { ttl: null },
    }));
    const body = { atomic: true, operations };
    const { status } = await nodes[0]!.call('POST', '/api/context/batch', body);
    if (status !== 200) throw new Error(`the contexts could not be stored: ${status}`);
  }
}

/** Ranks by Zipf's law: rank r comes with a weight of 1 / r^exponent. */
function zipf(random: Random, count: number, exponent: number): () => number {
  const sums: number[] = [];
  let sum = 0;
  for (let rank = 1; rank <= count; rank += 1) sums.push((sum += 1 / rank ** exponent));
  return () => {
    const wanted = random.next() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

interface Tally {
  readonly times: Record<string, number[]>;
  readonly writeTimes: number[];
  reads: number;
  stale: number;
  /** Reads that a cache without bounds, shared by all, would have answered. */
  possible: number;
}

async function measure(setup: Setup): Promise<Tally> {
  const { nodes, random, contexts, requests, writes, exponent, callers } = setup;
  const next = zipf(random, contexts, exponent);
  /** Version → what its last acknowledged write was. */
  const acknowledged = new Map<number, number>();
  const known = new Set<number>();
  const tally: Tally = { times: {}, writeTimes: [], reads: 0, stale: 0, possible: 0 };
  let left = requests;

  async function write(nth: number, node: KeepAliveCaller): Promise<void> {
    const body = { key: keyOf(nth), data: note(random, nth), options: { ttl: null } };
    const answer = await timed(() => node.call('POST', '/api/context/store', body));
    known.delete(nth);
    const { version } = answer.body as { version: number };
    acknowledged.set(nth, Math.max(version, acknowledged.get(nth) ?? 0));
    tally.writeTimes.push(answer.tookMs);
  }

  async function read(nth: number, node: KeepAliveCaller): Promise<void> {
    const least = acknowledged.get(nth) ?? 1;
    if (known.has(nth)) tally.possible += 1;
    const { headers, body, tookMs } = await timed(() => node.call('GET', pathOf(nth)));
    known.add(nth);
    tally.reads += 1;
    const { version } = body as { version: number };
    if (version < least) tally.stale += 1;
    else (tally.times[String(headers['x-cache'])] ??= []).push(tookMs);
  }

  async function call(): Promise<void> {
    while (left > 0) {
      left -= 1;
      const node = nodes[random.upTo(nodes.length)]!;
      const nth = next();
      await (random.next() < writes ? write(nth, node) : read(nth, node));
    }
  }

  await Promise.all(Array.from({ length: callers }, call));
  return tally;
}

function report(setup: Setup, { times, writeTimes, reads, stale, possible }: Tally): void {
  const share = (count: number): string => `${((count / reads) * 100).toFixed(1)} %`;
  const row = (name: string, samples: readonly number[]): string[] => [
    name,
    share(samples.length),
    ms(percentile(samples, 50)),
    ms(percentile(samples, 95)),
  ];
  const hits = (times['l1']?.length ?? 0) + (times['l2']?.length ?? 0);
  const { contexts, requests, writes, exponent, callers, nodes } = setup;
  process.stdout.write(
    `\n${requests} requests by ${callers} callers at ${nodes.length} processes; ${contexts} contexts, Zipf ${exponent}, ${writes * 100} % writes\n\n`,
  );
  const rows = SOURCES.map((name) => row(name, times[name] ?? []));
  process.stdout.write(`${table(['reads answered by', 'share', 'p50 ms', 'p95 ms'], rows)}\n\n`);
  process.stdout.write(`hits ${share(hits)}, of a cache without bounds ${share(possible)}\n`);
  process.stdout.write(`stale ${stale} of ${reads} reads\n`);
  const [p50, p95] = [50, 95].map((percent) => ms(percentile(writeTimes, percent)));
  process.stdout.write(`writes p50 ${p50!} ms, p95 ${p95!} ms\n`);
}

/** One caller and one hot context: what a hit costs. */
async function measureOne({ nodes: [node] }: Setup): Promise<void> {
  const rows: string[][] = [];
  for (const [name, cacheControl] of [
    ['from memory', ''],
    ['from the store', 'no-cache'],
  ] as const) {
    const headers = cacheControl === '' ? {} : { 'cache-control': cacheControl };
    const read = () => timed(() => node!.call('GET', pathOf(0), undefined, headers));
    for (let nth = 0; nth < 300; nth += 1) await read();
    const samples: number[] = [];
    const before = process.cpuUsage();
    for (let nth = 0; nth < 2_000; nth += 1) samples.push((await read()).tookMs);
    const { user, system } = process.cpuUsage(before);
    const cpuMs = (user + system) / 1_000 / samples.length;
    const shown = [50, 95, 99].map((percent) => percentile(samples, percent).toFixed(2));
    rows.push([name, ...shown, cpuMs.toFixed(2)]);
  }
  process.stdout.write('\none caller, one hot context; CPU is of server and caller together\n\n');
  process.stdout.write(`${table(['ms', 'p50', 'p95', 'p99', 'CPU'], rows)}\n`);
}

/** What a call answers, and how long it took. */
async function timed(call: () => Promise<Answer>): Promise<Answer & { readonly tookMs: number }> {
  const began = performance.now();
  const answer = await call();
  return { ...answer, tookMs: performance.now() - began };
}
