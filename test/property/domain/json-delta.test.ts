import fc from 'fast-check';
import * as jsondiffpatch from 'jsondiffpatch';
import { describe, expect, it } from 'vitest';
import { canonicalJson, type Json } from '../../../domain/json.ts';
import { diffDelta } from '../../../domain/json-delta.ts';
import { createSameJson } from '../../../domain/json-equality.ts';

const value = (): fc.Arbitrary<Json> => fc.jsonValue({ maxDepth: 5 }).map((json) => json as Json);
type Pair = readonly [Json, Json];
/** Values that share most of what they hold. */
const related = (): fc.Arbitrary<Pair> =>
  fc.oneof<fc.Arbitrary<Pair>[]>(
    fc.tuple(value(), value()),
    fc.tuple(fc.array(value()), fc.array(value()), fc.array(value()), fc.array(value())).map(
      ([head, gone, come, tail]) =>
        [
          [...head, ...gone, ...tail],
          [...head, ...come, ...tail],
        ] satisfies Pair as Pair,
    ),
    fc.tuple(fc.dictionary(fc.string(), value()), fc.dictionary(fc.string(), value())).map(
      ([first, second]) =>
        [
          { kept: 1, ...first },
          { kept: 1, ...second },
        ] as const,
    ),
  );
const copy = (json: Json): Json => structuredClone(json);

describe('a delta', () => {
  it('leads jsondiffpatch from the first value to the second, and back', () => {
    fc.assert(
      fc.property(related(), ([before, after]) => {
        // The library's own sign of equal values is undefined.
        const delta = (diffDelta(before, after) ?? undefined) as jsondiffpatch.Delta;
        expect(jsondiffpatch.patch(copy(before), delta)).toStrictEqual(copy(after));
        expect(jsondiffpatch.unpatch(copy(after), delta)).toStrictEqual(copy(before));
      }),
      { numRuns: 1000 },
    );
  });

  it('is null for equal values and only for them', () => {
    fc.assert(
      fc.property(related(), ([before, after]) => {
        expect(diffDelta(before, before)).toBeNull();
        const isEqual = canonicalJson(before) === canonicalJson(after);
        expect(diffDelta(before, after) === null).toBe(isEqual);
      }),
    );
  });

  it('replaces whole what the library could not tell by its members', () => {
    const [before, after] = [{ a: { _t: 1, b: 2 } }, { a: { _t: 2, b: 2 } }];
    const delta = diffDelta(before, after);
    expect(delta).toEqual({ a: [before.a, after.a] });
    expect(jsondiffpatch.patch(copy(before), delta as jsondiffpatch.Delta)).toEqual(after);
  });

  it('takes time in proportion to the values, however long their lists or deep their nesting', () => {
    const long = (shift: number): Json => Array.from({ length: 100_000 }, (_, nth) => nth + shift);
    let deep: Pair = [long(0), long(1)];
    for (let level = 0; level < 198; level += 1) deep = [[deep[0]], [deep[1]]];
    const began = performance.now();
    diffDelta(deep[0], deep[1]);
    // A comparison of each with each would take hours.
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});

describe('sameness', () => {
  it('is that of canonical text', () => {
    fc.assert(
      fc.property(related(), ([a, b]) => {
        expect(createSameJson()(a, b)).toBe(canonicalJson(a) === canonicalJson(b));
      }),
    );
    const isSame = createSameJson();
    expect(isSame([-0], [0])).toBe(false);
    expect(isSame({ a: 1, b: [2] }, { b: [2], a: 1 })).toBe(true);
    expect(isSame(['#0'], [[]])).toBe(false);
  });
});
