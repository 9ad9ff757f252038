import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createBlockParser,
  parsedBlocks,
} from '../../../../connectors/factory-files/markdown/parse-blocks.ts';
import { plainBlocks } from '../../../../connectors/factory-files/markdown/plain-blocks.ts';
import { line, markdown } from './markdown-arbitraries.ts';

const spans = (text: string, blocks: ReturnType<typeof parsedBlocks>) =>
  blocks.map(({ kind, start, end, depth, contentStart, contentEnd }) => ({
    kind,
    depth,
    start,
    source: text.slice(start, end).trimEnd(),
    content: text.slice(contentStart, contentEnd).trimEnd(),
  }));

describe('parsing in pieces', () => {
  it('finds the blocks a parser finds in the whole text, wherever it cuts', () => {
    fc.assert(
      fc.property(markdown, fc.constantFrom(1, 20, 100), (text, pieceChars) => {
        fc.pre(!text.startsWith('---'));
        const inPieces = createBlockParser(pieceChars)(text);
        expect(spans(text, inPieces)).toEqual(spans(text, parsedBlocks(text)));
      }),
      { numRuns: 3000 },
    );
  });

  it('gives the same blocks for a text it has seen, and for one that shares pieces with it', () => {
    fc.assert(
      fc.property(markdown, markdown, (a, b) => {
        const parse = createBlockParser(1);
        parse(a);
        expect(parse(a + b)).toEqual(createBlockParser(1)(a + b));
        expect(parse(a)).toEqual(createBlockParser(1)(a));
      }),
      { numRuns: 300 },
    );
  });

  it('takes the short cut for plain text only where it agrees with the parser', () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
        const text = lines.join('\n');
        const plain = plainBlocks(text);
        if (plain) expect(spans(text, plain)).toEqual(spans(text, parsedBlocks(text)));
      }),
      { numRuns: 3000 },
    );
  });
});
