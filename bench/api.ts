/**
 * How long the calls on contexts take, and how many go through: the real API process on real
 * servers, 100,000 contexts, fifty callers. Once paced (each caller asks four times a second, as
 * agents do), which shows what a caller waits, and once without a pause, which shows where the
 * machine ends; there every caller waits for the forty-nine others.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createKeepAliveCaller, type KeepAliveCaller } from '../test/load/keep-alive-caller.ts';
import { startTestServers } from '../test/support/servers-start.ts';
import { createRandom, type Random } from '../test/support/random.ts';
import { startSyncline } from '../test/support/syncline-process.ts';
import { ms, percentile, table } from './figures.ts';
import { describeMachine } from './machine.ts';
import type { Bench } from './main.ts';
import { countOf } from './options.ts';
import { treeCpuMs } from './process-cpu.ts';

/** Pause of a paced caller between two requests, ms on average. */
const PACE_MS = 250;
const BATCH = 500;
const WARM_UP_MS = 2_000;
/** Keys that are read again and again. */
const HOT_KEYS = 100;

/** What the seed document (002) says of each, ms; null: it says nothing. */
const SEED_MS = { store: 15, hot: 2, cold: 10, search: 20 } as const;

interface Setup {
  readonly caller: KeepAliveCaller;
  readonly random: Random;
  readonly contexts: number;
  readonly callers: number;
  readonly phaseMs: number;
  /** Process id of the API. */
  readonly apiPid: number;
}

interface Call {
  readonly name: string;
  readonly seedMs: number | null;
  /** One request of caller `nth`. @throws Error when it is not answered as it should be */
  readonly ask: (setup: Setup, nth: number) => Promise<void>;
}

export const apiBench: Bench = {
  about: 'ms and throughput of store, get, search and others at 100,000 contexts and 50 callers',
  usage: '[--contexts 100000] [--callers 50] [--seconds 10]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        contexts: { type: 'string', default: '100000' },
        callers: { type: 'string', default: '50' },
        seconds: { type: 'string', default: '10' },
      },
    });
    const contexts = countOf(values.contexts, '--contexts');
    const callers = countOf(values.callers, '--callers');
    const phaseMs = countOf(values.seconds, '--seconds') * 1000;
    process.stdout.write(`api · ${describeMachine()}\n`);
    const servers = await startTestServers(() => undefined);
    Object.assign(process.env, servers.env);
    const syncline = await startSyncline({ role: 'api' });
    const caller = createKeepAliveCaller(syncline.url, callers);
    try {
      const apiPid = syncline.pid();
      const setup = { caller, random: createRandom(1), contexts, callers, phaseMs, apiPid };
      await fill(setup);
      for (const paceMs of [PACE_MS, 0]) await measureAll(setup, paceMs);
    } finally {
      caller.close();
      await syncline.close();
      await servers.stop();
    }
  },
};

const WORDS = (
  'agent context memory decision database Postgres Redis queue retry budget parser deploy customer ' +
  'invoice review design API error timeout cache index vector search token session prompt tool ' +
  'plan meeting release branch merge conflict version schema migration backup restore encrypt key'
).split(' ');

function sentence(random: Random, words: number): string {
  return Array.from({ length: words }, () => random.pick(WORDS)).join(' ');
}

/** About 700 bytes, as an agent's note is. */
function note(random: Random, nth: number): object {
  return {
    title: `Note ${nth} on ${sentence(random, 3)}`,
    messages: Array.from({ length: 4 }, (_, at) => ({
      role: at % 2 === 0 ? 'user' : 'assistant',
      content: sentence(random, 18),
    })),
    state: { step: random.upTo(100), ticket: `T-${random.upTo(1_000_000)}` },
  };
}

const keyOf = (nth: number): string => `bench/${String(nth).padStart(7, '0')}`;
const optionsOf = (nth: number): object => ({
  sessionId: `session-${nth % 1000}`,
  tags: [`tag-${nth % 50}`],
  ttl: null,
});

async function fill({ caller, random, contexts }: Setup): Promise<void> {
  const began = performance.now();
  for (let from = 0; from < contexts; from += BATCH) {
    const operations = Array.from({ length: Math.min(BATCH, contexts - from) }, (_, at) => ({
      op: 'store',
      key: keyOf(from + at),
      data: note(random, from + at),
      options: optionsOf(from + at),
    }));
    const body = { atomic: true, operations };
    expectStatus(await caller.call('POST', '/api/context/batch', body), 200);
  }
  const seconds = (performance.now() - began) / 1000;
  process.stdout.write(
    `${contexts} contexts stored in batches of ${BATCH} in ${seconds.toFixed(1)} s, ${Math.round(contexts / seconds)}/s\n`,
  );
}

