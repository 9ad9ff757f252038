/**
 * The blocks of text so plain that no grammar is needed: headings, list items at the margin (with
 * what is indented under them), paragraphs, quotes and closed code fences. Most of a memory file is
 * that, and this is some fifty times faster than parsing it. Anything else is left to the real
 * parser; a property test proves that the two always agree.
 */
import { lineEnd, nextLine } from './lines.ts';
import type { Block, BlockKind } from './parse-blocks.ts';

/** How text begins that can be nothing but text, wherever it stands. */
const WORD = String.raw`(?:\p{L}|["'(]|\*\*\p{L}|\x60[^\x60\s]|\[[\p{L}\d ]|\d+(?: \S|[^\s\d.)]))`;
const REST = String.raw`(?:.*\S)?$`;

const HEADING = /^(#{1,6}) [^\s#](?:.*[^\s#])?$/;
const BULLET = new RegExp(`^[-*+] ${WORD}${REST}`, 'u');
const NUMBER = new RegExp(String.raw`^\d{1,9}\. (?:\p{L}|\*\*\p{L}|\x60[^\x60\s])${REST}`, 'u');
/** A list item's further lines without their indent: more of its text, or an item of its own. */
const NESTED = new RegExp(String.raw`^(?:[-*+] )?(?:\p{L}|\*\*\p{L}|\x60[^\x60\s])${REST}`, 'u');
// Not `[`: what looks like a link's definition is no paragraph.
const PARAGRAPH = new RegExp(
  String.raw`^(?:\p{L}|\*\*\p{L}|\x60[^\x60\s]|\d+(?: \S|[^\s\d.)]))${REST}`,
  'u',
);
const QUOTE = new RegExp(String.raw`^> (?:\p{L}|\*\*\p{L})${REST}`, 'u');
const FENCE = /^\x60{3}[\w-]*$/;
const MAX_INDENT = 12;

type LineKind = BlockKind | 'number' | 'quote' | 'blank' | 'nested';

interface Line {
  readonly kind: LineKind;
  readonly at: number;
  readonly end: number;
}

/** What the lines so far leave open. */
interface Reading {
  readonly text: string;
  readonly blocks: Block[];
  previous: LineKind;
  /** Columns a line needs to stay in the item that is open. */
  itemIndent: number;
}

/** The blocks, or null when any line is not plain. */
export function plainBlocks(text: string): readonly Block[] | null {
  const reading: Reading = { text, blocks: [], previous: 'blank', itemIndent: 0 };
  for (let at = 0; at < text.length;) {
    const end = lineEnd(text, at);
    const kind = kindOf(text.slice(at, end), reading);
    if (kind === null) return null;
    const last = kind === 'fenced' ? fenceEnd(text, at) : end;
    if (last === null || !take(reading, { kind, at, end: last })) return null;
    at = nextLine(text, last);
  }
  return reading.blocks;
}

/** Adds a line to the blocks; false where only the grammar knows what it is. */
function take(reading: Reading, line: Line): boolean {
  const { kind } = line;
  const { previous } = reading;
  if (!mayFollow(kind, previous)) return false;
  const isMore =
    kind === 'nested' || (kind === previous && (kind === 'paragraph' || kind === 'quote'));
  if (isMore) {
    lengthen(reading.blocks, line.end);
    return true;
  }
  if (kind !== 'blank') reading.blocks.push(blockOf(reading, line));
  reading.previous = kind;
  return true;
}

function mayFollow(kind: LineKind, previous: LineKind): boolean {
  const isInItem = previous === 'item' || previous === 'number';
  if (kind === 'nested') return isInItem;
  // Under an item or a quote, text at the margin is still the item's or the quote's.
  if (kind === 'paragraph') return !isInItem && previous !== 'quote';
  const isApart = previous === 'blank' || previous === 'heading' || previous === 'fenced';
  if (kind === 'number' || kind === 'quote') return isApart || kind === previous;
  return kind !== 'fenced' || isApart;
}

function lengthen(blocks: Block[], end: number): void {
  const last = blocks.at(-1);
  if (last) blocks[blocks.length - 1] = { ...last, end, contentEnd: end };
}

function blockOf(reading: Reading, { kind, at, end }: Line): Block {
  const marks = kind === 'heading' || kind === 'number' ? reading.text.indexOf(' ', at) - at : 0;
  const depth = kind === 'heading' ? marks : 0;
  reading.itemIndent = kind === 'number' ? marks + 1 : 2;
  const contentStart = kind === 'heading' ? at + depth + 1 : at;
  return {
    kind: kind === 'number' ? 'item' : kind === 'quote' ? 'other' : (kind as BlockKind),
    start: at,
    end,
    depth,
    contentStart,
    contentEnd: end,
    isOpen: false,
  };
}

function kindOf(line: string, { previous, itemIndent }: Reading): LineKind | null {
  if (line === '') return 'blank';
  if (line.startsWith('  ')) {
    const text = line.trimStart();
    const indent = line.length - text.length;
    const isInside = indent >= itemIndent && indent <= MAX_INDENT && !line.startsWith('\t', indent);
    return (previous === 'item' || previous === 'number') && isInside && NESTED.test(text)
      ? 'nested'
      : null;
  }
  if (HEADING.test(line)) return 'heading';
  if (BULLET.test(line)) return 'item';
  if (NUMBER.test(line)) return 'number';
  if (QUOTE.test(line)) return 'quote';
  if (FENCE.test(line)) return 'fenced';
  return PARAGRAPH.test(line) ? 'paragraph' : null;
}

/** Where the fence that opens at `from` ends; null when it is not closed in the plainest way. */
function fenceEnd(text: string, from: number): number | null {
  for (let at = nextLine(text, from); at < text.length; at = nextLine(text, at)) {
    const end = lineEnd(text, at);
    const line = text.slice(at, end);
    if (line === '```') return end;
    if (line.trimStart().startsWith('```')) return null;
  }
  return null;
}
