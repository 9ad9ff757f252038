/**
 * Many links with little to do: what an idle minute costs, and how soon a single edit is settled.
 * Real Postgres, the embedded Temporal, the engine in this process, remotes in memory. Most remotes
 * give hints; one in five can only be polled, and is seen at its link's next look.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createFakeRemote, type FakeRemote } from '../connectors/fake/fake-remote.ts';
import { createFakeType } from '../connectors/fake/fake-type.ts';
import { startGuardian } from '../dev/guardian.ts';
import { startTemporal } from '../dev/temporal.ts';
import { waitUntil } from '../dev/wait-until.ts';
import type { Caller } from '../domain/context.ts';
import type { ContextKey } from '../domain/ids.ts';
import type { Memory } from '../domain/item.ts';
import { DEFAULT_GUARDS } from '../domain/link.ts';
import { slugOfName } from '../domain/slug.ts';
import { testDatabase } from '../test/support/servers.ts';
import { startSyncStack, type SyncStack } from '../test/support/sync-stack.ts';
import { startBenchPostgres } from './bench-postgres.ts';
import { ms, percentile, spread, SPREAD_HEAD, table } from './figures.ts';
import { describeMachine } from './machine.ts';
import type { Bench } from './main.ts';
import { countOf } from './options.ts';
import { treeCpuMs } from './process-cpu.ts';

const TENANTS = 10;
const ITEMS = 3;
const PULSE_MS = 5_000;
/** One remote in so many cannot be watched. */
const POLLED_IN = 5;
const LONGEST_MS = 90_000;
const FIRST_SYNC_MS = 1_800_000;
/** Pause between two edits: between these two. */
const PAUSE_MS = { from: 50, to: 250 };

export const manyLinks: Bench = {
  about: 'CPU of an idle minute with many links, and ms from a single edit to its settling',
  usage: '[--links 1000] [--edits 200] [--calm 120] [--idle 60]   (calm, idle: seconds)',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        links: { type: 'string', default: '1000' },
        edits: { type: 'string', default: '200' },
        calm: { type: 'string', default: '120' },
        idle: { type: 'string', default: '60' },
      },
    });
    await measureAll({
      links: countOf(values.links, '--links'),
      edits: countOf(values.edits, '--edits'),
      calmMs: countOf(values.calm, '--calm') * 1_000,
      idleMs: countOf(values.idle, '--idle') * 1_000,
    });
  },
};

interface Sizes {
  readonly links: number;
  readonly edits: number;
  /** How long nothing happens before the idle time is measured: rests grow, workflows end. */
  readonly calmMs: number;
  readonly idleMs: number;
}

interface Servers {
  readonly temporal: { readonly address: string; readonly pid: number };
  readonly databaseUrl: string;
  readonly postgresName: string;
  stop(): Promise<void>;
}

