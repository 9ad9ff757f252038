/**
 * The top-level blocks of a Markdown text with their offsets, by micromark's CommonMark grammar.
 *
 * The parser's cost grows faster than its input, so a text is cut where any parser must start a
 * new block, the pieces are parsed one by one, and pieces seen in the last texts are not parsed
 * again. Inline Markdown is switched off: only blocks matter here, and offsets stay true.
 */
import { parse as createGrammar, postprocess, preprocess } from 'micromark';
import { AppError } from '../../../domain/errors.ts';
import { atOnce, type Steps } from '../steps.ts';
import {
  countLines,
  isBlankLine,
  lineEnd,
  lineStart,
  lineWalker,
  nextLine,
  withUnixEols,
} from './lines.ts';
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

/** Parses at once, or step by step. @throws AppError REMOTE_MALFORMED for what would take too long */
export interface BlockParser {
  (text: string): readonly Block[];
  steps(text: string): Steps<readonly Block[]>;
}

/** A parser of its steps. */
export function blockParserOf(steps: BlockParser['steps']): BlockParser {
  return Object.assign((text: string) => atOnce(steps(text)), { steps });
}

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
  return blockParserOf((text) => {
    // Scraps (a bullet tried out before it is written) would only push the real text out.
    if (text.length < pieceChars) return parseInPieces(text, blocksOfPiece, pieceChars);
    older = recent;
    recent = new Map();
    return parseInPieces(text, parsePiece, pieceChars);
  });
}

