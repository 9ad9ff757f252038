import { describe, expect, it } from 'vitest';
import { stem } from '../../../../store/search/stem.ts';
import { termsOf } from '../../../../store/search/plan-search.ts';
import { wordsOf } from '../../../../store/search/words.ts';

const terms = (text: string): string[] => wordsOf(text).map(({ term }) => term);

describe('the stemmer', () => {
  // Words and stems of Porter's paper and his sample vocabulary.
  it.each([
    ['caresses', 'caress'],
    ['ponies', 'poni'],
    ['agreed', 'agre'],
    ['feed', 'feed'],
    ['plastered', 'plaster'],
    ['conflated', 'conflat'],
    ['hopping', 'hop'],
    ['falling', 'fall'],
    ['filing', 'file'],
    ['happy', 'happi'],
    ['sky', 'sky'],
    ['relational', 'relat'],
    ['rational', 'ration'],
    ['vietnamization', 'vietnam'],
    ['operator', 'oper'],
    ['hopefulness', 'hope'],
    ['electricity', 'electr'],
    ['replacement', 'replac'],
    ['adoption', 'adopt'],
    ['probate', 'probat'],
    ['cease', 'ceas'],
    ['controlling', 'control'],
    ['generalizations', 'gener'],
    ['oscillators', 'oscil'],
    ['walrus', 'walrus'],
    ['walruses', 'walrus'],
  ])('makes %s into %s', (word, expected) => {
    expect(stem(word)).toBe(expected);
  });
});

describe('words', () => {
  it.each([
    ['paints a sunrise', 'painted sunrises'],
    ['München', 'munchen'],
    ['STRASSE', 'Straße'],
    ['café', 'cafe\u0301'],
    ['ＡＢＣ１２', 'abc12'],
    ["Melanie's", 'melanie'],
  ])('of %j are those of %j', (one, other) => {
    expect(terms(one)).toEqual(terms(other));
  });

  it.each([
    ['parse_blocks', ['parse_blocks', 'pars', 'block']],
    ['parseBlocks', ['parseblocks', 'pars', 'block']],
    ['HTTPServer', ['httpserver', 'http', 'server']],
    ['2026-11-01', ['2026-11-01', '2026', '11', '01']],
    ['bob.smith@example.com', ['bob.smith@example.com', 'bob', 'smith', 'exampl', 'com']],
    ['src/store/x.ts', ['src/store/x.ts', 'src', 'store', 'x', 'ts']],
  ])('keep %s whole, and in parts', (text, expected) => {
    expect(terms(text)).toEqual(expected);
  });

  it('leave out what says nothing', () => {
    expect(terms('What did the agent do with it?')).toEqual(['agent']);
    expect(terms('?! … — ( )')).toEqual([]);
  });

  it('of a script without spaces are its characters and their pairs; a question has pairs only', () => {
    expect(terms('学习中文abc')).toEqual(['学', '学习', '习', '习中', '中', '中文', '文', 'abc']);
    expect(termsOf('学习中文')).toEqual(['学习', '习中', '中文']);
    expect(termsOf('文')).toEqual(['文']);
  });

  it('stand where they say they do', () => {
    const text = "Häuser: parse_blocks, 学习 and Bob's cafés";
    for (const { start, end } of wordsOf(text)) {
      expect(terms(text.slice(start, end)).length).toBeGreaterThan(0);
    }
  });
});
