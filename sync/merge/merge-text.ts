/** Merges texts by line. Line endings belong to their lines and are left as they are. */
import { diffLines, type Hunk } from './diff-lines.ts';

/** Texts over these are not merged by line: what both changed is contested as a whole. */
export const MAX_TEXT_LINES = 20_000;
export const MAX_TEXT_LENGTH = 2_097_152;

export interface TextMerge {
  readonly base: string;
  readonly hub: string;
  readonly remote: string;
  /** Whose lines stand where both sides changed the same or touching lines differently. */
  readonly contestedTo: 'base' | 'hub' | 'remote';
}

export interface MergedText {
  readonly text: string;
  readonly isContested: boolean;
}

/** The merged text; null when a text is over {@link MAX_TEXT_LINES} or {@link MAX_TEXT_LENGTH}. */
export function mergeTexts(merge: TextMerge): MergedText | null {
  const base = splitLines(merge.base);
  const hub = splitLines(merge.hub);
  const remote = splitLines(merge.remote);
  if (!base || !hub || !remote) return null;
  const number = createNumbering();
  const baseNumbers = base.map(number);
  const regions = regionsOf(
    diffLines(baseNumbers, hub.map(number)),
    diffLines(baseNumbers, remote.map(number)),
  );
  const lines: string[] = [];
  let isContested = false;
  let cursor = 0;
  for (const region of regions) {
    lines.push(base.slice(cursor, region.start).join(''));
    const chosen = linesOf(region, { base, hub, remote }, merge.contestedTo);
    lines.push(chosen.text);
    isContested ||= chosen.isContested;
    cursor = region.end;
  }
  lines.push(base.slice(cursor).join(''));
  return { text: lines.join(''), isContested };
}

/** Base lines [start, end) that one or both sides changed, with the hunks of each. */
interface Region {
  readonly start: number;
  readonly end: number;
  readonly hub: readonly Hunk[];
  readonly remote: readonly Hunk[];
}

/** Puts together hunks that overlap or touch. */
function regionsOf(hub: readonly Hunk[], remote: readonly Hunk[]): Region[] {
  const all = [
    ...hub.map((hunk) => ({ hunk, side: 'hub' as const })),
    ...remote.map((hunk) => ({ hunk, side: 'remote' as const })),
  ].sort((a, b) => a.hunk.baseStart - b.hunk.baseStart);
  const regions: { start: number; end: number; hub: Hunk[]; remote: Hunk[] }[] = [];
  for (const { hunk, side } of all) {
    const last = regions.at(-1);
    const region =
      last && hunk.baseStart <= last.end
        ? last
        : { start: hunk.baseStart, end: hunk.baseEnd, hub: [], remote: [] };
    if (region !== last) regions.push(region);
    region.end = Math.max(region.end, hunk.baseEnd);
    region[side].push(hunk);
  }
  return regions;
}

interface Texts {
  readonly base: readonly string[];
  readonly hub: readonly string[];
  readonly remote: readonly string[];
}

function linesOf(region: Region, texts: Texts, contestedTo: TextMerge['contestedTo']): MergedText {
  const hub = sideText(region, region.hub, texts.hub);
  const remote = sideText(region, region.remote, texts.remote);
  // A region has a hunk of at least one side.
  if (hub === null || remote === null) return { text: (hub ?? remote)!, isContested: false };
  if (hub === remote) return { text: hub, isContested: false };
  const base = texts.base.slice(region.start, region.end).join('');
  return { text: { base, hub, remote }[contestedTo], isContested: true };
}

/** What a side has in place of the region; null when it changed nothing there. */
function sideText(region: Region, hunks: readonly Hunk[], lines: readonly string[]): string | null {
  const first = hunks[0];
  const last = hunks.at(-1);
  if (!first || !last) return null;
  const start = first.sideStart - (first.baseStart - region.start);
  const end = last.sideEnd + (region.end - last.baseEnd);
  return lines.slice(start, end).join('');
}

/** Lines with their endings; null when there are too many or the text is too long. */
function splitLines(text: string): string[] | null {
  if (text.length > MAX_TEXT_LENGTH) return null;
  const lines: string[] = [];
  let start = 0;
  while (start < text.length) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline + 1;
    lines.push(text.slice(start, end));
    if (lines.length > MAX_TEXT_LINES) return null;
    start = end;
  }
  return lines;
}

/** Equal lines get equal numbers, so that comparing costs the same however long they are. */
function createNumbering(): (line: string) => number {
  const numbers = new Map<string, number>();
  return (line) => {
    const known = numbers.get(line) ?? numbers.size;
    numbers.set(line, known);
    return known;
  };
}
