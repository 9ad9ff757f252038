/** Which lines an item or a block stands on, and how they are taken out of a text. */
import { isBlankLine, lineEnd, lineStart, nextLine, previousLine } from './markdown/lines.ts';
import type { Block } from './markdown/parse-blocks.ts';
import { uniteRanges, type Splice } from './markdown/splice.ts';
import type { MemoryEntry } from './memories.ts';
import type { PlanStyle } from './plan-style.ts';

/** Takes a section out: its heading, its blocks, and the blank lines they leave behind. */
export function sectionRemoval(
  source: string,
  entry: MemoryEntry,
  style: PlanStyle,
): readonly Splice[] {
  const { section } = entry;
  const blocks = entry.stated.map(({ block }) => block);
  // A document keeps its title: without it, another heading would become one.
  const isNeeded = section.hasSubsections || section.isTitle;
  const counted = new Set(blocks);
  const stays = isNeeded || section.blocks.some((block) => !counted.has(block));
  const gone = section.heading && !stays ? [section.heading, ...blocks] : blocks;
  if (style.isCareful) return lineRemovals(source, gone, style);
  const ranges = uniteRanges(gone.map((block) => wholeLines(source, block)));
  let previousEnd = -1;
  const widened = ranges.map(({ start, end }) => {
    const before = previousLine(source, start);
    const isAfterGap = before === null || start === previousEnd || isBlankLine(source, before);
    previousEnd = isAfterGap ? skipBlankLines(source, end) : end;
    return { start, end: previousEnd };
  });
  return asRemovals(source, widened);
}

/** Takes blocks out, exactly their own lines; leaves a blank line for each when careful. */
export function lineRemovals(
  source: string,
  gone: readonly Block[],
  style: PlanStyle,
): readonly Splice[] {
  const ranges = gone.map((block) => wholeLines(source, block));
  if (!style.isCareful) return asRemovals(source, uniteRanges(ranges));
  return ranges.map((range) => ({ ...range, text: style.eol }));
}

/** Removing the last line of a file that has no final newline must not give it one. */
function asRemovals(
  source: string,
  ranges: readonly { readonly start: number; readonly end: number }[],
): readonly Splice[] {
  const widened = uniteRanges(ranges).map(({ start, end }) => {
    const isUnended = end === source.length && !/[\r\n]$/.test(source);
    return { start: isUnended ? trimmedEnd(source, 0, start) : start, end };
  });
  // The blank lines before the last one may end what is removed before it.
  return uniteRanges(widened).map((range) => ({ ...range, text: '' }));
}

function skipBlankLines(source: string, from: number): number {
  let at = from;
  while (at < source.length && isBlankLine(source, at)) at = nextLine(source, at);
  return at;
}

/** From the start of a block's first line to the end of its last, without that line's ending. */
export function linesOf(
  source: string,
  block: Block,
): { readonly start: number; readonly end: number } {
  const end = Math.max(block.start, trimmedEnd(source, block.start, block.end));
  return { start: lineStart(source, block.start), end: lineEnd(source, end) };
}

function wholeLines(
  source: string,
  block: Block,
): { readonly start: number; readonly end: number } {
  const { start, end } = linesOf(source, block);
  return { start, end: nextLine(source, end) };
}

function trimmedEnd(source: string, start: number, end: number): number {
  let at = end;
  while (at > start && /[ \t\r\n]/.test(source[at - 1]!)) at -= 1;
  return at;
}
