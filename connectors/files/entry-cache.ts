/**
 * Remembers what the sections of the last texts said, so that after an edit only the sections that
 * changed are understood anew. A section is known by its exact text and the blocks it was cut into.
 */
import { lineEnd, lineStart } from './markdown/lines.ts';
import type { Block } from './markdown/parse-blocks.ts';
import type { Section } from './markdown/parse-sections.ts';
import type { MemoryEntry } from './memories.ts';

/** A section, and those of its blocks that count. */
export interface SectionPart {
  readonly section: Section;
  readonly blocks: readonly Block[];
}

export interface EntryCache {
  /** Called before each text: what neither this text nor the one before has is forgotten. */
  next(): void;
  /** The entry of a section that reads exactly so, or undefined. Its offsets are the old text's. */
  find(source: string, part: SectionPart): MemoryEntry | undefined;
  keep(source: string, part: SectionPart, entry: MemoryEntry): void;
}

/** A longer section is not remembered: it may span the whole file. */
const MAX_CHARS = 64 * 1024;

export function createEntryCache(): EntryCache {
  let recent = new Map<string, MemoryEntry>();
  let older = new Map<string, MemoryEntry>();
  return {
    next() {
      older = recent;
      recent = new Map();
    },
    find(source, part) {
      const key = keyOf(source, part);
      const known = key === null ? undefined : (recent.get(key) ?? older.get(key));
      return known && isCutAlike(known, part) ? known : undefined;
    },
    keep(source, part, entry) {
      const key = keyOf(source, part);
      if (key !== null) recent.set(key, entry);
    },
  };
}

/** The whole lines a section's heading and blocks stand on. */
function keyOf(source: string, { section, blocks }: SectionPart): string | null {
  const { heading } = section;
  const first = blocks[0];
  const last = blocks.at(-1);
  const start = Math.min(heading?.start ?? Infinity, first?.start ?? Infinity);
  const end = Math.max(heading?.end ?? 0, last?.end ?? 0);
  if (end - start > MAX_CHARS || end === 0) return null;
  return source.slice(lineStart(source, start), lineEnd(source, end));
}

function isCutAlike(known: MemoryEntry, { section, blocks }: SectionPart): boolean {
  const [was, is] = [known.section.heading, section.heading];
  if ((was === null) !== (is === null) || known.stated.length !== blocks.length) return false;
  const by = startOf(section, blocks[0]) - startOf(known.section, known.stated[0]?.block);
  if (was && is && !isSameBlock(was, is, by)) return false;
  return blocks.every((block, at) => isSameBlock(known.stated[at]!.block, block, by));
}

function startOf({ heading }: Section, first: Block | undefined): number {
  return heading?.start ?? first?.start ?? 0;
}

function isSameBlock(was: Block, is: Block, by: number): boolean {
  return (
    was.kind === is.kind &&
    was.start + by === is.start &&
    was.end + by === is.end &&
    was.contentStart + by === is.contentStart &&
    was.contentEnd + by === is.contentEnd
  );
}
