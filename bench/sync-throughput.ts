/**
 * How many items a pass moves: the engine's own steps against the in-process grade-A fake, the hub
 * on a real Postgres. Temporal is left out: it carries counts, not items.
 */
import { parseArgs } from 'node:util';
import { createFakeRemote, type FakeRemote } from '../connectors/fake/fake-remote.ts';
import { createFakeType } from '../connectors/fake/fake-type.ts';
import { AppError } from '../domain/errors.ts';
import type { ContextKey } from '../domain/ids.ts';
import type { Link } from '../domain/link.ts';
import { CALLER, createTestEngine, type TestEngine } from '../test/support/engine.ts';
import { benchItem, ITEM_BYTES } from './bench-item.ts';
import { startBenchPostgres } from './bench-postgres.ts';
import { countStatements, type StatementCount } from './count-statements.ts';
import { median, ms, table } from './figures.ts';
import { describeMachine } from './machine.ts';
import type { Bench } from './main.ts';
import { countOf } from './options.ts';

const QUIET_PASSES = 5;
const RSS_EVERY_MS = 20;

export const syncThroughput: Bench = {
  about: 'items per second of initial, incremental and no-op passes against the grade-A fake',
  usage: '[--items 10000] [--rounds 3]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        items: { type: 'string', default: '10000' },
        rounds: { type: 'string', default: '3' },
      },
    });
    await measureAll(countOf(values.items, '--items'), countOf(values.rounds, '--rounds'));
  },
};

/** What one kind of pass took in one round. */
interface Sample {
  readonly pass: string;
  /** Items the pass had to move. */
  readonly moved: number;
  readonly tookMs: number;
  readonly statements: number;
  readonly peakRssMb: number;
}

async function measureAll(items: number, rounds: number): Promise<void> {
  const postgres = await startBenchPostgres();
  process.env['TEST_DATABASE_URL'] = postgres.url;
  process.stdout.write(
    `sync-throughput · ${describeMachine()}\n${items} items of ${ITEM_BYTES} B, hub on ${postgres.name}, ${rounds} rounds\n\n`,
  );
  const statements = countStatements();
  const remotes = new Map<string, FakeRemote>([['none', createFakeRemote({ grade: 'A' })]]);
  const samples: Sample[] = [];
  try {
    for (let round = 1; round <= rounds; round += 1) {
      const engine = await createTestEngine({ types: [createFakeType(remotes)] });
      try {
        samples.push(...(await oneRound({ engine, remotes, statements, items })));
      } finally {
        await engine.close();
      }
    }
  } finally {
    await postgres.stop();
  }
  process.stdout.write(`${report(samples)}\n`);
}

interface Round {
  readonly engine: TestEngine;
  readonly remotes: Map<string, FakeRemote>;
  readonly statements: StatementCount;
  readonly items: number;
}

/** A full remote comes in through one link and goes out through another, then a few items change. */
async function oneRound(round: Round): Promise<Sample[]> {
  const { engine, remotes, items } = round;
  const source = fullRemote(items);
  const target = createFakeRemote({ grade: 'A' });
  remotes.set('source', source).set('target', target);
  const first = await engine.addLink('fake', { remote: 'source' });
  const second = await engine.addLink('fake', { remote: 'target' });
  const samples = [
    await measured(round, { pass: 'initial, remote to hub', link: first, moves: items }),
    await measured(round, { pass: 'initial, hub to remote', link: second, moves: items }),
  ];
  if (target.all().length !== items)
    throw new AppError('INTERNAL', 'the second remote is not full');
  const changed = await changeBothSides(engine, source, items);
  samples.push(
    await measured(round, { pass: '1 % changed on both sides', link: first, moves: changed }),
  );
  for (let nth = 0; nth < QUIET_PASSES; nth += 1) {
    samples.push(await measured(round, { pass: 'nothing changed', link: first, moves: 0 }));
  }
  return samples;
}

function fullRemote(items: number): FakeRemote {
  const remote = createFakeRemote({ grade: 'A' });
  for (let nth = 0; nth < items; nth += 1) remote.put(benchItem(nth, 'first'));
  return remote;
}

/** Changes one item in a hundred on the hub, and another one on the remote. */
async function changeBothSides(
  engine: TestEngine,
  remote: FakeRemote,
  items: number,
): Promise<number> {
  const rows = await keysByName(engine, items);
  let changed = 0;
  for (let nth = 0; nth + 1 < items; nth += 100) {
    const data = benchItem(nth, 'changed on the hub');
    await engine.store.contexts.store(CALLER, {
      key: rows.get(data.name)!,
      data,
      options: { kind: 'memory', ttl: null },
    });
    remote.put(benchItem(nth + 1, 'changed on the remote'));
    changed += 2;
  }
  return changed;
}

async function keysByName(engine: TestEngine, items: number): Promise<Map<string, ContextKey>> {
  const rows = await engine.database.withTenant(CALLER.tenant, (tx) =>
    tx.query<{ key: ContextKey; remote_id: string }>(
      'SELECT DISTINCT key, remote_id FROM sync_items',
    ),
  );
  if (rows.length !== items)
    throw new AppError('INTERNAL', `${rows.length} of ${items} items came in`);
  return new Map(rows.map((row) => [row.remote_id, row.key]));
}

async function measured(
  { engine, statements }: Round,
  what: { readonly pass: string; readonly link: Link; readonly moves: number },
): Promise<Sample> {
  statements.take();
  const rss = watchRss();
  const began = performance.now();
  const result = await passAll(engine, what.link);
  const tookMs = performance.now() - began;
  const peakRssMb = rss.stop();
  if (result.status !== 'settled' || result.applied !== what.moves) {
    throw new AppError('INTERNAL', `${what.pass}: ${JSON.stringify(result)}`);
  }
  return { pass: what.pass, moved: what.moves, tookMs, statements: statements.take(), peakRssMb };
}

/** One pass; more only while somebody else's transaction on the same server holds changes back. */
async function passAll(
  engine: TestEngine,
  link: Link,
): Promise<{ status: string; applied: number }> {
  let applied = 0;
  for (;;) {
    const { status, counters, heldBack } = await engine.pass(link);
    applied += counters.applied;
    if (!heldBack) return { status, applied };
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

function report(samples: readonly Sample[]): string {
  const passes = [...new Set(samples.map((sample) => sample.pass))];
  return table(
    [
      'pass (median of all rounds)',
      'items',
      'ms',
      'fastest',
      'slowest',
      'items/s',
      'statements',
      'peak RSS, MB',
    ],
    passes.map((pass) => {
      const mine = samples.filter((sample) => sample.pass === pass);
      const times = mine.map((sample) => sample.tookMs);
      const moved = mine[0]?.moved ?? 0;
      const perSecond = moved === 0 ? '-' : String(Math.round((moved / median(times)) * 1000));
      return [
        pass,
        String(moved),
        ms(median(times)),
        ms(Math.min(...times)),
        ms(Math.max(...times)),
        perSecond,
        String(median(mine.map((sample) => sample.statements))),
        String(Math.round(Math.max(...mine.map((sample) => sample.peakRssMb)))),
      ];
    }),
  );
}
