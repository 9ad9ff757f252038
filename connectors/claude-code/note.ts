/**
 * A note (Claude Code calls it a topic file) as one memory: its frontmatter gives name and type,
 * its blocks are the observations. Every edit is read back before it is used.
 */
import { AppError } from '../../domain/errors.ts';
import { canonicalMemory, UNKNOWN_MEMORY_TYPE, type Memory } from '../../domain/item.ts';
import { isJsonObject, type JsonObject } from '../../domain/json.ts';
import { frontmatterLength, parseFrontmatter, renderFrontmatter } from '../files/frontmatter.ts';
import { lineRemovals } from '../files/line-removals.ts';
import { dominantEol } from '../files/markdown/lines.ts';
import { nameOfHeading } from '../files/markdown/observation.ts';
import type { BlockParser } from '../files/markdown/parse-blocks.ts';
import { headingText } from '../files/markdown/parse-sections.ts';
import { applySplices } from '../files/markdown/splice.ts';
import {
  readMemories,
  statementsOf,
  versionOf,
  type MemoryEntry,
  type MemoryMapping,
} from '../files/memories.ts';
import { bullet, type PlanStyle } from '../files/plan-style.ts';
import { sectionEdit } from '../files/section-edit.ts';
import { ignoringHeadings, skippingFrontmatter } from './note-blocks.ts';

export interface Note {
  /** Relative to the memory folder. */
  readonly path: string;
  readonly source: string;
  /** Under the name the file itself gives it. */
  readonly memory: Memory;
  /** Null when the YAML cannot be read; then it is left alone. */
  readonly frontmatter: JsonObject | null;
  /** Null without any block that says something. */
  readonly entry: MemoryEntry | null;
}

const BODY = 'body';

/** How a note's body is read, as one section. */
export function noteMapping(parse: BlockParser): MemoryMapping {
  return {
    blocks: 'all',
    namePrefix: '',
    isTaken: () => false,
    parse: ignoringHeadings(skippingFrontmatter(parse)),
    untitled: BODY,
  };
}

/** @throws AppError REMOTE_MALFORMED, REGION_DAMAGED for Markdown that cannot be read safely */
export function readNote(path: string, source: string, parse: BlockParser): Note {
  const entry = readMemories(source, noteMapping(parse)).entries.get(BODY) ?? null;
  const frontmatter = frontmatterOf(source);
  const said = frontmatter ?? plainMembers(source);
  const memory = canonicalMemory({
    name: nameIn(said) ?? titleOf(source, parse) ?? path.replace(/\.md$/, ''),
    type: typeIn(said) ?? entry?.memory.type ?? UNKNOWN_MEMORY_TYPE,
    observations: entry?.memory.observations ?? [],
    relations: entry?.memory.relations ?? [],
  });
  return { path, source, memory, frontmatter, entry };
}

/** The note's text once it says what is wanted. @throws AppError ITEM_INVALID when it cannot */
export function editNote(note: Note, wanted: Memory, parse: BlockParser): string {
  for (const isCareful of [false, true]) {
    const text = attempt(() => edited(note, wanted, { parse, isCareful }));
    if (text !== null && saysExactly(readNote(note.path, text, parse), wanted)) return text;
  }
  throw invalid(`"${wanted.name}" cannot be written so that it reads back equal`);
}

/** The text of a new note. @throws AppError ITEM_INVALID for what no file can hold */
export function newNote(path: string, wanted: Memory, parse: BlockParser): string {
  const metadata = {
    node_type: 'memory',
    ...(wanted.type === UNKNOWN_MEMORY_TYPE ? {} : { type: wanted.type }),
  };
  const empty = renderFrontmatter(
    { frontmatter: { name: wanted.name, metadata }, text: '\n' },
    null,
  );
  return editNote(readNote(path, empty, parse), wanted, parse);
}

function edited(
  note: Note,
  wanted: Memory,
  how: { readonly parse: BlockParser; readonly isCareful: boolean },
): string {
  const { parse, isCareful } = how;
  const style = { eol: dominantEol(note.source), parse: noteMapping(parse).parse, isCareful };
  return withMembers({ ...note, source: editedBody(note, wanted, style) }, wanted, parse);
}

/** A plan that does not work out is one that cannot be made; the next one is more careful. */
function attempt(work: () => string): string | null {
  try {
    return work();
  } catch {
    return null;
  }
}

