import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createBlockParser,
  parsedBlocks,
} from '../../../../connectors/files/markdown/parse-blocks.ts';
import { plainBlocks } from '../../../../connectors/files/markdown/plain-blocks.ts';
import { line, markdown, plainLine } from './markdown-arbitraries.ts';

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
      { numRuns: 1500 },
    );
  });

  it('gives blocks in their order that never overlap and lie within the text', () => {
    const definitions = fc.constantFrom('[a]: b', '[a]:', '  /url', '===', '---', '\uFEFF');
    const lines = fc.array(fc.oneof({ weight: 3, arbitrary: line }, definitions), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(lines, fc.constantFrom('\n', '\r\n', '\r'), (some, end) => {
        const text = some.join(end);
        let at = 0;
        for (const block of createBlockParser()(text)) {
          expect(block.start).toBeGreaterThanOrEqual(at);
          expect(block.end).toBeGreaterThanOrEqual(block.start);
          at = block.end;
        }
        expect(at).toBeLessThanOrEqual(text.length);
      }),
      { numRuns: 700 },
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

  it('takes the short cut for the lists, quotes and fences people write, and agrees there too', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.array(plainLine, { maxLength: 7 }), (lines) => {
        const text = lines.join('\n');
        const plain = plainBlocks(text);
        if (!plain) return;
        taken += 1;
        expect(spans(text, plain)).toEqual(spans(text, parsedBlocks(text)));
      }),
      { numRuns: 3000 },
    );
    expect(taken).toBeGreaterThan(300);
  });
});