async function startServers(): Promise<Servers> {
  const postgres = await startBenchPostgres();
  process.env['TEST_DATABASE_URL'] = postgres.url;
  const where = await testDatabase();
  const home = mkdtempSync(join(tmpdir(), 'syncline-bench-'));
  const guardian = startGuardian();
  const temporal = await startTemporal({
    home,
    preferredPort: 0,
    tell: () => undefined,
    guardian,
    mayInstall: false,
    isHeadless: true,
  });
  return {
    temporal: { address: temporal.address, pid: temporal.pid },
    databaseUrl: where.url,
    postgresName: postgres.name,
    async stop() {
      await temporal.stop();
      await where.drop();
      await postgres.stop();
      await guardian.stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

interface Linked {
  readonly caller: Caller;
  readonly remote: FakeRemote;
  readonly prefix: string;
  readonly isPolled: boolean;
}

interface Setting {
  readonly stack: SyncStack;
  readonly linked: ReadonlyMap<string, Linked>;
  /** Called when a pass of that link has written something. */
  readonly onSettled: Map<string, () => void>;
}

async function measureAll(sizes: Sizes): Promise<void> {
  const servers = await startServers();
  process.stdout.write(
    `many-links · ${describeMachine()}\n${sizes.links} links of ${TENANTS} tenants, ${ITEMS} items each, one remote in ${POLLED_IN} polled; hub on ${servers.postgresName}; pulse ${PULSE_MS} ms\n\n`,
  );
  const onSettled = new Map<string, () => void>();
  const remotes = new Map<string, FakeRemote>([['none', createFakeRemote({ grade: 'A' })]]);
  const stack = await startSyncStack({
    databaseUrl: servers.databaseUrl,
    temporalAddress: servers.temporal.address,
    taskQueue: `bench-${randomUUID()}`,
    types: [createFakeType(remotes)],
    pulseMs: PULSE_MS,
    maxWatched: sizes.links,
    maxLivePerProcess: 50,
    onPass: ({ linkId }, { counters }) => {
      if (counters.applied > 0) onSettled.get(linkId)?.();
    },
  });
  try {
    const linked = await linkAll({ stack, remotes, links: sizes.links });
    const setting: Setting = { stack, linked, onSettled };
    const edits = await makeEdits(setting, sizes.edits);
    const idle = await idleTime(servers, sizes);
    process.stdout.write(`\n${report(edits, idle)}\n`);
  } finally {
    await stack.close();
    await servers.stop();
  }
}

/** Links all remotes and waits until each has had its first sync. */
async function linkAll(given: {
  stack: SyncStack;
  remotes: Map<string, FakeRemote>;
  links: number;
}): Promise<Map<string, Linked>> {
  const { stack, remotes, links } = given;
  const began = performance.now();
  const callers = await Promise.all(
    Array.from({ length: TENANTS }, (_, nth) => stack.addTenant(`tenant-${nth}`)),
  );
  await stack.startPulse();
  const linked = new Map<string, Linked>();
  for (let nth = 0; nth < links; nth += 1) {
    const isPolled = nth % POLLED_IN === 0;
    const remote = createFakeRemote({ grade: 'A', canWatch: !isPolled });
    for (let item = 0; item < ITEMS; item += 1) remote.put(memory(item, 'first'));
    remotes.set(`remote-${nth}`, remote);
    const caller = callers[nth % TENANTS]!;
    const prefix = `link-${nth}/`;
    const { id } = await stack.store.links.create(caller, {
      name: `link-${nth}`,
      connector: 'fake',
      config: { remote: `remote-${nth}` },
      scope: { prefix },
      direction: 'both',
      strategy: 'three-way',
      strategies: [],
      intervalMs: 5_000,
      trigger: 'auto',
      guards: DEFAULT_GUARDS,
    });
    linked.set(id, { caller, remote, prefix, isPolled });
  }
  await waitUntil(async () => ((await settledLinks(stack)) === links ? true : null), {
    timeoutMs: FIRST_SYNC_MS,
    everyMs: 500,
  });
  const took = ms(performance.now() - began);
  process.stdout.write(`${links} links made and synced for the first time in ${took} ms\n`);
  return linked;
}

async function settledLinks(stack: SyncStack): Promise<number> {
  const [row] = await stack.database.withSystem((tx) =>
    tx.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM sync_links WHERE last_settled_at IS NOT NULL',
    ),
  );
  return row!.count;
}

function memory(nth: number, fact: string): Memory {
  return { name: `Item ${nth}`, type: 'bench', observations: [fact], relations: [] };
}

const HUB = 'hub write';
const HINTED = 'remote edit, watched';
const POLLED = 'remote edit, polled';
type Edits = Readonly<Record<typeof HUB | typeof HINTED | typeof POLLED, readonly number[]>>;

/** Single edits on random links, one side and the other in turn. */
async function makeEdits(setting: Setting, count: number): Promise<Edits> {
  const took: Record<keyof Edits, number[]> = { [HUB]: [], [HINTED]: [], [POLLED]: [] };
  const all = [...setting.linked];
  const waiting: Promise<void>[] = [];
  for (let nth = 0; nth < count; nth += 1) {
    await delay(PAUSE_MS.from + Math.random() * (PAUSE_MS.to - PAUSE_MS.from));
    const [id, link] = all[Math.floor(Math.random() * all.length)]!;
    // One edit per link at a time, so that a settling is told apart from another's.
    if (setting.onSettled.has(id)) continue;
    const isHub = nth % 2 === 0;
    const kind = isHub ? HUB : link.isPolled ? POLLED : HINTED;
    waiting.push(oneEdit(setting, { id, link, isHub }).then((each) => void took[kind].push(each)));
  }
  await Promise.all(waiting);
  return took;
}

async function oneEdit(
  { stack, onSettled }: Setting,
  { id, link, isHub }: { id: string; link: Linked; isHub: boolean },
): Promise<number> {
  const edited = memory(0, `fact ${randomUUID()}`);
  let madeAt = performance.now();
  const settled = new Promise<number>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${id} was not settled`)), LONGEST_MS);
    onSettled.set(id, () => {
      clearTimeout(timer);
      resolve(performance.now() - madeAt);
    });
  });
  if (isHub) {
    const key = `${link.prefix}${slugOfName(edited.name)}` as ContextKey;
    await stack.store.contexts.store(link.caller, {
      key,
      data: edited,
      options: { kind: 'memory', ttl: null },
    });
    // From the acknowledgement; a pass may have been quicker than that.
    madeAt = performance.now();
  } else {
    link.remote.put(edited);
  }
  return settled.finally(() => onSettled.delete(id));
}

type Idle = Readonly<Record<string, number>>;

/** CPU ms per second of what runs here, while nothing happens. */
async function idleTime(servers: Servers, { calmMs, idleMs }: Sizes): Promise<Idle> {
  await delay(calmMs);
  const before = cpuNow(servers);
  await delay(idleMs);
  const after = cpuNow(servers);
  return Object.fromEntries(
    Object.entries(after).map(([name, cpu]) => [name, ((cpu - before[name]!) / idleMs) * 1_000]),
  );
}

function cpuNow({ temporal }: Servers): Record<string, number> {
  const { user, system } = process.cpuUsage();
  return {
    'this process (engine, worker)': (user + system) / 1_000,
    'Temporal server': treeCpuMs(temporal.pid),
  };
}

function report(edits: Edits, idle: Idle): string {
  const woken = [...edits[HUB], ...edits[HINTED]];
  const limit = PULSE_MS + 1_000;
  const p95 = percentile(woken, 95);
  const total = Object.values(idle).reduce((sum, cpu) => sum + cpu, 0);
  return [
    table(
      ['ms from edit to settled', ...SPREAD_HEAD],
      Object.entries(edits)
        .filter(([, samples]) => samples.length > 0)
        .map(([name, samples]) => [`${name} (${samples.length})`, ...spread(samples)]),
    ),
    table(
      ['idle', 'CPU, % of one core'],
      [...Object.entries(idle), ['together', total] as const].map(([name, cpu]) => [
        name,
        (cpu / 10).toFixed(1),
      ]),
    ),
    `wake to settled: p95 ${ms(p95)} ms, required < ${limit}: ${p95 < limit ? 'met' : 'NOT MET'}`,
  ].join('\n\n');
}
