/**
 * How soon an edit on one side is seen on the other: the product as its user starts it, with the
 * embedded stack, a Factory project and a real MCP memory server under one prefix. Nobody calls
 * anything: files are edited and files are watched.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { ContextClient, Run } from '../client/index.ts';
import { waitUntil } from '../dev/wait-until.ts';
import { memorySchema } from '../domain/item.ts';
import { slugOfName } from '../domain/slug.ts';
import type { ForeignMemory } from '../test/conformance/memory-workspace.ts';
import { createTwoSides, linkBoth, type TwoSides } from '../test/support/two-sides.ts';
import { awaitText } from './await-text.ts';
import { median, ms, percentile, spread, SPREAD_HEAD, table } from './figures.ts';
import { describeMachine } from './machine.ts';
import type { Bench } from './main.ts';
import { countOf } from './options.ts';
import { startProduct, type Product } from './product.ts';
import { phasesOf, runsSince, type Trip } from './run-phases.ts';

/** Sections and entities there are besides the one that is edited. */
const OTHERS = 20;
const EDITED = 'Preferences';
/** An edit that takes longer than this has failed. */
const LONGEST_MS = 30_000;
/** Pause between two edits: between these two, so that no timer of the product is met in step. */
const PAUSE_MS = { from: 250, to: 750 };
const WARM_UP = 5;
/** Required of the embedded stack. */
const MAX_EDIT_P95_MS = 1000;
const MAX_WRITE_P50_MS = 100;

export const syncLatency: Bench = {
  about:
    'ms from an edit on one side to its effect on the other, and from a hub write to the remote',
  usage: '[--edits 100] [--writes 50]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        edits: { type: 'string', default: '100' },
        writes: { type: 'string', default: '50' },
      },
    });
    const edits = countOf(values.edits, '--edits');
    const writes = countOf(values.writes, '--writes');
    process.stdout.write(`sync-latency · ${describeMachine()}\n`);
    const began = performance.now();
    const product = await startProduct();
    try {
      process.stdout.write(`product up after ${ms(performance.now() - began)} ms\n`);
      await measureAll(product, { edits, writes });
    } finally {
      await product.close();
    }
  },
};

const TO_GRAPH = 'memories.md to MCP';
const TO_FILE = 'MCP to memories.md';
const FROM_HUB = 'hub write to MCP';
const WAYS = [TO_GRAPH, TO_FILE, FROM_HUB] as const;
type Way = (typeof WAYS)[number];
type Trips = Readonly<Record<Way, readonly Trip[]>>;

async function measureAll(
  product: Product,
  counts: { edits: number; writes: number },
): Promise<void> {
  const { client, folder } = product;
  const sides = await createTwoSides(folder, { markdown: firstMarkdown() });
  const linkedAt = performance.now();
  const links = await linkBoth(client, sides);
  await untilCopied(sides);
  process.stdout.write(
    `first sync of ${OTHERS + 1} items done ${ms(performance.now() - linkedAt)} ms after linking\n`,
  );
  const foreign = await sides.startForeign();
  try {
    await makeTrips({ client, sides, foreign }, { edits: WARM_UP, writes: WARM_UP });
    const since = Date.now();
    const trips = await makeTrips({ client, sides, foreign }, counts);
    await delay(PAUSE_MS.to);
    const runs = {
      factory: await runsSince(client, links.factory.id, since),
      memory: await runsSince(client, links.memory.id, since),
    };
    process.stdout.write(`\n${report(trips, runs)}\n`);
  } finally {
    await foreign.close();
  }
}

/** The edited section comes last, so that a bullet appended to the file is one of its own. */
function firstMarkdown(): string {
  const names = Array.from({ length: OTHERS }, (_, nth) => `Section ${nth + 1}`);
  const sections = names.map((name) => `## ${name}\n\n- a fact of ${name}\n- another one\n`);
  return `# Memories\n\n${sections.join('\n')}\n## ${EDITED}\n\n- the first\n`;
}

async function untilCopied(sides: TwoSides): Promise<void> {
  const look = async (): Promise<true | null> =>
    sides.entities().size === OTHERS + 1 ? true : null;
  await waitUntil(look, { timeoutMs: LONGEST_MS, everyMs: 10 });
}

interface Parties {
  readonly client: ContextClient;
  readonly sides: TwoSides;
  readonly foreign: ForeignMemory;
}

