import { describe, expect, it } from 'vitest';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { hashText } from '../../../domain/hash.ts';
import {
  canonicalJson,
  memberOf,
  setMember,
  type Json,
  type JsonObject,
} from '../../../domain/json.ts';

const name = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.constantFrom(
    '__proto__',
    'constructor',
    'toString',
    '',
    'é',
    'e\u0301',
    '\ud7ff',
    '\ue000',
    '😀',
  ),
);
const leaf = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(-0, 0, 1e21, 5e-324, Number.MAX_SAFE_INTEGER),
);

const { value } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(name, tie('value')), { maxLength: 5 }).map(objectOf),
  ),
}));

/** Own members only, so that `__proto__` is one too. */
function objectOf(members: readonly (readonly [string, Json])[]): JsonObject {
  const made: JsonObject = {};
  for (const [member, held] of members) setMember(made, member, held);
  return made;
}

/** The same value with the members of every object in the opposite order of writing. */
function rewritten(given: Json): Json {
  if (Array.isArray(given)) return given.map(rewritten);
  if (typeof given !== 'object' || given === null) return given;
  const names = Object.keys(given).reverse();
  return objectOf(names.map((member) => [member, rewritten(given[member]!)]));
}

describe('the canonical text of a value', () => {
  it('gives the value back, minus zero and __proto__ included', () => {
    fc.assert(
      fc.property(value, (given) => {
        expect(isDeepStrictEqual(JSON.parse(canonicalJson(given)), plain(given))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it('is the same for equal values, whatever order their members were written in', () => {
    fc.assert(
      fc.property(value, (given) => {
        expect(canonicalJson(rewritten(given))).toBe(canonicalJson(given));
      }),
      { numRuns: 1000 },
    );
  });

  it('differs for different values, and so does its hash', () => {
    fc.assert(
      fc.property(value, value, (one, other) => {
        const same = canonicalJson(one) === canonicalJson(other);
        expect(same).toBe(isDeepStrictEqual(plain(one), plain(other)));
        expect(hashText(canonicalJson(one)) === hashText(canonicalJson(other))).toBe(same);
      }),
      { numRuns: 1000 },
    );
  });

  it('is canonical already: parsing and writing it again changes nothing', () => {
    fc.assert(
      fc.property(value, (given) => {
        const text = canonicalJson(given);
        expect(canonicalJson(JSON.parse(text) as Json)).toBe(text);
      }),
    );
  });

  it('is compact: as long as JSON.stringify makes it, but for minus zero', () => {
    fc.assert(
      fc.property(value, (given) => {
        const minusZeros = canonicalJson(given).length - JSON.stringify(given).length;
        expect(minusZeros).toBeGreaterThanOrEqual(0);
        if (!hasMinusZero(given)) expect(minusZeros).toBe(0);
      }),
    );
  });

  it('does not change what it was given', () => {
    fc.assert(
      fc.property(value, (given) => {
        const before = JSON.stringify(given);
        canonicalJson(given);
        expect(JSON.stringify(given)).toBe(before);
      }),
    );
  });
});

describe('members of an object', () => {
  it('are set and read as own members, whatever they are called', () => {
    fc.assert(
      fc.property(name, value, (member, held) => {
        const object: JsonObject = {};
        expect(memberOf(object, member)).toBeUndefined();
        setMember(object, member, held);
        expect(memberOf(object, member)).toBe(held);
        expect(Object.keys(object)).toEqual([member]);
        expect(Object.getPrototypeOf(object)).toBe(Object.prototype);
      }),
    );
  });
});

function hasMinusZero(given: Json): boolean {
  if (Object.is(given, -0)) return true;
  return typeof given === 'object' && given !== null && Object.values(given).some(hasMinusZero);
}

/** Without what fast-check puts onto its objects (null prototypes). */
function plain(given: Json): Json {
  return rewritten(rewritten(given));
}
