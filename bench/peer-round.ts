/**
 * One round of one contender of `sync-peers`, alone in its process: prints its times as one line of
 * JSON. Arguments: contender, items.
 */
import { setInterval } from 'node:timers';
import { AppError, messageOf } from '../domain/errors.ts';
import { benchItem } from './bench-item.ts';
import { openPouchPair } from './peer-pouchdb.ts';
import { openRxPair } from './peer-rxdb.ts';
import { openSynclinePair } from './peer-syncline.ts';
import { CONTENDERS, TUNED_BATCH, type Contender, type Pair, type RoundTimes } from './peer.ts';

const QUIET_PASSES = 5;
const CHANGED_PASSES = 5;
const RSS_EVERY_MS = 50;
/** Items synced before the clock runs: nobody restarts a server for each sync. */
const WARM_UP = 2_000;

const OPEN: Readonly<Record<Contender, () => Promise<Pair>>> = {
  syncline: openSynclinePair,
  pouchdb: () => openPouchPair(TUNED_BATCH),
  rxdb: () => openRxPair(TUNED_BATCH),
  'pouchdb-defaults': () => openPouchPair(null),
  'rxdb-defaults': () => openRxPair(null),
};

async function oneRound(open: () => Promise<Pair>, items: number): Promise<RoundTimes> {
  let peakRss = 0;
  const look = (): void => void (peakRss = Math.max(peakRss, process.memoryUsage.rss()));
  const watch = setInterval(look, RSS_EVERY_MS);
  for (const side of ['near', 'far'] as const) {
    await firstSync(open, side, WARM_UP, () => Promise.resolve());
  }
  const outMs = await firstSync(open, 'near', items, (_pair, ms) => Promise.resolve(ms));
  const times = await firstSync(open, 'far', items, async (pair, inMs) => ({
    inMs,
    catchUpMs: await caughtUp(pair),
    firstQuietMs: await timed(pair),
    changedMs: await changedSyncs(pair, items),
    quietMs: await quietSyncs(pair),
  }));
  clearInterval(watch);
  return { outMs, ...times, peakRssMb: peakRss / 2 ** 20 };
}

/** Fills one side, syncs, checks, and goes on with the pair. */
async function firstSync<T>(
  open: () => Promise<Pair>,
  full: 'near' | 'far',
  items: number,
  then: (pair: Pair, ms: number) => Promise<T>,
): Promise<T> {
  const pair = await open();
  try {
    await pair.write(
      full,
      Array.from({ length: items }, (_, nth) => benchItem(nth, 'first')),
    );
    const ms = await timed(pair);
    const empty = full === 'near' ? 'far' : 'near';
    const count = await pair.count(empty);
    if (count !== items) throw new AppError('INTERNAL', `${count} of ${items} items came over`);
    return await then(pair, ms);
  } finally {
    await pair.close();
  }
}

async function changedSyncs(pair: Pair, items: number): Promise<number[]> {
  const times: number[] = [];
  for (let nth = 1; nth <= CHANGED_PASSES; nth += 1) {
    times.push(await changedSync(pair, items, `changed ${nth} times`));
  }
  return times;
}

/** Changes one item in a hundred on one side, its neighbour on the other. */
async function changedSync(pair: Pair, items: number, wording: string): Promise<number> {
  const every = Array.from({ length: Math.floor(items / 100) }, (_, nth) => nth * 100);
  const near = every.map((nth) => benchItem(nth, `${wording} near`));
  const far = every.map((nth) => benchItem(nth + 1, `${wording} far`));
  await pair.write('near', near);
  await pair.write('far', far);
  const ms = await timed(pair);
  const [there, here] = [
    await pair.read('far', near.at(-1)!.name),
    await pair.read('near', far.at(-1)!.name),
  ];
  const came = [there?.observations[0], here?.observations[0]].join(', ');
  if (came !== `${wording} near, ${wording} far`)
    throw new AppError('INTERNAL', `not synced: ${came}`);
  return ms;
}

async function quietSyncs(pair: Pair): Promise<number[]> {
  const times: number[] = [];
  for (let nth = 0; nth < QUIET_PASSES; nth += 1) times.push(await timed(pair));
  return times;
}

async function caughtUp(pair: Pair): Promise<number> {
  const began = performance.now();
  await pair.catchUp?.();
  return pair.catchUp ? performance.now() - began : 0;
}

async function timed(pair: Pair): Promise<number> {
  const began = performance.now();
  await pair.sync();
  return performance.now() - began;
}

const [name, count] = process.argv.slice(2);
const contender = CONTENDERS.find((one) => one === name);
if (!contender) throw new AppError('VALIDATION', `no such contender: ${name}`);
try {
  const times = await oneRound(OPEN[contender], Number(count));
  process.stdout.write(`${JSON.stringify(times)}\n`);
  process.exit(0);
} catch (error) {
  process.stderr.write(`${contender}: ${messageOf(error)}\n`);
  process.exit(1);
}
