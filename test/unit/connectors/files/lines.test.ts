import { describe, expect, it } from 'vitest';
import { dominantEol } from '../../../../connectors/files/markdown/lines.ts';

describe('the line ending of a text', () => {
  it.each([
    ['', '\n'],
    ['one line', '\n'],
    ['a\nb\n', '\n'],
    ['a\r\nb\r\n', '\r\n'],
    ['a\rb\r', '\r'],
    ['a\r\rb', '\r'],
    ['a\r\r\nb\r\n', '\r\n'],
    // Mixed: what most lines have; of equals the plainer.
    ['a\r\nb\nc\r\n', '\r\n'],
    ['a\r\nb\n', '\n'],
    ['a\rb\nc\n', '\n'],
    ['a\rb\n', '\n'],
    ['a\rb\r\n', '\r\n'],
    ['a\rb\rc\nd\r\n', '\r'],
  ])('of %j is %j', (text, eol) => {
    expect(dominantEol(text)).toBe(eol);
  });
});
