/**
 * The top-level blocks of a Markdown text with their offsets, by micromark's CommonMark grammar.
 *
 * The parser's cost grows faster than its input, so a text is cut where any parser must start a
 * new block, the pieces are parsed one by one, and pieces seen in the last texts are not parsed
 * again. Inline Markdown is switched off: only blocks matter here, and offsets stay true.
 */
import { fromMarkdown } from 'mdast-util-from-markdown';
import type { Heading, Html, RootContent } from 'mdast';
import { AppError } from '../../../domain/errors.ts';
import { isBlank, lineEnd, lineStart, nextLine, withUnixEols } from './lines.ts';
import { plainBlocks } from './plain-blocks.ts';

export type BlockKind =
  'heading' | 'item' | 'paragraph' | 'fenced' | 'html' | 'comment' | 'break' | 'other';

/** A top-level block, or one item of a top-level list; [start, end) in UTF-16 code units. */
export interface Block {
  readonly kind: BlockKind;
  readonly start: number;
  readonly end: number;
  /** 1–6 for a heading, else 0. */
  readonly depth: number;
  /** A heading's text between its marks; the block itself for other kinds. */
  readonly contentStart: number;
  readonly contentEnd: number;
  /** A fence or HTML block that nobody closed: whatever follows would become part of it. */
  readonly isOpen: boolean;
}

export type BlockParser = (text: string) => readonly Block[];

/** Containers one line may open, and levels of indent a list may have: time grows with the square. */
const MAX_MARKERS = 32;
const MAX_INDENT_LEVELS = 100;
/** A single block may have this many lines; beyond, parsing it would stall the process. */
const MAX_BLOCK_LINES = 10_000;
const MAX_LINES = 200_000;
/** A piece is cut at the first safe place after this many characters, or at a heading. */
const PIECE_CHARS = 1500;

const INLINE = [
  'attention',
  'autolink',
  'characterEscape',
  'characterReference',
  'codeText',
  'hardBreakEscape',
  'htmlText',
  'labelEnd',
  'labelStartImage',
  'labelStartLink',
];

/**
 * Makes a parser that remembers the pieces of the last texts it saw (about twice their size).
 * `pieceChars` is only set by tests, to cut everywhere.
 */
export function createBlockParser(pieceChars: number = PIECE_CHARS): BlockParser {
  let recent = new Map<string, readonly Block[]>();
  let older = new Map<string, readonly Block[]>();
  const parsePiece = (piece: string): readonly Block[] => {
    const known = recent.get(piece) ?? older.get(piece) ?? blocksOfPiece(piece);
    recent.set(piece, known);
    return known;
  };
  return (text) => {
    refuseHostile(text);
    // Scraps (a bullet tried out before it is written) would only push the real text out.
    if (text.length < pieceChars) return parseInPieces(text, blocksOfPiece, pieceChars);
    older = recent;
    recent = new Map();
    return parseInPieces(text, parsePiece, pieceChars);
  };
}

function parseInPieces(
  text: string,
  parsePiece: (piece: string) => readonly Block[],
  pieceChars: number,
): Block[] {
  const blocks: Block[] = [];
  let start = frontmatterEnd(text);
  let patience = pieceChars;
  while (start < text.length) {
    const cut = nextCut(text, start, { patience, isOpen: patience !== pieceChars });
    const found = parsePiece(text.slice(start, cut));
    if (cut < text.length && swallowsWhatFollows(found.at(-1), text.slice(start, cut))) {
      patience = Math.max(pieceChars + 1, (cut - start) * 2);
      continue;
    }
    for (const block of found) blocks.push(shifted(block, start));
    start = cut;
    patience = pieceChars;
  }
  return blocks;
}

/** Where YAML frontmatter at the top ends; 0 without any. It belongs to nobody's section. */
function frontmatterEnd(text: string): number {
  return (
    /^---[ \t]*(?:\r\n?|\n)(?:[^]*?(?:\r\n?|\n))??---[ \t]*(?:\r\n?|\n|$)/.exec(text)?.[0].length ??
    0
  );
}

/** The next offset at which a new top-level block must begin whatever came before (unless open). */
function nextCut(
  text: string,
  from: number,
  { patience, isOpen }: { readonly patience: number; readonly isOpen: boolean },
): number {
  let previous = from;
  let lines = 1;
  for (let at = nextLine(text, from); at < text.length; at = nextLine(text, at)) {
    // Sections cut short pieces that recur after an edit; not while something is left open.
    const isFarEnough = at - from >= patience || (!isOpen && startsSection(text, at));
    if (isFarEnough && canCut(text, previous, at)) return at;
    if (++lines > MAX_BLOCK_LINES) throw tooMuch(`a block has more than ${MAX_BLOCK_LINES} lines`);
    previous = at;
  }
  return text.length;
}

function canCut(text: string, previous: number, at: number): boolean {
  const first = text[at];
  if (first === ' ' || first === '\t' || first === '\n' || first === '\r') return false;
  if (isBlank(text.slice(previous, lineEnd(text, previous)))) {
    // After indented code micromark reads `2)` and a bare `-` as text, elsewhere as a list.
    return !/^(?:\d{1,9}[.)]|[-*+][ \t]*$)/.test(text.slice(at, lineEnd(text, at)));
  }
  // Two bullets at the margin, one right after the other: the second is always an item of its own.
  return isMarginBullet(text, previous) && isMarginBullet(text, at);
}

function isMarginBullet(text: string, at: number): boolean {
  return /^[-*+] [^ \t\r\n]/.test(text.slice(at, at + 3));
}

