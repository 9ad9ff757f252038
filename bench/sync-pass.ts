/**
 * What one small pass costs once a link is in step: round trips to Postgres, CPU of this process and of
 * Postgres' own, and its statements by their time. CPU and counts mean something on a busy machine
 * too, where times do not. Two of the round trips are the test engine's own.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { createFakeRemote, type FakeRemote } from '../connectors/fake/fake-remote.ts';
import { createFakeType } from '../connectors/fake/fake-type.ts';
import { AppError } from '../domain/errors.ts';
import { itemKey } from '../domain/item.ts';
import { CALLER, createTestEngine, type TestEngine } from '../test/support/engine.ts';
import { benchItem } from './bench-item.ts';
import { startBenchPostgres } from './bench-postgres.ts';
import { countStatements } from './count-statements.ts';
import { median, ms, table } from './figures.ts';
import { describeMachine } from './machine.ts';
import type { Bench } from './main.ts';
import { countOf } from './options.ts';

export const syncPass: Bench = {
  about: 'round trips, CPU and statements of a pass over a few changes on both sides',
  usage: '[--items 10000] [--changes 200] [--rounds 9]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        items: { type: 'string', default: '10000' },
        changes: { type: 'string', default: '200' },
        rounds: { type: 'string', default: '9' },
      },
    });
    const [items, changes] = [
      countOf(values.items, '--items'),
      countOf(values.changes, '--changes'),
    ];
    if (changes > items) throw new AppError('VALIDATION', '--changes must not exceed --items');
    await measure({ items, changes, rounds: countOf(values.rounds, '--rounds') });
  },
};

interface Size {
  readonly items: number;
  readonly changes: number;
  readonly rounds: number;
}

interface Sample {
  readonly trips: number;
  readonly tookMs: number;
  readonly ownCpuMs: number;
  readonly postgresCpuMs: number;
}

interface Statement {
  readonly sql: string;
  readonly execMs: number;
}

async function measure({ items, changes, rounds }: Size): Promise<void> {
  const postgres = await startBenchPostgres();
  process.env['TEST_DATABASE_URL'] = postgres.url;
  const statements = countStatements();
  const far = createFakeRemote({ grade: 'A' });
  for (let nth = 0; nth < items; nth += 1) far.put(benchItem(nth, 'first'));
  const engine = await createTestEngine({ types: [createFakeType(new Map([['far', far]]))] });
  const looker = await openLooker(postgres.url, engine.databaseUrl);
  try {
    const link = await engine.addLink('fake', { remote: 'far' });
    await engine.drain(link);
    const sample = async (): Promise<Sample> => {
      const [cpu, postgresCpu, began] = [
        process.cpuUsage(),
        await backendsCpuMs(looker),
        performance.now(),
      ];
      statements.take();
      await engine.drain(link);
      const [trips, tookMs] = [statements.take(), performance.now() - began];
      const { user, system } = process.cpuUsage(cpu);
      const postgresCpuMs = (await backendsCpuMs(looker)) - postgresCpu;
      return { trips, tookMs, ownCpuMs: (user + system) / 1_000, postgresCpuMs };
    };
    const passes = new Map<string, Sample[]>([
      [`${changes} changes`, []],
      ['nothing', []],
    ]);
    const seen: Statement[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await change({ engine, far }, { items, changes, wording: `round ${round}` });
      await looker.look('SELECT pg_stat_statements_reset()');
      passes.get(`${changes} changes`)!.push(await sample());
      seen.push(...(await looker.look<Statement>(SELECT_STATEMENTS)));
      passes.get('nothing')!.push(await sample());
    }
    process.stdout.write(`sync-pass · ${describeMachine()}\n${postgres.name}, ${items} items\n\n`);
    process.stdout.write(`${report(passes)}\n\n${slowest(seen)}\n`);
  } finally {
    await looker.close();
    await engine.close();
    await postgres.stop();
  }
}

/** Half of the changes on each side, on items apart. */
async function change(
  { engine, far }: { engine: TestEngine; far: FakeRemote },
  { items, changes, wording }: { items: number; changes: number; wording: string },
): Promise<void> {
  const step = Math.floor(items / changes);
  for (let nth = 0; nth < changes; nth += 1) {
    const data = benchItem(nth * step, wording);
    if (nth % 2 === 0) far.put(data);
    else {
      const key = itemKey('p/', 'memory', data.name);
      const options = { kind: 'memory', ttl: null };
      await engine.store.contexts.store(CALLER, { key, data, options });
    }
  }
}

const SELECT_STATEMENTS = `
SELECT regexp_replace(query, '\\s+', ' ', 'g') AS sql, total_exec_time::float8 AS "execMs"
FROM pg_stat_statements
WHERE toplevel AND dbid = (SELECT oid FROM pg_database WHERE datname = current_setting('bench.name'))`;

const SELECT_BACKENDS = `SELECT pid FROM pg_stat_activity WHERE datname = current_setting('bench.name')`;

interface Looker {
  /** No rows where the extension is not loaded. */
  look<Row extends object>(sql: string): Promise<Row[]>;
  close(): Promise<void>;
}

/** Looks at the engine's database from beside it. */
async function openLooker(url: string, databaseUrl: string): Promise<Looker> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const name = new URL(databaseUrl).pathname.slice(1);
  await client.query(`SELECT set_config('bench.name', $1, false)`, [name]);
  return {
    look: <Row extends object>(sql: string) =>
      client.query<Row>(sql).then(
        ({ rows }) => rows,
        () => [],
      ),
    close: () => client.end(),
  };
}

/** CPU time of the engine's connections so far, by the kernel's scheduler; 0 on another machine. */
async function backendsCpuMs(looker: Looker): Promise<number> {
  const rows = await looker.look<{ pid: number }>(SELECT_BACKENDS);
  return rows.reduce((sum, { pid }) => sum + cpuMsOf(pid), 0);
}

function cpuMsOf(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
  } catch {
    return 0;
  }
}

function report(passes: ReadonlyMap<string, readonly Sample[]>): string {
  const rows = [...passes].map(([name, samples]) => {
    const middle = (of: (sample: Sample) => number): number => median(samples.map(of));
    return [
      name,
      String(middle(({ trips }) => trips)),
      ms(middle(({ tookMs }) => tookMs)),
      ms(middle(({ ownCpuMs }) => ownCpuMs)),
      ms(middle(({ postgresCpuMs }) => postgresCpuMs)),
    ];
  });
  return table(['median', 'round trips', 'ms', 'CPU here, ms', 'CPU Postgres, ms'], rows);
}

/** The statements by their median time. */
function slowest(seen: readonly Statement[]): string {
  if (seen.length === 0) return 'statements: load pg_stat_statements to see them';
  const rows = [...groupedBySql(seen)]
    .map(([sql, times]) => ({ sql, middle: median(times) }))
    .sort((a, b) => b.middle - a.middle)
    .slice(0, 12)
    .map(({ sql, middle }) => [sql.slice(0, 90), ms(middle)]);
  return table(['statement', 'ms'], rows);
}

function groupedBySql(seen: readonly Statement[]): Map<string, number[]> {
  const bySql = new Map<string, number[]>();
  for (const { sql, execMs } of seen) {
    const times = bySql.get(sql);
    if (times) times.push(execMs);
    else bySql.set(sql, [execMs]);
  }
  return bySql;
}
