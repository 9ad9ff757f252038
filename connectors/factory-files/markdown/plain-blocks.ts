/**
 * The blocks of text so plain that no grammar is needed: headings, bullets at the margin (with
 * plain lines under them) and paragraphs that begin with a word. Most of a memory file is that, and this is some twenty
 * times faster than parsing it. Anything else is left to the real parser; a property test proves
 * that the two always agree.
 */
import { lineEnd, nextLine } from './lines.ts';
import type { Block, BlockKind } from './parse-blocks.ts';

const HEADING = /^(#{1,6}) [^\s#](?:.*[^\s#])?$/;
const BULLET = /^[-*+] (?:[\p{L}["'(]|\*\*\p{L}|\d+(?: \S|[^\s\d.)]))(?:.*\S)?$/u;
/** A bullet's further lines, its two spaces taken off: more of its text, or a bullet of its own. */
const NESTED = /^(?:[-*+] )?\p{L}(?:.*\S)?$/u;
const PARAGRAPH = /^(?:\p{L}|\*\*\p{L}|\d+(?: \S|[^\s\d.)]))(?:.*\S)?$/u;

/** The blocks, or null when any line is not plain. */
export function plainBlocks(text: string): readonly Block[] | null {
  const blocks: Block[] = [];
  let previous: BlockKind | 'blank' | 'nested' = 'blank';
  for (let at = 0; at < text.length; at = nextLine(text, at)) {
    const end = lineEnd(text, at);
    const line = text.slice(at, end);
    const kind = kindOf(line);
    const isMore = kind === 'nested' || (kind === 'paragraph' && previous === 'paragraph');
    const isOdd =
      kind === 'nested' ? previous !== 'item' : kind === 'paragraph' && previous === 'item';
    if (kind === null || isOdd) return null;
    const last = blocks.at(-1);
    if (isMore && last) {
      blocks[blocks.length - 1] = { ...last, end, contentEnd: end };
      continue;
    }
    if (kind !== 'blank' && kind !== 'nested') {
      const depth = kind === 'heading' ? line.indexOf(' ') : 0;
      const contentStart = kind === 'heading' ? at + depth + 1 : at;
      blocks.push({ kind, start: at, end, depth, contentStart, contentEnd: end, isOpen: false });
    }
    previous = kind;
  }
  return blocks;
}

function kindOf(line: string): BlockKind | 'blank' | 'nested' | null {
  if (line === '') return 'blank';
  if (line.startsWith('  ')) return NESTED.test(line.slice(2)) ? 'nested' : null;
  if (HEADING.test(line)) return 'heading';
  if (BULLET.test(line)) return 'item';
  return PARAGRAPH.test(line) ? 'paragraph' : null;
}
