import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diffLines } from '../../../../sync/merge/diff-lines.ts';
import { MAX_TEXT_LENGTH, MAX_TEXT_LINES, mergeTexts } from '../../../../sync/merge/merge-text.ts';

function merge(base: string, hub: string, remote: string): string | null {
  const merged = mergeTexts({ base, hub, remote, contestedTo: 'base' });
  return merged && `${merged.isContested ? 'contested' : 'clean'}: ${merged.text}`;
}

/** A repeatable text of lines drawn from few distinct ones. */
function noise(lines: number, distinct: number, seed: number): string {
  let state = seed;
  const next = (): number => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648);
  return Array.from({ length: lines }, () => `line ${next() % distinct}\n`).join('');
}

describe('merging texts by line', () => {
  it('merges edits that lie apart', () => {
    expect(merge('a\nb\nc\n', 'A\nb\nc\n', 'a\nb\nc\nd\n')).toBe('clean: A\nb\nc\nd\n');
  });

  it('contests touching edits and edits of one line', () => {
    expect(merge('a\nb\nc\n', 'A\nb\nc\n', 'a\nB\nc\n')).toBe('contested: a\nb\nc\n');
    expect(merge('a\nb\n', 'x\nb\n', 'y\nb\n')).toBe('contested: a\nb\n');
    expect(merge('a\n', 'a\nx\n', 'a\ny\n')).toBe('contested: a\n');
  });

  it('takes once what both changed alike', () => {
    expect(merge('a\nb\nc\nd\n', 'x\nb\nc\nD\n', 'x\nb\nc\nd\n')).toBe('clean: x\nb\nc\nD\n');
  });

  it('leaves line endings as they are', () => {
    expect(merge('a\r\nb\nc\nd', 'a\r\nb\nc\nD', 'A\r\nb\nc\nd')).toBe('clean: A\r\nb\nc\nD');
    expect(merge('a\nb\nc\n', 'a\r\nb\nc\n', 'a\nb\nC\n')).toBe('clean: a\r\nb\nC\n');
  });

  it('gives up over its caps instead of taking long', () => {
    const long = 'x\n'.repeat(MAX_TEXT_LINES);
    expect(merge(long, `${long}y\n`, long)).toBeNull();
    expect(merge('a', 'x'.repeat(MAX_TEXT_LENGTH + 1), 'b')).toBeNull();
    expect(merge(long, long, long)).not.toBeNull();
  });

  it.each([1, 2, 97, 5_000, 20_000])(
    'is done in time with 20,000 lines from %i distinct ones',
    { timeout: 2_000 },
    (distinct) => {
      const [base, hub, remote] = [1, 2, 3].map((seed) => noise(MAX_TEXT_LINES, distinct, seed));
      expect(merge(base!, hub!, remote!)).not.toBeNull();
    },
  );

  it('still merges far-apart edits in a long text full of blank lines', { timeout: 2_000 }, () => {
    const lines = Array.from({ length: 6_000 }, (_, at) => (at % 2 ? '\n' : `paragraph ${at}\n`));
    const edited = (at: number[]): string =>
      lines.map((line, index) => (at.includes(index) ? 'edited\n' : line)).join('');
    expect(merge(lines.join(''), edited([0, 5_000]), edited([2_500]))).toBe(
      `clean: ${edited([0, 2_500, 5_000])}`,
    );
  });
});

describe('comparing lines', () => {
  const lines = fc.array(fc.nat(6), { maxLength: 30 });

  it('stops looking for unique lines after some rounds, and still gives the side', () => {
    // Each round makes only the lines of the next one unique: one round per level.
    const nested = (level: number, leaf: number): number[] =>
      level === 0 ? [leaf] : [...nested(level - 1, leaf), level, ...nested(level - 1, leaf)];
    const [base, side] = [nested(10, 100), nested(10, 200)];
    const rebuilt: number[] = [];
    let cursor = 0;
    for (const hunk of diffLines(base, side)) {
      rebuilt.push(...base.slice(cursor, hunk.baseStart));
      rebuilt.push(...side.slice(hunk.sideStart, hunk.sideEnd));
      cursor = hunk.baseEnd;
    }
    expect([...rebuilt, ...base.slice(cursor)]).toEqual(side);
  });

  it('gives hunks that turn the base into the side and never touch', () => {
    fc.assert(
      fc.property(lines, lines, (base, side) => {
        const hunks = diffLines(base, side);
        const rebuilt: number[] = [];
        let cursor = 0;
        for (const hunk of hunks) {
          if (cursor > 0) expect(hunk.baseStart).toBeGreaterThan(cursor);
          rebuilt.push(...base.slice(cursor, hunk.baseStart));
          rebuilt.push(...side.slice(hunk.sideStart, hunk.sideEnd));
          cursor = hunk.baseEnd;
        }
        expect([...rebuilt, ...base.slice(cursor)]).toEqual(side);
      }),
      { numRuns: 2000 },
    );
  });
});
