/**
 * What no edit touched in `memories.md` stays byte for byte, however much is edited on the other
 * side: a real file, a real memory server, the engine's own steps (without Temporal, for speed).
 */
import { readFileSync, realpathSync, rmSync, statSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { factoryFiles } from '../../connectors/factory-files/factory-files.ts';
import { mcpMemory } from '../../connectors/mcp-memory/mcp-memory.ts';
import type { Memory } from '../../domain/item.ts';
import type { ForeignMemory } from '../conformance/memory-workspace.ts';
import { createTestEngine, type TestEngine } from '../support/engine.ts';
import { createRandom, type Random } from '../support/random.ts';
import { createTwoSides, memory, type TwoSides } from '../support/two-sides.ts';

const EDITS = 200;
const SEED = Number(process.env['SYNCLINE_TEST_SEED'] ?? Date.now() % 1_000_000);

let folder: string;
let engine: TestEngine;

beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'syncline-bytes-')));
  engine = await createTestEngine({
    types: [factoryFiles, mcpMemory],
    fileRoots: [folder],
    stdioCommands: [process.execPath],
  });
});
afterAll(async () => {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
});

async function linked(sides: TwoSides) {
  const scope = { prefix: sides.prefix };
  const factory = await engine.addLink('factory-files', sides.factoryConfig, { scope });
  const graph = await engine.addLink('mcp-memory', sides.memoryConfig, { scope });
  return {
    /** Both links, until neither has anything left to do. */
    async sync(): Promise<number> {
      let applied = 0;
      for (let isQuiet = false; !isQuiet;) {
        const results = [await engine.drain(graph), await engine.drain(factory)];
        for (const result of results)
          expect(result).toMatchObject({ status: 'settled', error: null });
        const written = results.reduce((sum, { counters }) => sum + counters.applied, 0);
        applied += written;
        isQuiet = written === 0;
      }
      return applied;
    },
  };
}

/** Sections nobody edits, in shapes people write. Line ends are put in afterwards. */
const UNTOUCHED: readonly string[] = [
  '# Team   memory  ##\n\nIntro with *emphasis*,  two spaces, and a trailing space \n<!-- a comment -->\n\n',
  '## Prose only\nFirst line\nsecond line of the same paragraph.\n\n\n\nAfter three blank lines.\n\n',
  'Setext heading\n--------------\n\n* star bullet\n* another\n\n    indented code\n\n',
  '## Code\n\n```ts\nconst x = 1;   \n## not a heading\n- not a bullet\n```\n\n',
  '## Nested\n\n1. one\n   - deep\n     - deeper\n2. two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n',
  '### 2026-01-03: Use Postgres\n\n**Decision**: Postgres.\n**Why**: one store.\n***\n\n',
  '## Ünïcode ☃ 漢字\n\n- naïve café\n- 👩‍👩‍👧 family\n\n',
];
/** Sections that are edited: bullets with unique texts. */
const EDITED = ['Preferences', 'Conventions', 'People'];

function documentText(random: Random): string {
  const edited = EDITED.map((name) => {
    const bullets = Array.from({ length: 6 }, (_, nth) => `- original ${name} ${nth}\n`).join('');
    return `## ${name}\n\n${bullets}\n`;
  });
  const [title, ...rest] = UNTOUCHED;
  const sections = [...rest, ...edited].map((text) => ({ text, at: random.next() }));
  return (
    title! +
    sections
      .sort((a, b) => a.at - b.at)
      .map(({ text }) => text)
      .join('')
  );
}

describe.each([
  ['Unix line ends and a final newline', '\n', true],
  ['Windows line ends and no final newline', '\r\n', false],
] as const)('%s', (_name, eol, hasFinalNewline) => {
  it(`stay, with everything else untouched, after ${EDITS} random edits from the other side (seed ${SEED})`, async () => {
    const random = createRandom(SEED);
    const whole = documentText(random).replaceAll('\n', eol);
    const original = hasFinalNewline ? whole : whole.trimEnd();
    const sides = await createTwoSides(folder, { markdown: original });
    const { sync } = await linked(sides);
    await sync();
    expect(readFileSync(sides.memories, 'utf8')).toBe(original);

    const foreign = await sides.startForeign();
    const removed = new Set<string>();
    try {
      for (let nth = 1; nth <= EDITS; nth += 1) {
        // The first half stays inside sections of the file; then entities of its own come, too.
        const mayCreate = nth > EDITS / 2;
        await editOnce(foreign, sides.entities(), { random, nth, mayCreate, removed });
        if (random.next() < 0.4 || nth === EDITS / 2) await sync();
        if (nth === EDITS / 2) {
          const half = readFileSync(sides.memories, 'utf8');
          expect(half.endsWith(eol)).toBe(original.endsWith(eol));
          expect(half).not.toContain('syncline:begin');
        }
      }
      await sync();
    } finally {
      await foreign.close();
    }
    const final = readFileSync(sides.memories, 'utf8');
    expect(sides.sections()).toEqual(sides.entities());
    onlyOurLinesAreNew({ original, final, eol, removed });
    untouchedSectionsStand(original, final, eol);
    expect(await sync()).toBe(0);
  }, 240_000);
});

