/**
 * Pulling the plug: SIGKILL to the whole process, twenty times, at random moments of a two-way sync
 * of 500 items, with both sides edited while it lies there. Nothing may be lost, nothing doubled.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { Memory } from '../../domain/item.ts';
import { startSyncline, type SynclineProcess } from '../support/syncline-process.ts';
import { createRandom } from '../support/random.ts';
import {
  createTwoSides,
  graphText,
  linkBoth,
  memory,
  type TwoSides,
} from '../support/two-sides.ts';

const KILLS = 20;
const EACH_SIDE = 250;
const EDITS_PER_KILL = 3;
/** A pass over these items takes about this long, ms: kills fall anywhere in it. */
const PASS_MS = 600;

const SEED = Number(process.env['SYNCLINE_TEST_SEED'] ?? Date.now() % 1_000_000);
const random = createRandom(SEED);

let syncline: SynclineProcess;
let database: pg.Client;

beforeAll(async () => {
  syncline = await startSyncline({ isStarted: false });
  database = new pg.Client({ connectionString: syncline.databaseUrl });
  await database.connect();
}, 120_000);
afterAll(async () => {
  await database.end();
  await syncline.close();
});

it(`survives ${KILLS} kills during a two-way sync of ${2 * EACH_SIDE} items (seed ${SEED})`, async () => {
  const sides = await createTwoSides(syncline.folder, initialContent());
  const expected = new Map(
    [...sides.sections(), ...sides.entities()].map(([name, { observations }]) => [
      name,
      [...observations],
    ]),
  );
  await syncline.start();
  await linkBoth(syncline.client, sides);
  for (let nth = 1; nth <= KILLS; nth += 1) {
    await aPassBegins();
    // Not a wait for anything: the moment of the kill is what is random here.
    await delay(random.upTo(PASS_MS));
    await syncline.kill();
    if (nth % 2 === 0) await editBoth(sides, nth, expected);
    await syncline.start();
  }
  await vi.waitFor(
    () => {
      expect(observationsOf(sides.entities())).toEqual(sorted(expected));
      expect(sides.sections()).toEqual(sides.entities());
    },
    { timeout: 60_000, interval: 100 },
  );
  everyFactStandsOnce(readFileSync(sides.memories, 'utf8'), expected);
  const { items } = await syncline.client.conflicts.list({});
  expect(items).toEqual([]);
  expect(await hubKeys(sides.prefix)).toHaveLength(2 * EACH_SIDE);
}, 300_000);

function initialContent(): { markdown: string; graph: readonly Memory[] } {
  const names = Array.from({ length: EACH_SIDE }, (_, nth) => String(nth).padStart(3, '0'));
  const sections = names.map(
    (nth) => `## Section ${nth}\n\n- fact ${nth} of the file\n- other fact ${nth} of the file\n`,
  );
  return {
    markdown: `# Memories\n\n${sections.join('\n')}`,
    graph: names.map((nth) =>
      memory(`Entity ${nth}`, [`fact ${nth} of the graph`, `other fact ${nth} of the graph`]),
    ),
  };
}

async function hubKeys(prefix: string): Promise<readonly string[]> {
  const { items, nextCursor } = await syncline.client.list({ prefix, limit: 1000 });
  expect(nextCursor).toBeNull();
  return items.map(({ key }) => key);
}

/** The next pass of any link: its fence goes up. */
async function aPassBegins(): Promise<void> {
  const before = await fences();
  await vi.waitFor(async () => expect(await fences()).not.toBe(before), {
    timeout: 60_000,
    interval: 10,
  });
}

async function fences(): Promise<string> {
  const { rows } = await database.query<{ sum: string }>(
    'SELECT coalesce(sum(fence), 0)::text AS sum FROM context_system.sync_links',
  );
  return rows[0]!.sum;
}

/** Both sides as other programs edit them, while ours is dead. */
async function editBoth(
  sides: TwoSides,
  nth: number,
  expected: Map<string, string[]>,
): Promise<void> {
  // A memory server that outlives us by a moment may still be writing.
  await syncline.whenGone();
  const facts = (side: string): string[] =>
    Array.from({ length: EDITS_PER_KILL }, (_, at) => `${side} edit ${nth}.${at}`);
  let text = readFileSync(sides.memories, 'utf8');
  for (const fact of facts('file')) {
    const name = random.pick(
      [...sides.sections().keys()].filter((each) => text.includes(`## ${each}\n\n`)),
    );
    text = text.replace(`## ${name}\n\n`, `## ${name}\n\n- ${fact}\n`);
    expected.get(name)!.push(fact);
  }
  writeFileSync(sides.memories, text);
  const entities = new Map(sides.entities());
  for (const fact of facts('graph')) {
    const entity = random.pick([...entities.values()]);
    entities.set(entity.name, { ...entity, observations: [...entity.observations, fact] });
    expected.get(entity.name)!.push(fact);
  }
  writeFileSync(sides.memoryFile, graphText([...entities.values()]));
}

function observationsOf(side: ReadonlyMap<string, Memory>): [string, readonly string[]][] {
  return sorted(new Map([...side].map(([name, { observations }]) => [name, [...observations]])));
}

function sorted(facts: ReadonlyMap<string, readonly string[]>): [string, readonly string[]][] {
  return [...facts]
    .map(([name, texts]): [string, string[]] => [name, [...texts].sort()])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The graph is checked where it is read; in Markdown a doubled block would be one observation. */
function everyFactStandsOnce(
  markdown: string,
  expected: ReadonlyMap<string, readonly string[]>,
): void {
  const lines = markdown.split('\n');
  const bullets = lines.filter((line) => line.startsWith('- ')).map((line) => line.slice(2));
  expect(bullets.sort()).toEqual([...expected.values()].flat().sort());
  const headings = lines.filter((line) => line.startsWith('## ')).map((line) => line.slice(3));
  expect(headings.sort()).toEqual([...expected.keys()].sort());
}
