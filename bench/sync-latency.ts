/**
 * How soon an edit on one side is seen on the other: the product as its user starts it, with the
 * embedded stack, a Factory project and a real MCP memory server under one prefix. Nobody calls
 * anything: files are edited and files are watched.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { ContextClient, Run } from '../client/index.ts';
import { AppError } from '../domain/errors.ts';
import type { Json, JsonObject } from '../domain/json.ts';
import type { ForeignMemory } from '../test/conformance/memory-workspace.ts';
import { createTwoSides, linkBoth, memory, type TwoSides } from '../test/support/two-sides.ts';
import { awaitText } from './await-text.ts';
import { median, ms, percentile, spread, SPREAD_HEAD, table } from './figures.ts';
import { describeMachine } from './machine.ts';
import type { Bench } from './main.ts';
import { countOf } from './options.ts';
import { startProduct, type Product } from './product.ts';
import { phasesOf, runsSince, type PhaseTimes, type Trip } from './run-phases.ts';

/** Sections and entities there are besides the one that is edited. */
const OTHERS = 20;
const EDITED = 'Preferences';
/** An edit that takes longer than this has failed. */
const LONGEST_MS = 30_000;
/** Pause between two edits: between these two, so that no timer of the product is met in step. */
const PAUSE_MS = { from: 250, to: 750 };
const WARM_UP = 5;

export const syncLatency: Bench = {
  about: 'ms from an edit on one side to its effect on the other, and from a hub write to the remote',
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

type Way = 'memories.md to MCP' | 'MCP to memories.md' | 'hub write to MCP';
type Trips = Readonly<Record<Way, readonly Trip[]>>;

async function measureAll(product: Product, counts: { edits: number; writes: number }): Promise<void> {
  const { client, folder } = product;
  const sides = await createTwoSides(folder, firstContent());
  const linkedAt = performance.now();
  const links = await linkBoth(client, sides);
  await untilEqual(sides);
  process.stdout.write(`first sync of ${OTHERS + 1} items done ${ms(performance.now() - linkedAt)} ms after linking\n`);
  const foreign = await sides.startForeign();
  try {
    await makeTrips({ client, sides, foreign }, { edits: WARM_UP, writes: WARM_UP });
    const since = Date.now();
    const trips = await makeTrips({ client, sides, foreign }, counts);
    await delay(PAUSE_MS.to);
    const factory = { name: 'factory', runs: await runsSince(client, links.factory.id, since) };
    const graph = { name: 'memory', runs: await runsSince(client, links.memory.id, since) };
    process.stdout.write(`\n${report(trips, { factory, memory: graph })}\n`);
  } finally {
    await foreign.close();
  }
}

/** The edited section comes last, so that a bullet appended to the file is one of its own. */
function firstContent(): { markdown: string; graph: ReturnType<typeof memory>[] } {
  const names = Array.from({ length: OTHERS / 2 }, (_, nth) => nth + 1);
  const sections = names.map((nth) => `## Section ${nth}\n\n- a fact of section ${nth}\n- another one\n`);
  return {
    markdown: `# Memories\n\n${sections.join('\n')}\n## ${EDITED}\n\n- the first\n`,
    graph: [memory(EDITED, ['the first']), ...names.map((nth) => memory(`Entity ${nth}`, [`a fact of entity ${nth}`]))],
  };
}

async function untilEqual(sides: TwoSides): Promise<void> {
  const deadline = performance.now() + LONGEST_MS;
  while (sides.sections().size !== OTHERS + 1 || sides.entities().size !== OTHERS + 1) {
    if (performance.now() > deadline) throw new AppError('INTERNAL', 'the first sync does not end');
    await delay(10);
  }
  // New sections may have been put below the edited one: it goes back to the end of the file.
  sides.moveToEnd?.(EDITED);
}

interface Parties {
  readonly client: ContextClient;
  readonly sides: TwoSides;
  readonly foreign: ForeignMemory;
}
