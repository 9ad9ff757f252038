/**
 * A `memories.md` as memory items: one per heading section, its blocks as observations.
 * The mapping is written down for users in `docs/factory-files.md`.
 */
import { hashJson } from '../../domain/hash.ts';
import { canonicalMemory, UNKNOWN_MEMORY_TYPE, type Memory } from '../../domain/item.ts';
import {
  headingText,
  parseSections,
  type Outline,
  type Section,
} from './markdown/parse-sections.ts';
import { nameOfHeading, statementOf, type Statement } from './markdown/observation.ts';
import type { Block, BlockParser } from './markdown/parse-blocks.ts';

/** How one file's sections become items. */
export interface MemoryMapping {
  /** `bullets`: only list items are observations; prose is left alone. */
  readonly blocks: 'all' | 'bullets';
  /** Put before every name, so that personal memories do not clash with the project's. */
  readonly namePrefix: string;
  /** Names that belong to something else (a document's path, an item of another file). */
  readonly isTaken: (name: string) => boolean;
  readonly parse: BlockParser;
}

/** A block that counts, with what it says. */
export interface StatedBlock {
  readonly block: Block;
  readonly statement: Statement;
}

/** One item and where it stands in the file. */
export interface MemoryEntry {
  readonly memory: Memory;
  /** Hash of the canonical item. */
  readonly version: string;
  readonly section: Section;
  readonly stated: readonly StatedBlock[];
  readonly hasTypeMarker: boolean;
}

export interface MemoryFile {
  readonly source: string;
  readonly outline: Outline;
  readonly entries: ReadonlyMap<string, MemoryEntry>;
}

/** Name of the item that holds what stands before the first heading of a file without a title. */
export const UNTITLED_FILE = 'memories';
const EMPTY_HEADING = 'Untitled';

/** @throws AppError REGION_DAMAGED, REMOTE_MALFORMED when the text as a whole cannot be understood */
export function readMemories(source: string, mapping: MemoryMapping): MemoryFile {
  const outline = parseSections(source, mapping.parse);
  const entries = new Map<string, MemoryEntry>();
  const numbers = new Map<string, number>();
  const isTaken = (name: string): boolean => entries.has(name) || mapping.isTaken(name);
  for (const section of outline.sections) {
    const blocks = section.blocks.filter((block) => counts(block, mapping));
    if (!isItem(section, blocks)) continue;
    const name = freeName(namesFor(source, section, mapping.namePrefix), numbers, isTaken);
    entries.set(name, entryOf(source, name, { section, blocks }));
  }
  return { source, outline, entries };
}

/** The name a section's heading gives it, before doubles are told apart. */
export function ownName(source: string, section: Section): string {
  if (!section.heading) return UNTITLED_FILE;
  return nameOfHeading(headingText(source, section.heading)) ?? EMPTY_HEADING;
}

/** What an item says, in the order it is written in a new section. */
export function statementsOf(memory: Memory): readonly Statement[] {
  return [
    ...memory.observations.map((text): Statement => ({ kind: 'observation', text })),
    ...memory.relations.map(({ to, type }): Statement => ({ kind: 'relation', to, type })),
  ];
}

export function versionOf(memory: Memory): string {
  return hashJson(canonicalMemory(memory));
}

function counts(block: Block, mapping: MemoryMapping): boolean {
  return mapping.blocks === 'all' || block.kind === 'item';
}

/**
 * A heading that only groups others is no item, nor is a bare document title: it would come and go
 * with what stands under it. Nor is prose, where only bullets count.
 */
function isItem(section: Section, counted: readonly Block[]): boolean {
  if (counted.length > 0) return true;
  return section.blocks.length === 0 && !section.hasSubsections && !section.isTitle;
}

/** The bare name, then with the nearest parent, then with more of them. */
function namesFor(source: string, section: Section, prefix: string): readonly string[] {
  const own = ownName(source, section);
  const parents = section.parents.map((text) => nameOfHeading(text) ?? EMPTY_HEADING);
  const qualified = parents.map((_, at) => [...parents.slice(-1 - at), own].join(' > '));
  return [own, ...qualified].map((name) => prefix + name);
}

/** The first free name; else the second-best numbered. `numbers` remembers how far each count got. */
function freeName(
  names: readonly string[],
  numbers: Map<string, number>,
  isTaken: (name: string) => boolean,
): string {
  const free = names.find((name) => !isTaken(name));
  if (free !== undefined) return free;
  const stem = names[1] ?? names[0] ?? EMPTY_HEADING;
  let nth = numbers.get(stem) ?? 2;
  while (isTaken(`${stem} (${nth})`)) nth += 1;
  numbers.set(stem, nth + 1);
  return `${stem} (${nth})`;
}

function entryOf(
  source: string,
  name: string,
  part: { readonly section: Section; readonly blocks: readonly Block[] },
): MemoryEntry {
  const { section, blocks } = part;
  const stated = blocks.map((block) => ({ block, statement: statementOf(source, block) }));
  const marker = stated.find(({ statement }) => statement.kind === 'type');
  const memory = memoryOf(name, stated, marker);
  return {
    memory,
    version: versionOf(memory),
    section,
    stated,
    hasTypeMarker: marker !== undefined,
  };
}

function memoryOf(
  name: string,
  stated: readonly StatedBlock[],
  marker: StatedBlock | undefined,
): Memory {
  const memory: Memory = { name, type: UNKNOWN_MEMORY_TYPE, observations: [], relations: [] };
  for (const { block, statement } of stated) {
    if (statement.kind === 'relation') {
      memory.relations.push({ to: statement.to, type: statement.type });
    } else if (statement.kind === 'type') {
      // The first marker says the type; another one changes nothing.
      if (block === marker?.block) memory.type = statement.type;
    } else {
      memory.observations.push(statement.text);
    }
  }
  return canonicalMemory(memory);
}
