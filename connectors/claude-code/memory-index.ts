/**
 * The lines of `MEMORY.md` that lead to notes: `- [Title](file.md) — what it is about`. They are
 * no observations. A new note gets such a line, a deleted note's lines go; no other line is touched.
 */
import { linesOf } from '../files/line-removals.ts';
import {
  dominantEol,
  isBlankLine,
  lineStart,
  nextLine,
  previousLine,
} from '../files/markdown/lines.ts';
import { styleOf } from '../files/markdown/observation.ts';
import type { Block, BlockParser } from '../files/markdown/parse-blocks.ts';
import { applySplices, uniteRanges, type Splice } from '../files/markdown/splice.ts';

export interface Pointer {
  readonly name: string;
  readonly path: string;
}

/** A new index begins like this. */
export const NEW_INDEX = '# Memory\n';

const POINTER = /^\s*[-*+][ \t]+(?:\*\*|__)?\[(?:[^\]\\]|\\.)*\]\((?:\.\/)?([^)\s/:]+\.md)\)/;

/** Whether a block is a line that leads to a note. */
export function isPointer(block: string): boolean {
  return POINTER.test(block);
}

/**
 * The index with a line for each new note and without the lines of those that are gone, tried in
 * the places it may have them; null when it could not be done without changing what else it says.
 */
export function withPointers(
  source: string,
  change: { readonly added: readonly Pointer[]; readonly gone: ReadonlySet<string> },
  index: { readonly parse: BlockParser; readonly isSame: (text: string) => boolean },
): string | null {
  const kept = applySplices(source, removalsOf(source, index.parse(source), change.gone));
  const blocks = index.parse(kept);
  const known = new Set(blocks.map((block) => targetOf(kept, block)));
  const added = change.added.filter(({ path }) => !known.has(path));
  const insertions = added.length === 0 ? [[]] : insertionsOf(kept, blocks, added);
  for (const insertion of insertions) {
    const text = applySplices(kept, insertion);
    const shown = new Set(index.parse(text).map((block) => targetOf(text, block)));
    if (index.isSame(text) && added.every(({ path }) => shown.has(path))) return text;
  }
  return null;
}

function targetOf(source: string, block: Block): string | null {
  if (block.kind !== 'item') return null;
  const target = POINTER.exec(source.slice(block.start, block.end))?.[1];
  return target === undefined ? null : decoded(target);
}

function decoded(target: string): string {
  try {
    return decodeURIComponent(target);
  } catch {
    return target;
  }
}

function removalsOf(
  source: string,
  blocks: readonly Block[],
  gone: ReadonlySet<string>,
): readonly Splice[] {
  const lines = blocks
    .filter((block) => gone.has(targetOf(source, block) ?? ''))
    .map((block) => linesOf(source, block))
    .map(({ start, end }) => ({ start, end: nextLine(source, end) }));
  return uniteRanges(lines).map((range) => ({ ...range, text: '' }));
}

/** Where new lines may go: after the last such line, before the first sub-heading, at the end. */
function insertionsOf(
  source: string,
  blocks: readonly Block[],
  added: readonly Pointer[],
): readonly (readonly Splice[])[] {
  const eol = dominantEol(source);
  const lines = (marker: string): string =>
    added.map(({ name, path }) => `${marker}[${titleOf(name)}](${path})`).join(eol);
  const last = blocks.findLast((block) => targetOf(source, block) !== null);
  const section = blocks.find((block, at) => block.kind === 'heading' && at > 0);
  const places: Splice[][] = [];
  if (last) {
    const { indent, marker, pad } = styleOf(source, last);
    const at = linesOf(source, last).end;
    places.push([{ start: at, end: at, text: eol + lines(indent + marker + pad) }]);
  }
  for (const at of [section && lineStart(source, section.start), source.length]) {
    if (at === undefined) continue;
    const text = gapBefore(source, at, eol) + lines('- ') + eol + (at < source.length ? eol : '');
    places.push([{ start: at, end: at, text }]);
  }
  return places;
}

function gapBefore(source: string, at: number, eol: string): string {
  if (at === 0) return '';
  if (lineStart(source, at) !== at) return eol + eol;
  const before = previousLine(source, at);
  return before !== null && isBlankLine(source, before) ? '' : eol;
}

/** A name as a link's text, on one line; a NUL byte would make a binary file of the index. */
function titleOf(name: string): string {
  const line = [...name.replace(/[\s\p{Cc}\p{Cs}]+/gu, ' ').trim()].slice(0, 120).join('');
  return line.replace(/[[\]\\<>`*_]/g, '\\$&');
}
