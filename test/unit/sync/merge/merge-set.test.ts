import { describe, expect, it } from 'vitest';
import type { Json } from '../../../../domain/json.ts';
import { inSetOrder, mergeSets, oneSpelling } from '../../../../sync/merge/merge-set.ts';

describe('sets', () => {
  it('are written with texts first, by code unit, then the rest by canonical text', () => {
    expect(inSetOrder([{ a: 1 }, 'b', 2, 'B', null, 'b'])).toEqual([
      'B',
      'b',
      'b',
      2,
      null,
      { a: 1 },
    ]);
  });

  it('keep one spelling of what is the same, whichever side has which', () => {
    const [a, b] = [
      { x: 1, y: 2 },
      { y: 2, x: 1 },
    ];
    expect(oneSpelling(a, b)).toEqual(oneSpelling(b, a));
  });

  it('are merged by asking once about each element, however many there are', () => {
    let asked = 0;
    const classOf = (element: Json): number => {
      asked += 1;
      return Number(element);
    };
    const numbers = (from: number, count: number): Json[] =>
      Array.from({ length: count }, (_, at) => String(from + at));
    const merged = mergeSets({
      base: numbers(0, 10_000),
      hub: numbers(1_000, 10_000),
      remote: numbers(2_000, 10_000),
      rule: 'three-way',
      classOf,
    });
    // Gone: 0 to 1,999, each missed by a side; added: 10,000 to 11,999.
    expect(merged).toHaveLength(10_000);
    expect(asked).toBe(30_000);
  });
});
