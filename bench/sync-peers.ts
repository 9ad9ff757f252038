/**
 * Two-way sync beside PouchDB and RxDB, on the same items, in turns: who is fast on this machine at
 * this hour is fast for everybody. What each of them does for its time is said in docs/benchmarks.md.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { AppError } from '../domain/errors.ts';
import { ITEM_BYTES } from './bench-item.ts';
import { startBenchPostgres } from './bench-postgres.ts';
import { median, ms, table } from './figures.ts';
import { describeMachine } from './machine.ts';
import type { Bench } from './main.ts';
import { countOf } from './options.ts';
import { installPeers } from './peer-packages.ts';
import { CONTENDERS, type Contender, type RoundTimes } from './peer.ts';

const run = promisify(execFile);
const BOOTSTRAP = fileURLToPath(new URL('../dev/bootstrap.mjs', import.meta.url));

export const syncPeers: Bench = {
  about:
    'two-way sync beside PouchDB (leveldb) and RxDB (memory), tuned and by their own defaults: medians and ratios',
  usage: '[--items 10000] [--rounds 3] [--without pouchdb-defaults,rxdb-defaults]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        items: { type: 'string', default: '10000' },
        rounds: { type: 'string', default: '3' },
        without: { type: 'string', default: '' },
      },
    });
    const left = values.without.split(',');
    const contenders = CONTENDERS.filter((name) => !left.includes(name));
    await compare(contenders, {
      items: countOf(values.items, '--items'),
      rounds: countOf(values.rounds, '--rounds'),
    });
  },
};

type Rounds = Map<Contender, RoundTimes[]>;

async function compare(
  contenders: readonly Contender[],
  { items, rounds }: { items: number; rounds: number },
): Promise<void> {
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  await installPeers(say);
  const postgres = await startBenchPostgres();
  say(`sync-peers · ${describeMachine()}`);
  say(`${items} items of ${ITEM_BYTES} B, hub on ${postgres.name}, ${rounds} rounds\n`);
  const done: Rounds = new Map(contenders.map((name) => [name, []]));
  try {
    for (let round = 0; round < rounds; round += 1) {
      for (const contender of turnOf(contenders, round)) {
        const times = await oneRound(contender, items, postgres.url);
        done.get(contender)!.push(times);
      }
    }
  } finally {
    await postgres.stop();
  }
  say(report(done, items));
}

/** Each round another one begins. */
function turnOf(contenders: readonly Contender[], round: number): Contender[] {
  const from = round % contenders.length;
  return [...contenders.slice(from), ...contenders.slice(0, from)];
}

async function oneRound(contender: Contender, items: number, url: string): Promise<RoundTimes> {
  const args = [BOOTSTRAP, '--run', 'bench/peer-round.ts', contender, String(items)];
  const env = { ...process.env, TEST_DATABASE_URL: url };
  const { stdout } = await run(process.execPath, args, { env });
  const line = stdout.trim().split('\n').at(-1);
  if (!line) throw new AppError('INTERNAL', `${contender} printed no times`);
  return JSON.parse(line) as RoundTimes;
}

interface Figure {
  readonly name: string;
  /** Items moved; 0: the time itself is the figure. */
  readonly moved: (items: number) => number;
  readonly of: (times: RoundTimes) => readonly number[];
}

const FIGURES: readonly Figure[] = [
  { name: 'initial, far to near', moved: (items) => items, of: (times) => [times.inMs] },
  { name: 'initial, near to far', moved: (items) => items, of: (times) => [times.outMs] },
  {
    name: '1 % changed on both sides',
    moved: (items) => 2 * Math.floor(items / 100),
    of: (times) => times.changedMs,
  },
  {
    name: 'far to near, until all is searchable',
    moved: (items) => items,
    of: (times) => [times.inMs + times.catchUpMs],
  },
  {
    name: 'first pass after the initial one',
    moved: () => 0,
    of: (times) => [times.firstQuietMs],
  },
  { name: 'nothing changed', moved: () => 0, of: (times) => times.quietMs },
];

/** Items per second where items move, ms where none do; ratios above 1 are in Syncline's favour. */
function report(done: Rounds, items: number): string {
  const names = [...done.keys()];
  const peers = names.filter((name) => name !== 'syncline');
  const rows = FIGURES.map((figure) => {
    const middle = (name: Contender): number => median(done.get(name)!.flatMap(figure.of));
    const moved = figure.moved(items);
    const shown = (name: Contender): string =>
      moved === 0 ? `${ms(middle(name))} ms` : `${Math.round((moved / middle(name)) * 1000)}/s`;
    const ratio = (peer: Contender): string =>
      done.has('syncline') ? (middle(peer) / middle('syncline')).toFixed(1) : '-';
    return [figure.name, ...names.map(shown), ...peers.map(ratio)];
  });
  const memory = (name: Contender): string =>
    `${Math.round(Math.max(...done.get(name)!.map((times) => times.peakRssMb)))} MB`;
  const peaks = ['peak RSS', ...names.map(memory), ...peers.map(() => '')];
  return table(['median', ...names, ...peers.map((name) => `× ${name}`)], [...rows, peaks]);
}
