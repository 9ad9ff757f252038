/**
 * What the size of a link costs: memory of a first sync, and the time of a small change, on a small
 * link and on a large one. The remote lives in a process of its own: the memory told is the worker's.
 */
import { parseArgs } from 'node:util';
import { AppError } from '../domain/errors.ts';
import { itemKey } from '../domain/item.ts';
import type { Link } from '../domain/link.ts';
import { CALLER, createTestEngine, type TestEngine } from '../test/support/engine.ts';
import { benchItem, ITEM_BYTES } from './bench-item.ts';
import { startBenchPostgres } from './bench-postgres.ts';
import { median, ms, table } from './figures.ts';
import { startFarRemote, type FarRemote } from './far-remote.ts';
import { describeMachine } from './machine.ts';
import type { Bench } from './main.ts';
import { countOf } from './options.ts';

const SMALL = 10_000;
const ROUNDS = 3;
const RSS_EVERY_MS = 100;

export const syncScale: Bench = {
  about: 'memory of a large first sync, and a small change on a small and on a large link',
  usage: '[--items 1000000] [--changes 1000]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        items: { type: 'string', default: '1000000' },
        changes: { type: 'string', default: '1000' },
      },
    });
    const items = countOf(values.items, '--items');
    await compare(items, countOf(values.changes, '--changes'));
  },
};

interface Size {
  readonly items: number;
  readonly initialMs: number;
  /** Resident memory before the first pass, and at most during it. */
  readonly rssMb: readonly [before: number, peak: number];
  readonly deltaMs: readonly number[];
  readonly quietMs: readonly number[];
}

async function compare(items: number, changes: number): Promise<void> {
  const postgres = await startBenchPostgres();
  process.env['TEST_DATABASE_URL'] = postgres.url;
  process.stdout.write(
    `sync-scale · ${describeMachine()}\nitems of ${ITEM_BYTES} B, hub on ${postgres.name}, delta of ${changes} changes\n\n`,
  );
  try {
    const small = await measure(SMALL, changes);
    const large = await measure(items, changes);
    const factor = median(large.deltaMs) / median(small.deltaMs);
    process.stdout.write(
      `${report([small, large])}\n\ndelta, large to small: × ${factor.toFixed(2)}\n`,
    );
  } finally {
    await postgres.stop();
  }
}

async function measure(items: number, changes: number): Promise<Size> {
  const remote = await startFarRemote();
  const engine = await createTestEngine({ types: [remote.type] });
  try {
    await remote.put({ from: 0, to: items, step: 1, wording: 'first' });
    const link = await engine.addLink('far', {});
    const before = process.memoryUsage.rss();
    const rss = watchRss();
    const initialMs = await timed(engine, link, items);
    const rssMb = [before / 2 ** 20, rss.stop()] as const;
    await timed(engine, link, 0);
    const deltaMs: number[] = [];
    const quietMs: number[] = [];
    for (let round = 1; round <= ROUNDS; round += 1) {
      await changeBoth({ engine, remote }, { items, changes, wording: `round ${round}` });
      deltaMs.push(await timed(engine, link, changes));
      quietMs.push(await timed(engine, link, 0));
    }
    return { items, initialMs, rssMb, deltaMs, quietMs };
  } finally {
    await engine.close();
    await remote.stop();
  }
}

/** One pass that must move so many items; its time, ms. */
async function timed(engine: TestEngine, link: Link, moves: number): Promise<number> {
  const began = performance.now();
  const { status, counters } = await engine.pass(link);
  const tookMs = performance.now() - began;
  if (status === 'settled' && counters.applied === moves) return tookMs;
  throw new AppError(
    'INTERNAL',
    `the pass was ${status} and moved ${counters.applied} of ${moves}`,
  );
}

/** Changes items all over the link: half of them on the hub, the others on the remote. */
async function changeBoth(
  { engine, remote }: { engine: TestEngine; remote: FarRemote },
  { items, changes, wording }: { items: number; changes: number; wording: string },
): Promise<void> {
  const step = Math.floor(items / changes);
  await remote.put({ from: 0, to: changes * step, step: 2 * step, wording });
  for (let nth = 1; nth < changes; nth += 2) {
    const data = benchItem(nth * step, wording);
    const key = itemKey('p/', 'memory', data.name);
    const options = { kind: 'memory', ttl: null } as const;
    await engine.store.contexts.store(CALLER, { key, data, options });
  }
}

function watchRss(): { stop(): number } {
  let peak = process.memoryUsage.rss();
  const look = (): void => void (peak = Math.max(peak, process.memoryUsage.rss()));
  const timer = setInterval(look, RSS_EVERY_MS);
  return {
    stop: () => {
      clearInterval(timer);
      look();
      return peak / 2 ** 20;
    },
  };
}

function report(sizes: readonly Size[]): string {
  return table(
    ['items', 'initial, s', 'items/s', 'RSS before, MB', 'peak RSS, MB', 'delta, ms', 'no-op, ms'],
    sizes.map(({ items, initialMs, rssMb, deltaMs, quietMs }) => [
      String(items),
      (initialMs / 1000).toFixed(1),
      String(Math.round((items / initialMs) * 1000)),
      ...rssMb.map((mb) => String(Math.round(mb))),
      ms(median(deltaMs)),
      ms(median(quietMs)),
    ]),
  );
}