function saysExactly(note: Note, wanted: Memory): boolean {
  return versionOf(note.memory) === versionOf(wanted) && !/[\0\p{Cs}]/u.test(note.source);
}

function editedBody(note: Note, wanted: Memory, style: PlanStyle): string {
  const { entry, source } = note;
  const statements = statementsOf(wanted);
  if (!entry)
    return appended(
      source,
      statements.map((one) => bullet(one, style)),
      style.eol,
    );
  if (statements.length === 0 && !entry.hasTypeMarker) {
    const blocks = entry.stated.map(({ block }) => block);
    return applySplices(source, lineRemovals(source, blocks, style));
  }
  // The frontmatter's type rules; a bullet that says one is only changed where there is no other.
  const isTypeAbove = typeIn(note.frontmatter ?? plainMembers(source)) !== undefined;
  const type = entry.hasTypeMarker && !isTypeAbove ? wanted.type : entry.memory.type;
  const change = { entry, wanted: { ...wanted, name: entry.memory.name, type }, heading: '' };
  return applySplices(source, sectionEdit(source, change, style));
}

function appended(source: string, bullets: readonly string[], eol: string): string {
  if (bullets.length === 0) return source;
  const isEnded = source === '' || /[\r\n]$/.test(source);
  const isBlankBefore = source.length === 0 || /(?:\n|\r\n?)[ \t]*(?:\n|\r\n?)$/.test(source);
  const gap = (isEnded ? '' : eol) + (isBlankBefore ? '' : eol);
  return source + gap + bullets.join(eol) + eol;
}

/** Name and type, written into the frontmatter where they changed; its other bytes stay. */
function withMembers(note: Note, wanted: Memory, parse: BlockParser): string {
  const now = readNote(note.path, note.source, parse);
  const isNamed = now.memory.name === wanted.name;
  const isTyped = now.memory.type === wanted.type;
  if (isNamed && isTyped) return note.source;
  // What is no YAML is not touched: the wish is refused, the note stays as it is.
  if (!now.frontmatter) throw invalid('the frontmatter of the note cannot be read');
  const frontmatter = {
    ...now.frontmatter,
    ...(isNamed ? {} : { name: wanted.name }),
    ...(isTyped ? {} : withType(now.frontmatter, wanted.type)),
  };
  const text = note.source.slice(frontmatterLength(note.source));
  return renderFrontmatter({ frontmatter, text }, note.source);
}

function withType(frontmatter: JsonObject, type: string): JsonObject {
  const { metadata } = frontmatter;
  const isAtTop = typeof frontmatter['type'] === 'string' && !typeOf(metadata);
  if (isAtTop) return { type };
  return { metadata: { ...(isJsonObject(metadata) ? metadata : {}), type } };
}

function frontmatterOf(source: string): JsonObject | null {
  try {
    return parseFrontmatter(source).frontmatter;
  } catch {
    return null;
  }
}

/** What can be told of YAML that is none: Claude writes `description: a: b`, and it works there. */
function plainMembers(source: string): JsonObject {
  const block = source.slice(0, frontmatterLength(source));
  const name = /^name:[ \t]*(\S.*?)[ \t]*\r?$/m.exec(block)?.[1];
  const type = /^[ \t]*type:[ \t]*([\w-]+)[ \t]*\r?$/m.exec(block)?.[1];
  return {
    ...(name === undefined ? {} : { name: name.replace(/^(["'])(.*)\1$/, '$2') }),
    ...(type === undefined ? {} : { type }),
  };
}

function nameIn({ name }: JsonObject): string | undefined {
  if (typeof name === 'number') return String(name);
  return typeof name === 'string' && name !== '' ? name : undefined;
}

function typeIn(frontmatter: JsonObject): string | undefined {
  const { type, metadata } = frontmatter;
  return typeOf(metadata) ?? (typeof type === 'string' ? type : undefined);
}

function typeOf(metadata: JsonObject[string] | undefined): string | undefined {
  const type = isJsonObject(metadata) ? metadata['type'] : undefined;
  return typeof type === 'string' ? type : undefined;
}

/** The title a note begins with, if it does. */
function titleOf(source: string, parse: BlockParser): string | null {
  const [first] = skippingFrontmatter(parse)(source);
  if (first?.kind !== 'heading' || first.depth !== 1) return null;
  return nameOfHeading(headingText(source, first));
}

function invalid(detail: string): AppError {
  return new AppError('ITEM_INVALID', detail);
}
