import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { textOfJson } from '../../../store/search/body-text.ts';
import { highlightOf } from '../../../store/search/highlight.ts';
import { planSearch, termsOf } from '../../../store/search/plan-search.ts';
import { packSearchCursor, unpackSearchCursor } from '../../../store/search/search-cursor.ts';
import { searchVectorOf } from '../../../store/search/search-row.ts';
import { wordsOf } from '../../../store/search/words.ts';
import type { SearchStatistics } from '../../../store/search/term-statistics.ts';
import {
  codeOf,
  openStore,
  type StoreUnderTest,
} from '../../integration/store/store-under-test.ts';
import { CALLER } from '../../support/engine.ts';

/** Texts of every kind, and such as people type who wonder what a query language makes of them. */
const texts = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 200 }),
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc
    .array(
      fc.constantFrom(
        ...[
          "'",
          '"',
          '\\',
          '&',
          '|',
          '!',
          '<->',
          '(',
          ')',
          ':*',
          ':A',
          '%',
          '_',
          '$1',
          ';--',
          '\0',
        ],
        ...[
          '<b>',
          '&amp;',
          'a',
          'the',
          'parse_blocks',
          "o'brien",
          'ſ',
          'İ',
          '学习',
          '👩‍👩‍👧',
          '\u0301',
        ],
      ),
      { maxLength: 20 },
    )
    .map((parts) => parts.join(' ')),
);

const statistics = (
  shares: readonly number[],
  contexts: number,
  query: string,
): SearchStatistics => ({
  contexts,
  meanWords: 40,
  rarest: 0.000_25,
  shareOfTerm: new Map(
    termsOf(query).map((term, nth) => [term, shares[nth % shares.length] ?? 0.1]),
  ),
  shareOfFacet: new Map([['t:x', 1]]),
});

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());

describe('any text', () => {
  it('makes a vector and a query that Postgres takes, whatever the store is like', async () => {
    const shares = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(texts, shares, fc.nat(2_000_000), async (text, given, contexts) => {
        const vector = searchVectorOf({
          key: text,
          tags: [text],
          metadata: { [text]: text },
          text: null,
        });
        const { wanted } = planSearch(text, ['t:x'], statistics(given, contexts, text));
        await under.admin('SELECT $1::tsvector, $2::tsquery', [vector, wanted]);
      }),
      { numRuns: 300 },
    );
  });

  it('is a valid query, and finds a context that has it, if it has a word at all', async () => {
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        const key = 'any-text' as never;
        await under.store.contexts.store(CALLER, { key, data: text, options: {} });
        const query = { query: text, mode: 'text', limit: 5, offset: 0 } as const;
        const { results, total } = await under.store.search.search(CALLER, query);
        const isFound = text.trim() === '' || termsOf(text).length > 0;
        expect([results.length, total]).toEqual(isFound ? [1, 1] : [0, 0]);
      }),
      { numRuns: 150 },
    );
  });

  it('as a cursor is refused or taken, and never anything else', async () => {
    const values = fc.array(fc.oneof(fc.jsonValue(), fc.double(), fc.string()), { maxLength: 5 });
    const cursors = fc.oneof(
      fc.string({ minLength: 1 }),
      values.map((value) => Buffer.from(JSON.stringify(value)).toString('base64url')),
    );
    await fc.assert(
      fc.asyncProperty(cursors, async (cursor) => {
        const query = { query: 'word', mode: 'text', limit: 5, offset: 0, cursor } as const;
        expect(await codeOf(under.store.search.search(CALLER, query))).toBe('INVALID_CURSOR');
      }),
      { numRuns: 100 },
    );
  });
});

describe('an excerpt', () => {
  it('is the text itself, escaped, with marks around words that were asked for', () => {
    fc.assert(
      fc.property(texts, texts, (before, after) => {
        const text = `${before} needle ${after}`;
        const excerpt = highlightOf([text], ['needl'])!;
        const bare = excerpt.replace(/<\/?mark>/g, '');
        expect(bare).not.toMatch(/[<>"']|&(?!(?:amp|lt|gt|quot|#39);)/);
        expect(excerpt.match(/<mark>/g)?.length).toBe(excerpt.match(/<\/mark>/g)?.length);
        const plain = bare
          .replace(/&lt;/g, '<')
          .replace(/&gt;/g, '>')
          .replace(/&quot;/g, '"')
          .replace(/&#39;/g, "'")
          .replace(/&amp;/g, '&');
        expect(text).toContain(plain.replace(/^…/, '').replace(/…$/, ''));
        for (const [, marked] of excerpt.matchAll(/<mark>(.*?)<\/mark>/gs)) {
          expect(wordsOf(marked!).map(({ term }) => term)).toContain('needl');
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('text of JSON', () => {
  it('is every string and member name of it', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 3 }), (value) => {
        const { values, names } = textOfJson(JSON.stringify(value));
        const found = new Set([...values, ...names]);
        const walk = (part: unknown): void => {
          if (typeof part === 'string') expect(found).toContain(part);
          if (typeof part !== 'object' || part === null) return;
          for (const [name, member] of Object.entries(part)) {
            if (!Array.isArray(part)) expect(names).toContain(name);
            walk(member);
          }
        };
        walk(value);
      }),
      { numRuns: 300 },
    );
  });

  it('may be cut off anywhere', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(200), (value, at) => {
        expect(() => textOfJson(JSON.stringify(value).slice(0, at))).not.toThrow();
      }),
      { numRuns: 300 },
    );
  });
});

describe('a cursor', () => {
  it('brings back its place and what the first page was ranked by', () => {
    const place = fc.record({
      value: fc.double({ noNaN: true, noDefaultInfinity: true }),
      key: fc.string({ minLength: 1 }),
    });
    fc.assert(
      fc.property(texts, place, (query, at) => {
        const value = at.value + 0; // JSON has no -0
        const key = at.key.replaceAll('\0', '');
        const search = { query, terms: termsOf(query), facets: ['t:x'], prefix: 'p/' };
        const known = statistics([0.1, 0.25], 1_000, query);
        const cursor = packSearchCursor(search, { place: { value, key }, statistics: known });
        const { place: back, statistics: again } = unpackSearchCursor(search, cursor);
        expect(back.value).toBeCloseTo(value, 10);
        expect(back.key).toBe(key);
        expect(planSearch(query, ['t:x'], again!)).toEqual(planSearch(query, ['t:x'], known));
      }),
      { numRuns: 200 },
    );
  });
});
