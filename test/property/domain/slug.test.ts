import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { nameOfSlug, pathKey, slugOfName } from '../../../domain/slug.ts';

/** Names as people give them, names made to confuse, and any text at all. */
const confusing = fc.string({
  unit: fc.constantFrom(...'aAbZ -_%~/.09éÉß\u0000\u001f\u007f\u0085\u00a0', '😀'),
});
const name = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  confusing,
  fc.string({ unit: 'grapheme', maxLength: 400 }),
  fc.constantFrom('~h', '~x1', 'a~s', '%2d', '%', '-', ' ', '--', 'Code Style', 'snake_Case_Name'),
);
const isShort = (slug: string): boolean => !/~h[0-9a-f]{40}$/.test(slug);

describe('the slug of a name', () => {
  it('gives the name back, unless it was too long', () => {
    fc.assert(
      fc.property(name, (given) => {
        const slug = slugOfName(given);
        expect(nameOfSlug(slug)).toBe(isShort(slug) ? given : null);
      }),
      { numRuns: 2000 },
    );
  });

  it('is never that of another name', () => {
    fc.assert(
      fc.property(name, name, (one, other) => {
        expect(slugOfName(one) === slugOfName(other)).toBe(one === other);
      }),
      { numRuns: 2000 },
    );
  });

  it('tells apart names that differ only in case, dashes, spaces or escapes', () => {
    const letters = fc.constantFrom('a', 'A', '-', ' ', '_', '%', '2', 'd', '~', 'x');
    const alike = fc.array(letters, { maxLength: 8 }).map((units) => units.join(''));
    fc.assert(
      fc.property(fc.uniqueArray(alike, { minLength: 2, maxLength: 30 }), (names) => {
        expect(new Set(names.map(slugOfName)).size).toBe(names.length);
      }),
      { numRuns: 500 },
    );
  });

  it('is a fit key tail: no control character, no slash, at most 320 code points', () => {
    fc.assert(
      fc.property(fc.oneof(name, fc.string({ unit: 'binary', maxLength: 2000 })), (given) => {
        const slug = slugOfName(given);
        expect(slug).not.toMatch(/[\p{Cc}/]/u);
        expect([...slug].length).toBeLessThanOrEqual(320);
      }),
    );
  });

  it('is never the tail of a path', () => {
    fc.assert(
      fc.property(name, name, (given, path) => {
        expect(slugOfName(given)).not.toBe(pathKey(path));
      }),
    );
  });

  it('of two long names that start alike differs', () => {
    const long = fc.string({ unit: 'grapheme', minLength: 330, maxLength: 400 });
    fc.assert(
      fc.property(long, fc.string({ minLength: 1, maxLength: 5 }), (start, end) => {
        expect(slugOfName(start)).not.toBe(slugOfName(start + end));
      }),
    );
  });
});

describe('any text taken for a slug', () => {
  it('never makes nameOfSlug fail', () => {
    const text = fc.oneof(name, fc.string({ unit: fc.constantFrom(...'~hxska%0f1z-') }));
    fc.assert(
      fc.property(text, (slug) => {
        const back = nameOfSlug(slug);
        expect(back === null || typeof back === 'string').toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