function* parseInPieces(
  text: string,
  parsePiece: (piece: string) => readonly Block[],
  pieceChars: number,
): Steps<Block[]> {
  if (countLines(text, MAX_LINES + 1) > MAX_LINES) {
    throw tooMuch(`the file has more than ${MAX_LINES} lines`);
  }
  const blocks: Block[] = [];
  const next = lineWalker(text);
  let start = frontmatterEnd(text);
  let patience = pieceChars;
  while (start < text.length) {
    const cut = nextCut(text, start, { patience, isOpen: patience !== pieceChars, next });
    const piece = text.slice(start, cut);
    const found = parsePiece(piece);
    yield;
    if (cut < text.length && swallowsWhatFollows(found.at(-1), piece)) {
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
  how: {
    readonly patience: number;
    readonly isOpen: boolean;
    readonly next: (text: string, at: number) => number;
  },
): number {
  const { patience, isOpen, next } = how;
  let previous = from;
  let lines = 1;
  for (let at = next(text, from); at < text.length; at = next(text, at)) {
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
  if (isBlankLine(text, previous)) {
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
  const plain = plainBlocks(piece);
  if (plain) return plain;
  refuseNested(piece);
  return parsedBlocks(piece);
}

type Grammar = ReturnType<typeof createGrammar>;
type Token = ReturnType<typeof postprocess>[number][1];

const CONTAINERS = new Set<string>(['blockQuote', 'listOrdered', 'listUnordered']);
const LISTS = new Set<string>(['listOrdered', 'listUnordered']);
const HEADING_TEXTS = new Set<string>(['atxHeadingText', 'setextHeadingText']);
/** micromark's names of what may stand at the top; lists come apart into their items. */
const KINDS = new Map<string, BlockKind>([
  ['atxHeading', 'heading'],
  ['setextHeading', 'heading'],
  ['paragraph', 'paragraph'],
  ['codeFenced', 'other'],
  ['codeIndented', 'other'],
  ['htmlFlow', 'html'],
  ['thematicBreak', 'break'],
  ['blockQuote', 'other'],
  ['definition', 'other'],
]);

/**
 * The real parser's answer, taken from its events: making a syntax tree of them costs five times as
 * much as the parsing. Exported so that the short cut can be tested against it.
 */
export function parsedBlocks(piece: string): readonly Block[] {
  // Without a last line ending micromark takes some last lines for other blocks than with one.
  const ended = /[\r\n]$/.test(piece) ? piece : `${piece}\n`;
  // The file's own byte order mark is gone by now. micromark would skip another one at the start
  // and count offsets from behind it; to CommonMark it is a character like any other.
  const shown = ended.startsWith('\uFEFF') ? `x${ended.slice(1)}` : ended;
  const events = postprocess(
    grammar()
      .document()
      .write(preprocess()(shown, undefined, true)),
  );
  const blocks: Block[] = [];
  let items: number[] = [];
  let depth = 0;
  for (const [way, token] of events) {
    if (way === 'exit') {
      if (CONTAINERS.has(token.type)) depth -= 1;
      if (depth === 0 && LISTS.has(token.type)) blocks.push(...itemBlocks(items, token, piece));
      continue;
    }
    const kind = depth === 0 ? KINDS.get(token.type) : undefined;
    if (kind) blocks.push(blockOfToken(kind, token, piece));
    if (depth === 0 && LISTS.has(token.type)) items = [];
    if (depth === 1 && token.type === 'listItemPrefix') items.push(token.start.offset);
    const last = blocks.at(-1);
    if (depth === 0 && last && HEADING_TEXTS.has(token.type)) {
      blocks[blocks.length - 1] = withHeadingText(last, token, {
        piece,
        previousEnd: blocks.at(-2)?.end ?? 0,
      });
    }
    if (CONTAINERS.has(token.type)) depth += 1;
  }
  return blocks;
}

/** A grammar keeps what one document defined, so each document gets its own. */
function grammar(): Grammar {
  return createGrammar({ extensions: [{ disable: { null: INLINE } }] });
}

/** Each item of a list runs to the last line before the next one that is not blank. */
function itemBlocks(starts: readonly number[], list: Token, piece: string): Block[] {
  return starts.map((start, at) => {
    const next = starts[at + 1];
    const limit = next === undefined ? list.end.offset : lineStart(piece, next);
    const end =
      start + piece.slice(start, limit).replace(/(?:[ \t]*(?:\r\n?|\n))+[ \t]*$/, '').length;
    return {
      kind: 'item',
      start,
      end,
      depth: 0,
      contentStart: start,
      contentEnd: end,
      isOpen: false,
    };
  });
}

/**
 * micromark lets an underlined heading right under a link's definition begin where the definition
 * does. Blocks must not overlap: who removes the one would take the other along.
 */
function withHeadingText(
  heading: Block,
  text: Token,
  { piece, previousEnd }: { readonly piece: string; readonly previousEnd: number },
): Block {
  const contentStart = text.start.offset;
  const written = piece.slice(contentStart, text.end.offset).replace(/[ \t\r\n]+$/, '');
  return {
    ...heading,
    start: heading.start < previousEnd ? contentStart : heading.start,
    contentStart,
    contentEnd: contentStart + written.length,
  };
}

function blockOfToken(kind: BlockKind, token: Token, piece: string): Block {
  const start = token.start.offset;
  const end = Math.min(token.end.offset, piece.length);
  const source = piece.slice(start, end);
  if (kind === 'heading') {
    const block = blockOf(kind, { start, end }, false);
    return { ...block, depth: headingDepth(source), contentStart: end, contentEnd: end };
  }
  if (kind === 'html') {
    const isComment = source.trimStart().startsWith('<!--');
    return blockOf(isComment ? 'comment' : 'html', { start, end }, isOpenHtml(source));
  }
  const isFenced = token.type.startsWith('code') && /^(?:```|~~~)/.test(source);
  return isFenced
    ? blockOf('fenced', { start, end }, isOpenFence(source))
    : blockOf(kind, { start, end }, false);
}

function blockOf(kind: BlockKind, span: { start: number; end: number }, isOpen: boolean): Block {
  const { start, end } = span;
  return { kind, start, end, depth: 0, contentStart: start, contentEnd: end, isOpen };
}

/** A heading with marks has as many as it is deep; an underlined one, `=` for 1 and `-` for 2. */
function headingDepth(source: string): number {
  const marks = /^#{1,6}(?=[ \t]|$)/.exec(source)?.[0].length;
  return marks ?? (/=[ \t]*$/.test(source) ? 1 : 2);
}

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

// Member by member: this runs for every block of every text, where a spread is what takes longest.
function shifted(block: Block, by: number): Block {
  return {
    kind: block.kind,
    start: block.start + by,
    end: block.end + by,
    depth: block.depth,
    contentStart: block.contentStart + by,
    contentEnd: block.contentEnd + by,
    isOpen: block.isOpen,
  };
}

function refuseNested(piece: string): void {
  for (let at = 0; at < piece.length; at = nextLine(piece, at)) {
    const line = piece.slice(at, lineEnd(piece, at));
    if (isNestedTooDeep(line)) throw tooMuch(`"${line.slice(0, 40)}…" is nested too deep`);
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
