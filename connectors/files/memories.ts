/**
 * A `memories.md` as memory items: one per heading section, its blocks as observations.
 * The mapping is written down for users in `docs/factory-files.md`.
 */
import { hashJson } from '../../domain/hash.ts';
import { canonicalMemory, UNKNOWN_MEMORY_TYPE, type Memory } from '../../domain/item.ts';
import type { EntryCache, SectionPart } from './entry-cache.ts';
import {
  headingText,
  outlineSteps,
  type Outline,
  type Section,
} from './markdown/parse-sections.ts';
import { nameOfHeading, statementOf, type Statement } from './markdown/observation.ts';
import type { Block, BlockParser } from './markdown/parse-blocks.ts';
import { atOnce, type Steps } from './steps.ts';

/** How one file's sections become items. */
export interface MemoryMapping {
  /** `bullets`: only list items are observations; prose is left alone. */
  readonly blocks: 'all' | 'bullets';
  /** Put before every name, so that personal memories do not clash with the project's. */
  readonly namePrefix: string;
  /** Names that belong to something else (a document's path, an item of another file). */
  readonly isTaken: (name: string) => boolean;
  readonly parse: BlockParser;
  /** Only for a file that is read again and again; of this mapping alone, the names aside. */
  readonly cache?: EntryCache;
  /** Name of what stands before the first heading of a file without a title. */
  readonly untitled?: string;
  /** Blocks that only lead to other files; they say nothing and are left alone. */
  readonly isPointer?: (block: string) => boolean;
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
const SECTIONS_PER_STEP = 20;
const BLOCKS_PER_STEP = 200;

/** @throws AppError REGION_DAMAGED, REMOTE_MALFORMED when the text as a whole cannot be understood */
export function readMemories(source: string, mapping: MemoryMapping): MemoryFile {
  return atOnce(memorySteps(source, mapping));
}

/** {@link readMemories} step by step. @throws AppError REGION_DAMAGED, REMOTE_MALFORMED */
export function* memorySteps(source: string, mapping: MemoryMapping): Steps<MemoryFile> {
  const outline = yield* outlineSteps(source, mapping.parse);
  mapping.cache?.next();
  const entries = new Map<string, MemoryEntry>();
  const numbers = new Map<string, number>();
  const isTaken = (name: string): boolean => entries.has(name) || mapping.isTaken(name);
  for (const [at, section] of outline.sections.entries()) {
    if (at % SECTIONS_PER_STEP === 0) yield;
    const blocks = section.blocks.filter((block) => counts(source, block, mapping));
    if (!isItem(section, blocks)) continue;
    const name = freeName(namesFor(source, section, mapping), numbers, isTaken);
    entries.set(name, yield* entrySteps(source, name, { part: { section, blocks }, mapping }));
  }
  return { source, outline, entries };
}

/** The name a section's heading gives it, before doubles are told apart. */
export function ownName(source: string, section: Section, untitled = UNTITLED_FILE): string {
  if (!section.heading) return untitled;
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

function counts(source: string, block: Block, mapping: MemoryMapping): boolean {
  if (mapping.isPointer?.(source.slice(block.start, block.end))) return false;
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
function* namesFor(
  source: string,
  section: Section,
  mapping: MemoryMapping,
): Generator<string, undefined> {
  const own = ownName(source, section, mapping.untitled);
  yield mapping.namePrefix + own;
  const parents = section.parents.map((text) => nameOfHeading(text) ?? EMPTY_HEADING);
  for (let from = parents.length - 1; from >= 0; from -= 1) {
    yield mapping.namePrefix + [...parents.slice(from), own].join(' > ');
  }
}

/** The first free name; else the second-best numbered. `numbers` remembers how far each count got. */
function freeName(
  names: Iterable<string>,
  numbers: Map<string, number>,
  isTaken: (name: string) => boolean,
): string {
  const tried: string[] = [];
  for (const name of names) {
    if (!isTaken(name)) return name;
    tried.push(name);
  }
  const stem = tried[1] ?? tried[0] ?? EMPTY_HEADING;
  let nth = numbers.get(stem) ?? 2;
  while (isTaken(`${stem} (${nth})`)) nth += 1;
  numbers.set(stem, nth + 1);
  return `${stem} (${nth})`;
}

function* entrySteps(
  source: string,
  name: string,
  how: { readonly part: SectionPart; readonly mapping: MemoryMapping },
): Steps<MemoryEntry> {
  const { part, mapping } = how;
  const { section, blocks } = part;
  const known = mapping.cache?.find(source, part);
  const stated: StatedBlock[] = [];
  for (const [at, block] of blocks.entries()) {
    if (at % BLOCKS_PER_STEP === BLOCKS_PER_STEP - 1) yield;
    const statement = known?.stated[at]?.statement ?? statementOf(source, block);
    stated.push({ block, statement });
  }
  const marker = stated.find(({ statement }) => statement.kind === 'type');
  const isSame = known?.memory.name === name;
  const memory = isSame ? known.memory : memoryOf(name, stated, marker);
  const version = isSame ? known.version : versionOf(memory);
  const entry = { memory, version, section, stated, hasTypeMarker: marker !== undefined };
  mapping.cache?.keep(source, part, entry);
  return entry;
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