function startsSection(text: string, at: number): boolean {
  return text.startsWith('## ', at) || text.startsWith('# ', at);
}

function swallowsWhatFollows(last: Block | undefined, piece: string): boolean {
  if (!last) return false;
  if (last.isOpen) return true;
  // An HTML block that no blank line has ended yet goes on.
  return last.kind === 'html' && !/\n[ \t]*\n[ \t\n]*$/.test(withUnixEols(piece));
}

function blocksOfPiece(piece: string): readonly Block[] {
  return plainBlocks(piece) ?? parsedBlocks(piece);
}

/** The real parser's answer; exported so that the short cut can be tested against it. */
export function parsedBlocks(piece: string): readonly Block[] {
  // Without a last line ending micromark takes some last lines for other blocks than with one.
  const ended = /[\r\n]$/.test(piece) ? piece : `${piece}\n`;
  const root = fromMarkdown(ended, { extensions: [{ disable: { null: INLINE } }] });
  const nodes = root.children.flatMap((node) => (node.type === 'list' ? node.children : [node]));
  return nodes.map((node, at) => clamped(blockOfNode(node, piece), nodes[at + 1], piece));
}

/** An item with an open fence is said to end in the next item's marker; it ends before that line. */
function clamped(block: Block, next: RootContent | undefined, piece: string): Block {
  const limit = next ? lineStart(piece, next.position?.start.offset ?? piece.length) : piece.length;
  return block.end <= limit ? block : { ...block, end: limit, contentEnd: limit };
}

function blockOfNode(node: RootContent, piece: string): Block {
  if (node.type === 'listItem') return blockOf('item', node, piece);
  if (node.type === 'heading') return headingBlock(node, piece);
  if (node.type === 'html') return blockOf(isComment(node) ? 'comment' : 'html', node, piece);
  if (node.type === 'paragraph') return blockOf('paragraph', node, piece);
  if (node.type === 'thematicBreak') return blockOf('break', node, piece);
  const start = node.position?.start.offset ?? 0;
  const isFenced = node.type === 'code' && /^(?:```|~~~)/.test(piece.slice(start, start + 3));
  return blockOf(isFenced ? 'fenced' : 'other', node, piece);
}

function blockOf(kind: BlockKind, node: Pick<RootContent, 'position'>, piece: string): Block {
  const start = node.position?.start.offset ?? 0;
  const end = node.position?.end.offset ?? 0;
  const source = piece.slice(start, end);
  const isOpen = kind === 'fenced' ? isOpenFence(source) : isMarkup(kind) && isOpenHtml(source);
  return { kind, start, end, depth: 0, contentStart: start, contentEnd: end, isOpen };
}

function headingBlock(node: Heading, piece: string): Block {
  const block = blockOf('heading', node, piece);
  return {
    ...block,
    depth: node.depth,
    contentStart: node.children[0]?.position?.start.offset ?? block.end,
    contentEnd: node.children.at(-1)?.position?.end.offset ?? block.end,
  };
}

const isMarkup = (kind: BlockKind): boolean => kind === 'html' || kind === 'comment';
const isComment = (node: Html): boolean => node.value.trimStart().startsWith('<!--');

function isOpenFence(source: string): boolean {
  const fence = /^(`{3,}|~{3,})/.exec(source)?.[1] ?? '';
  const lines = source.split(/\r\n?|\n/);
  const last = /^ {0,3}(`{3,}|~{3,})[ \t]*$/.exec(lines.at(-1) ?? '')?.[1];
  return lines.length < 2 || !last?.startsWith(fence);
}

/** CommonMark's HTML blocks 1–5 run to their own end mark, across blank lines. */
const HTML_ENDS: readonly (readonly [begin: RegExp, end: RegExp])[] = [
  [/^<!--/, /-->/],
  [/^<\?/, /\?>/],
  [/^<!\[CDATA\[/, /\]\]>/],
  [/^<![a-z]/i, />/],
  [/^<(?:script|pre|style|textarea)(?:[\s>]|$)/i, /<\/(?:script|pre|style|textarea)>/i],
];

function isOpenHtml(source: string): boolean {
  const text = source.trimStart();
  const end = HTML_ENDS.find(([begin]) => begin.test(text))?.[1];
  return end !== undefined && !end.test(text);
}

function shifted(block: Block, by: number): Block {
  return {
    ...block,
    start: block.start + by,
    end: block.end + by,
    contentStart: block.contentStart + by,
    contentEnd: block.contentEnd + by,
  };
}

function refuseHostile(text: string): void {
  let lines = 0;
  for (let at = 0; at < text.length; at = nextLine(text, at)) {
    if (++lines > MAX_LINES) throw tooMuch(`the file has more than ${MAX_LINES} lines`);
    if (isNestedTooDeep(text.slice(at, lineEnd(text, at)))) {
      throw tooMuch(`line ${lines} is nested too deep`);
    }
  }
}

function isNestedTooDeep(line: string): boolean {
  const containers = /^(?:[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)])(?=[ \t]|$)))+/.exec(line)?.[0];
  if (containers === undefined || /^[ \t]*(?:[-*][ \t]*)+$/.test(line)) return false;
  const markers = containers.match(/[->*+.)]/g)?.length ?? 0;
  const indent = /^[ \t]*/.exec(line)![0].replaceAll('\t', '    ').length;
  return markers > MAX_MARKERS || indent / 2 > MAX_INDENT_LEVELS;
}

function tooMuch(detail: string): AppError {
  return new AppError('REMOTE_MALFORMED', `the Markdown cannot be read safely: ${detail}`);
}
