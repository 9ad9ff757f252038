/**
 * Differences between two lists of line numbers, in bounded time.
 * Lines that occur once on each side are matched first (the patience method), so that blank and
 * repeated lines cost nothing; node-diff3 compares what is left between them, within a budget.
 * A stretch over the budget counts as one change: coarser, never wrong.
 */
import { diffIndices } from 'node-diff3';

/** Base lines [baseStart, baseEnd) became side lines [sideStart, sideEnd). */
export interface Hunk {
  readonly baseStart: number;
  readonly baseEnd: number;
  readonly sideStart: number;
  readonly sideEnd: number;
}

/** Steps of node-diff3's inner loop one comparison may take: 10 ms as measured. */
const MAX_STEPS = 10_000_000;
/** Rounds of unique-line matching; each costs one pass over the text. */
const MAX_ROUNDS = 8;

interface Comparison {
  readonly base: readonly number[];
  readonly side: readonly number[];
  readonly hunks: Hunk[];
  stepsLeft: number;
}

/** What changed, in order; hunks never overlap and never touch. */
export function diffLines(base: readonly number[], side: readonly number[]): readonly Hunk[] {
  const comparison = { base, side, hunks: [], stepsLeft: MAX_STEPS };
  const whole = { baseStart: 0, baseEnd: base.length, sideStart: 0, sideEnd: side.length };
  compare(comparison, whole, MAX_ROUNDS);
  return comparison.hunks;
}

function compare(comparison: Comparison, range: Hunk, rounds: number): void {
  const gap = trimmed(comparison, range);
  const isPlain = gap.baseStart === gap.baseEnd || gap.sideStart === gap.sideEnd;
  if (isPlain) return pushHunk(comparison, gap);
  const anchors = rounds > 0 ? uniqueMatches(comparison, gap) : [];
  if (anchors.length === 0) return compareFully(comparison, gap);
  let { baseStart, sideStart } = gap;
  for (const [baseAt, sideAt] of anchors) {
    compare(comparison, { baseStart, baseEnd: baseAt, sideStart, sideEnd: sideAt }, rounds - 1);
    baseStart = baseAt + 1;
    sideStart = sideAt + 1;
  }
  compare(comparison, { ...gap, baseStart, sideStart }, rounds - 1);
}

/** The range without the lines both begin and end with. */
function trimmed({ base, side }: Comparison, range: Hunk): Hunk {
  let { baseStart, baseEnd, sideStart, sideEnd } = range;
  while (baseStart < baseEnd && sideStart < sideEnd && base[baseStart] === side[sideStart]) {
    baseStart += 1;
    sideStart += 1;
  }
  while (baseStart < baseEnd && sideStart < sideEnd && base[baseEnd - 1] === side[sideEnd - 1]) {
    baseEnd -= 1;
    sideEnd -= 1;
  }
  return { baseStart, baseEnd, sideStart, sideEnd };
}

function pushHunk(comparison: Comparison, hunk: Hunk): void {
  if (hunk.baseStart < hunk.baseEnd || hunk.sideStart < hunk.sideEnd) comparison.hunks.push(hunk);
}

function compareFully(comparison: Comparison, gap: Hunk): void {
  const base = comparison.base.slice(gap.baseStart, gap.baseEnd);
  const side = comparison.side.slice(gap.sideStart, gap.sideEnd);
  const steps = stepsFor(base, side);
  if (steps > comparison.stepsLeft) return pushHunk(comparison, gap);
  comparison.stepsLeft -= steps;
  for (const { buffer1, buffer2 } of diffIndices(base, side)) {
    const baseStart = gap.baseStart + buffer1[0];
    const sideStart = gap.sideStart + buffer2[0];
    pushHunk(comparison, {
      baseStart,
      baseEnd: baseStart + buffer1[1],
      sideStart,
      sideEnd: sideStart + buffer2[1],
    });
  }
}

/** Upper bound of node-diff3's work: every pair of equal lines may walk the whole candidate list. */
function stepsFor(base: readonly number[], side: readonly number[]): number {
  const counts = countsIn(side, 0, side.length);
  const pairs = base.reduce((sum, line) => sum + (counts.get(line) ?? 0), 0);
  return base.length + side.length + pairs * Math.min(base.length, side.length);
}

/** Matches of lines that are unique on both sides, the longest run that keeps its order. */
function uniqueMatches({ base, side }: Comparison, gap: Hunk): [number, number][] {
  const baseCounts = countsIn(base, gap.baseStart, gap.baseEnd);
  const sideCounts = countsIn(side, gap.sideStart, gap.sideEnd);
  const sideAt = new Map<number, number>();
  for (let at = gap.sideStart; at < gap.sideEnd; at += 1) sideAt.set(side[at]!, at);
  const matches: [number, number][] = [];
  for (let at = gap.baseStart; at < gap.baseEnd; at += 1) {
    const line = base[at]!;
    const isUnique = baseCounts.get(line) === 1 && sideCounts.get(line) === 1;
    if (isUnique) matches.push([at, sideAt.get(line)!]);
  }
  return longestRising(matches);
}

function countsIn(lines: readonly number[], start: number, end: number): Map<number, number> {
  const counts = new Map<number, number>();
  for (let at = start; at < end; at += 1) counts.set(lines[at]!, (counts.get(lines[at]!) ?? 0) + 1);
  return counts;
}

/** Longest subsequence whose second members rise (patience sorting, n log n). */
function longestRising(matches: readonly [number, number][]): [number, number][] {
  const piles: number[] = [];
  const previous: number[] = [];
  matches.forEach(([, value], index) => {
    const pile = firstPileAtLeast(matches, piles, value);
    previous[index] = pile > 0 ? piles[pile - 1]! : -1;
    piles[pile] = index;
  });
  const run: [number, number][] = [];
  let index = piles.at(-1) ?? -1;
  while (index >= 0) {
    run.push(matches[index]!);
    index = previous[index]!;
  }
  return run.reverse();
}

function firstPileAtLeast(
  matches: readonly [number, number][],
  piles: readonly number[],
  value: number,
): number {
  let low = 0;
  let high = piles.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (matches[piles[middle]!]![1] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