let created = 0;

const CALLS: readonly Call[] = [
  {
    name: 'store, new',
    seedMs: SEED_MS.store,
    async ask({ caller, random }) {
      created += 1;
      const body = { key: `new/${created}`, data: note(random, created) };
      expectStatus(await caller.call('POST', '/api/context/store', body), 201);
    },
  },
  {
    name: 'store, next version',
    seedMs: SEED_MS.store,
    async ask({ caller, random, contexts }) {
      const nth = random.upTo(contexts);
      const body = { key: keyOf(nth), data: note(random, nth), options: optionsOf(nth) };
      expectStatus(await caller.call('POST', '/api/context/store', body), 200);
    },
  },
  {
    name: `get, one of ${HOT_KEYS} hot, cached`,
    seedMs: SEED_MS.hot,
    async ask({ caller, random }) {
      const path = `/api/context/get/${encodeURIComponent(keyOf(random.upTo(HOT_KEYS)))}`;
      expectStatus(await caller.call('GET', path), 200);
    },
  },
  {
    name: 'get, any, of the store',
    seedMs: SEED_MS.cold,
    async ask({ caller, random, contexts }) {
      const path = `/api/context/get/${encodeURIComponent(keyOf(random.upTo(contexts)))}`;
      const headers = { 'cache-control': 'no-cache' };
      expectStatus(await caller.call('GET', path, undefined, headers), 200);
    },
  },
  {
    name: 'list by tag, 20',
    seedMs: null,
    async ask({ caller, random }) {
      const path = `/api/context/list?tag=tag-${random.upTo(50)}&limit=20`;
      expectStatus(await caller.call('GET', path), 200);
    },
  },
  {
    name: 'search, a question',
    seedMs: SEED_MS.search,
    async ask({ caller, random }) {
      const query = `what did we decide about ${sentence(random, 2)} for ticket T-${random.upTo(1_000_000)}`;
      const body = { query, options: { limit: 10 } };
      expectStatus(await caller.call('POST', '/api/context/search', body), 200);
    },
  },
  {
    name: 'search in a session',
    seedMs: SEED_MS.search,
    async ask({ caller, random }) {
      const options = { limit: 10, sessionId: `session-${random.upTo(1000)}` };
      const body = { query: sentence(random, 2), options };
      expectStatus(await caller.call('POST', '/api/context/search', body), 200);
    },
  },
];

/** The API's own CPU time, without Postgres'. */
const HEAD = ['ms', 'p50', 'p95', 'p99', 'requests/s', 'API CPU', 'p95 below'];

async function measureAll(setup: Setup, paceMs: number): Promise<void> {
  const rows: string[][] = [];
  for (const call of CALLS) {
    await measure({ ...setup, phaseMs: WARM_UP_MS }, call, paceMs);
    const began = performance.now();
    const beganCpuMs = treeCpuMs(setup.apiPid);
    const samples = await measure(setup, call, paceMs);
    const cpuMs = (treeCpuMs(setup.apiPid) - beganCpuMs) / samples.length;
    const perSecond = (samples.length * 1000) / (performance.now() - began);
    const p95 = percentile(samples, 95);
    rows.push([
      call.name,
      ...[50, 95, 99].map((percent) => ms(percentile(samples, percent))),
      String(Math.round(perSecond)),
      cpuMs.toFixed(2),
      call.seedMs === null ? '-' : `${call.seedMs}: ${p95 < call.seedMs ? 'met' : 'not met'}`,
    ]);
  }
  const how =
    paceMs === 0
      ? 'one request after the other'
      : `a request every ${paceMs} ms each, spread by chance`;
  process.stdout.write(`\n${setup.callers} callers, ${how}\n\n`);
  process.stdout.write(`${table(HEAD, rows)}\n`);
}

/** Times of all requests of one phase, ms. */
async function measure(setup: Setup, call: Call, paceMs: number): Promise<number[]> {
  const samples: number[] = [];
  const end = performance.now() + setup.phaseMs;
  const one = async (nth: number): Promise<void> => {
    await delay(paceMs * setup.random.next());
    while (performance.now() < end) {
      const began = performance.now();
      await call.ask(setup, nth);
      const tookMs = performance.now() - began;
      samples.push(tookMs);
      if (paceMs > 0) await delay(paceMs * (0.5 + setup.random.next()));
    }
  };
  await Promise.all(Array.from({ length: setup.callers }, (_, nth) => one(nth)));
  return samples;
}

function expectStatus({ status, body }: { status: number; body: unknown }, wanted: number): void {
  if (status === wanted) return;
  throw new Error(`answered ${status} instead of ${wanted}: ${JSON.stringify(body).slice(0, 300)}`);
}