interface Edit {
  readonly random: Random;
  readonly nth: number;
  readonly mayCreate: boolean;
  /** Lines of the original an edit took away. */
  readonly removed: Set<string>;
}

/** One edit by another agent: a fact more, a fact less, a fact said differently, an entity, a relation. */
async function editOnce(
  foreign: ForeignMemory,
  now: ReadonlyMap<string, Memory>,
  { random, nth, mayCreate, removed }: Edit,
): Promise<void> {
  const own = [...now.values()].filter(({ name }) => name.startsWith('marked '));
  const target = random.pick([...EDITED.map((name) => now.get(name)!), ...own]);
  const add = (text: string) =>
    foreign.call('add_observations', {
      observations: [{ entityName: target.name, contents: [text] }],
    });
  const drop = async () => {
    // A section nobody says anything in any more is another story.
    if (target.observations.length < 2) return;
    const text = random.pick(target.observations);
    removed.add(`- ${text}`);
    await foreign.call('delete_observations', {
      deletions: [{ entityName: target.name, observations: [text] }],
    });
  };
  const create = () =>
    foreign.put(
      memory(`marked ${nth}`, [`marked fact ${nth}`], {
        type: 'marked thing',
        relations: [{ to: target.name, type: 'marked by' }],
      }),
    );
  const remove = async () => {
    const [victim] = own;
    if (victim) await foreign.call('delete_entities', { entityNames: [victim.name] });
  };
  const relate = () =>
    foreign.call('create_relations', {
      relations: [{ from: target.name, to: random.pick(EDITED), relationType: `marked ${nth}` }],
    });
  const change = async () => {
    await drop();
    await add(`marked change ${nth}`);
  };
  const kinds = [
    () => add(`marked fact ${nth}`),
    drop,
    change,
    relate,
    ...(mayCreate ? [create, create, remove] : []),
  ];
  await random.pick(kinds)();
}

/** The original's lines, but for the removed ones, are all there in order; what is new is ours or blank. */
function onlyOurLinesAreNew(texts: {
  original: string;
  final: string;
  eol: string;
  removed: ReadonlySet<string>;
}): void {
  const { original, final, eol, removed } = texts;
  const kept = original.split(eol).filter((line) => !removed.has(line));
  let at = 0;
  const extra = final.split(eol).filter((line) => {
    if (line !== kept[at]) return true;
    at += 1;
    return false;
  });
  expect(kept.slice(at)).toEqual([]);
  expect(extra.filter((line) => !/^$|marked|<!-- syncline:(?:begin|end) -->/.test(line))).toEqual(
    [],
  );
}

/** Every section no edit was about, as one piece of bytes. */
function untouchedSectionsStand(original: string, final: string, eol: string): void {
  for (const section of UNTOUCHED) {
    const bytes = section.replaceAll('\n', eol);
    const piece = original.includes(bytes) ? bytes : bytes.trimEnd();
    expect(final).toContain(piece);
  }
}

it('1,000 entities from the memory server appear in Markdown, and a second run writes nothing', async () => {
  const graph = Array.from({ length: 1_000 }, (_, nth) =>
    memory(`Entity ${nth}`, [`fact ${nth}`, `- odd: *${nth}*`], {
      type: nth % 2 ? 'person' : 'section',
      relations: nth > 0 ? [{ to: `Entity ${nth - 1}`, type: 'follows' }] : [],
    }),
  );
  const sides = await createTwoSides(folder, { graph });
  const { sync } = await linked(sides);
  await sync();
  expect(sides.sections().size).toBe(1_000);
  expect(sides.sections()).toEqual(sides.entities());
  const before = [stampOf(sides.memories), stampOf(sides.memoryFile)];
  await engine.shown();
  const head = await engine.store.contexts.changes(
    { tenant: 'default' as never, actor: null },
    { since: 'now', limit: 1 },
  );
  expect(await sync()).toBe(0);
  expect([stampOf(sides.memories), stampOf(sides.memoryFile)]).toEqual(before);
  const after = await engine.store.contexts.changes(
    { tenant: 'default' as never, actor: null },
    { since: head.cursor, limit: 1 },
  );
  expect(after.changes).toEqual([]);
}, 240_000);

function stampOf(file: string): object {
  const { mtimeMs, ino } = statSync(file);
  return { mtimeMs, ino, text: readFileSync(file, 'utf8') };
}
