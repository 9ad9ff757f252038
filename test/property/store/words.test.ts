/** The quick cutting of text gives what the plain one did. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { searchVectorOf } from '../../../store/search/search-row.ts';
import { wordsOf } from '../../../store/search/words.ts';
import { formerVectorOf, formerWordsOf } from './former-words.ts';

const PIECES = [
  ...['word', 'Word', 'WORDS', 'fooBar', 'HTMLPage', 'HTMLP', 'v2', 'A1b', 'aB', 'ABc', 'x', 'K'],
  ...['_', '.', '@', ':', '/', '\\', "'", '\u2019', '+', '-', ' ', '"', ',', '\0', '\ud800', '~'],
  ...[
    '\u017f',
    '\u0130',
    '\u00e9',
    '\u5b66\u4e60',
    '\u0301',
    '\u00df',
    'the',
    "'s",
    '2026',
    'Running',
  ],
  ...['a'.repeat(63), 'B'.repeat(70), 'cD'.repeat(40)],
];
const texts = fc.oneof(
  fc.array(fc.constantFrom(...PIECES), { maxLength: 14 }).map((parts) => parts.join('')),
  fc.string({ maxLength: 100 }),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 60 }),
);
const cuts = fc.constantFrom({}, { isQuery: true }, { most: 3 }, { most: 0 });

it('of any text gives the same words at the same places', () => {
  fc.assert(
    fc.property(texts, cuts, (text, cut) => {
      expect(wordsOf(text, cut)).toEqual(formerWordsOf(text, cut));
    }),
    { numRuns: 5_000 },
  );
});

it('of any context gives the same vector, of words that come often too', () => {
  const values = fc.array(texts, { maxLength: 5 });
  fc.assert(
    fc.property(texts, values, values, fc.constantFrom(1, 300), (key, tags, some, times) => {
      const all = Array.from({ length: times }, () => some).flat();
      const given = { key, tags, metadata: {}, text: { names: [], values: all } };
      expect(searchVectorOf(given)).toBe(formerVectorOf(key, tags, all));
    }),
    { numRuns: 300 },
  );
});