/** Edits one side and the other in turn, then writes to the hub; each is waited for. */
async function makeTrips(
  parties: Parties,
  counts: { edits: number; writes: number },
): Promise<Trips> {
  const { sides } = parties;
  const trips: Record<Way, Trip[]> = { [TO_GRAPH]: [], [TO_FILE]: [], [FROM_HUB]: [] };
  for (let nth = 0; nth < counts.edits; nth += 1) {
    const [way, file, edit]: [Way, string, Edit] =
      nth % 2 === 0
        ? [TO_GRAPH, sides.memoryFile, addBullet]
        : [TO_FILE, sides.memories, addObservation];
    trips[way].push(await oneTrip(parties, file, edit));
  }
  for (let nth = 0; nth < counts.writes; nth += 1) {
    trips[FROM_HUB].push(await oneTrip(parties, sides.memoryFile, writeToHub));
  }
  return trips;
}

/** Makes an edit with this text; answers when it was made. */
type Edit = (parties: Parties, text: string) => Promise<number>;

async function oneTrip(parties: Parties, file: string, edit: Edit): Promise<Trip> {
  await delay(PAUSE_MS.from + Math.random() * (PAUSE_MS.to - PAUSE_MS.from));
  const text = `fact ${randomUUID()}`;
  const seen = awaitText(file, text, LONGEST_MS);
  const [madeAt, seenAt] = await Promise.all([edit(parties, text), seen]);
  return { madeAt: performance.timeOrigin + madeAt, seenAt: performance.timeOrigin + seenAt };
}

/** From just before the bullet is written. */
async function addBullet({ sides }: Parties, text: string): Promise<number> {
  const madeAt = performance.now();
  sides.addBullet(text);
  return madeAt;
}

/** From just before the other memory server is told: its own work is part of the time. */
async function addObservation({ foreign }: Parties, text: string): Promise<number> {
  const madeAt = performance.now();
  await foreign.call('add_observations', {
    observations: [{ entityName: EDITED, contents: [text] }],
  });
  return madeAt;
}

/** From the acknowledgement of the write. */
async function writeToHub({ client, sides }: Parties, text: string): Promise<number> {
  const key = `${sides.prefix}${slugOfName(EDITED)}`;
  const { data, version } = (await client.get(key))!;
  const { observations, ...rest } = memorySchema.parse(data);
  await client.update(
    key,
    { ...rest, observations: [...observations, text] },
    { ifVersion: version },
  );
  return performance.now();
}

type Runs = Readonly<Record<'factory' | 'memory', readonly Run[]>>;

function report(trips: Trips, runs: Runs): string {
  const factory = { name: 'factory link', runs: runs.factory };
  const graph = { name: 'memory link', runs: runs.memory };
  const parts = [
    totals(trips),
    phases(TO_GRAPH, trips, [factory, graph]),
    phases(TO_FILE, trips, [graph, factory]),
    phases(FROM_HUB, trips, [graph]),
    verdict(trips),
  ];
  return parts.join('\n\n');
}

function totals(trips: Trips): string {
  const rows = WAYS.map((way) => [way, ...spread(trips[way].map(tookMs))]);
  return table(['ms from edit (or acknowledgement) to effect', ...SPREAD_HEAD], rows);
}

function phases(way: Way, trips: Trips, links: Parameters<typeof phasesOf>[1]): string {
  const known = trips[way].map((trip) => phasesOf(trip, links)).filter((times) => times !== null);
  const names = [...new Set(known.flatMap((times) => [...times.keys()]))];
  const rows = names.map((name) => [
    name,
    ...spread(known.flatMap((times) => times.get(name) ?? [])),
  ]);
  return table([`${way}, phases, ms`, ...SPREAD_HEAD], rows);
}

function verdict(trips: Trips): string {
  const edits = [...trips[TO_GRAPH], ...trips[TO_FILE]].map(tookMs);
  const p95 = percentile(edits, 95);
  const p50 = median(trips[FROM_HUB].map(tookMs));
  const said = (isMet: boolean): string => (isMet ? 'met' : 'NOT MET');
  return [
    `an edit is on the other side: p95 ${ms(p95)} ms, required < ${MAX_EDIT_P95_MS}: ${said(p95 < MAX_EDIT_P95_MS)}`,
    `a hub write is on the remote: p50 ${ms(p50)} ms, required < ${MAX_WRITE_P50_MS}: ${said(p50 < MAX_WRITE_P50_MS)}`,
  ].join('\n');
}

const tookMs = ({ madeAt, seenAt }: Trip): number => seenAt - madeAt;
