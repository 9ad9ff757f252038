import { describe, expect, it } from 'vitest';
import { createBlockParser } from '../../../../connectors/files/markdown/parse-blocks.ts';

const blocksOf = (text: string): readonly (readonly [kind: string, source: string])[] =>
  createBlockParser()(text).map(({ kind, start, end }) => [kind, text.slice(start, end)]);

describe('where we differ from micromark’s syntax tree, on purpose', () => {
  it('an underlined heading right under a definition begins on its own line', () => {
    // The tree lets it begin where the definition does: removing one would take the other along.
    expect(blocksOf('[a]: b\nfoo\nbar\n---\n')).toEqual([
      ['other', '[a]: b'],
      ['heading', 'foo\nbar\n---'],
    ]);
  });

  it('a byte order mark that is not the file’s own is a character like any other', () => {
    // The tree leaves it out and counts every offset from behind it.
    expect(blocksOf('\uFEFF- a\n\n- b\n')).toEqual([
      ['paragraph', '\uFEFF- a'],
      ['item', '- b'],
    ]);
    expect(blocksOf('- b\n\n\uFEFFfoo\n---\n')).toEqual([
      ['item', '- b'],
      ['heading', '\uFEFFfoo\n---'],
    ]);
  });

  it('a list item with an unclosed fence ends with its last line that is not blank', () => {
    expect(blocksOf('- ```\n\n\n')).toEqual([['item', '- ```']]);
  });
});

describe('what would take too long', () => {
  it.each([
    ['a line of two hundred quotes', `${'> '.repeat(200)}x`],
    ['a list indented two hundred times', `- a\n${' '.repeat(400)}- b <b>`],
    ['a block of more than ten thousand lines', 'text\n'.repeat(10_001)],
    ['more than two hundred thousand lines', 'text\n\n'.repeat(100_001)],
  ])('is refused: %s', (_what, text) => {
    expect(() => blocksOf(text)).toThrow(expect.objectContaining({ code: 'REMOTE_MALFORMED' }));
  });
});
