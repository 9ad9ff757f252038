/**
 * The blocks of text so plain that no grammar is needed: headings, one-line bullets at the margin
 * and paragraphs that begin with a word. Most of a memory file is that, and this is some twenty
 * times faster than parsing it. Anything else is left to the real parser; a property test proves
 * that the two always agree.
 */
import { lineEnd, nextLine } from './lines.ts';
import type { Block, BlockKind } from './parse-blocks.ts';

const HEADING = /^(#{1,6}) [^\s#](?:.*[^\s#])?$/;
const BULLET = /^[-*+] (?:[\p{L}["'(]|\*\*\p{L}|\d+(?: \S|[^\s\d.)]))(?:.*\S)?$/u;
const PARAGRAPH = /^(?:\p{L}|\*\*\p{L}|\d+(?: \S|[^\s\d.)]))(?:.*\S)?$/u;

/** The blocks, or null when any line is not plain. */
export function plainBlocks(text: string): readonly Block[] | null {
  const blocks: Block[] = [];
  let previous: BlockKind | 'blank' = 'blank';
  for (let at = 0; at < text.length; at = nextLine(text, at)) {
    const end = lineEnd(text, at);
    const line = text.slice(at, end);
    const kind = kindOf(line);
    if (kind === null || (kind === 'paragraph' && previous === 'item')) return null;
    const last = blocks.at(-1);
    if (kind === 'paragraph' && previous === 'paragraph' && last) {
      blocks[blocks.length - 1] = { ...last, end, contentEnd: end };
    } else if (kind !== 'blank') {
      const depth = kind === 'heading' ? line.indexOf(' ') : 0;
      const contentStart = kind === 'heading' ? at + depth + 1 : at;
      blocks.push({ kind, start: at, end, depth, contentStart, contentEnd: end, isOpen: false });
    }
    previous = kind;
  }
  return blocks;
}

function kindOf(line: string): BlockKind | 'blank' | null {
  if (line === '') return 'blank';
  if (HEADING.test(line)) return 'heading';
  if (BULLET.test(line)) return 'item';
  return PARAGRAPH.test(line) ? 'paragraph' : null;
}
