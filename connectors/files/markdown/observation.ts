/**
 * What a block says, and how a statement is written as a bullet.
 *
 * A bullet is plain text, or one of the fixed forms `uses:: [[PostgreSQL]]` (a relation) and
 * `type:: person` (the item's type). Whatever would not read back as exactly what was meant is
 * written as `json:: …` with the value as JSON: a string for an observation, `{"to","type"}` for a
 * relation, `{"type"}` for a type. Reading what was rendered gives the same statement, always.
 */
import { relationSchema } from '../../../domain/item.ts';
import { isJsonObject, type Json } from '../../../domain/json.ts';
import { mentionsMarker } from '../managed-region.ts';
import { lineEnd, lineStart, withUnixEols } from './lines.ts';
import type { Block, BlockParser } from './parse-blocks.ts';

export type Statement =
  | { readonly kind: 'observation'; readonly text: string }
  | { readonly kind: 'relation'; readonly to: string; readonly type: string }
  | { readonly kind: 'type'; readonly type: string };

/** How a bullet begins: its indent, its marker (`-`, `*`, `+`, `3.`), the spaces up to its text. */
export interface BulletStyle {
  readonly indent: string;
  readonly marker: string;
  readonly pad: string;
}

export const DASH: BulletStyle = { indent: '', marker: '-', pad: ' ' };

/** A block's text: list items without marker and indent, others raw; `\n` line ends, no tail. */
export function textOfBlock(source: string, block: Block): string {
  if (block.kind !== 'item') return trimmedTail(withUnixEols(source.slice(block.start, block.end)));
  const [first = '', ...rest] = withUnixEols(
    source.slice(lineStart(source, block.start), block.end),
  ).split('\n');
  const { indent, marker, pad } = styleOfLine(first);
  const width = columnsOf(indent + marker + pad);
  const head = first.slice((indent + marker + pad).length);
  const text = [head, ...rest.map((line) => dedented(line, width))].join('\n');
  return trimmedTail(text.replace(/^[ \t]*\n/, ''));
}

/** What a block states. Only bullets may state a relation or a type; other blocks are observations. */
export function statementOf(source: string, block: Block): Statement {
  const text = textOfBlock(source, block);
  const isBullet = block.kind === 'item' && /^[-*+]$/.test(styleOf(source, block).marker);
  return (isBullet ? directiveIn(text) : null) ?? { kind: 'observation', text };
}

/** The style of a list item, for writing another one like it. */
export function styleOf(source: string, item: Block): BulletStyle {
  const start = lineStart(source, item.start);
  return styleOfLine(source.slice(start, lineEnd(source, start)));
}

/**
 * A statement as the lines of one bullet, without the last line's ending.
 * `mustBeJson` forces the JSON form, for places where plain text did not read back.
 */
export function renderBullet(
  statement: Statement,
  options: {
    readonly style: BulletStyle;
    readonly parse: BlockParser;
    readonly mustBeJson?: boolean;
  },
): string {
  const { style } = options;
  const plain = plainText(statement);
  if (!options.mustBeJson && plain !== null) {
    const bullet = bulletOf(style, plain);
    if (isObvious(plain) || readsBack(bullet, statement, options.parse)) return bullet;
  }
  return bulletOf(style, `json:: ${jsonOf(statement)}`);
}

/** A text as a block of the given kind standing alone, or null where it would read otherwise. */
export function renderBlock(text: string, like: Block, parse: BlockParser): string | null {
  if (!isWritable(text)) return null;
  const blocks = attempt(parse, text);
  const [block] = blocks;
  const isAlike = blocks.length === 1 && block?.kind === like.kind && !block.isOpen;
  return isAlike && textOfBlock(text, block) === text ? text : null;
}

/** A name as the text of a heading. */
export function renderName(name: string): string {
  const isPlain =
    isWritable(name) &&
    !/[\r\n]/.test(name) &&
    !/(?:^|[ \t])#+$/.test(name) &&
    !/^json:: /.test(name);
  return isPlain ? name : `json:: ${safeJson(name)}`;
}

/** The name a heading's text stands for; null for an empty heading. */
export function nameOfHeading(text: string): string | null {
  const value = text.startsWith('json:: ') ? parsedJson(text.slice('json:: '.length)) : undefined;
  if (typeof value === 'string' && value !== '') return value;
  return text === '' ? null : text;
}

function directiveIn(text: string): Statement | null {
  if (text.includes('\n')) return null;
  if (text.startsWith('json:: ')) {
    const statement = statementOfJson(parsedJson(text.slice('json:: '.length)));
    if (statement) return statement;
  }
  const relation = /^([\p{L}_][^[\]]*?):: \[\[([^[\]]+)\]\]$/u.exec(text);
  if (relation) {
    const [, type = '', to = ''] = relation;
    return isTrimmed(type) && isTrimmed(to) ? { kind: 'relation', to, type } : null;
  }
  const type = /^type:: (\S.*)$/.exec(text)?.[1];
  return type === undefined ? null : { kind: 'type', type };
}

function statementOfJson(value: Json | undefined): Statement | null {
  if (typeof value === 'string') return { kind: 'observation', text: value };
  if (!isJsonObject(value)) return null;
  const relation = relationSchema.safeParse(value);
  if (relation.success) return { kind: 'relation', ...relation.data };
  const isType = Object.keys(value).length === 1 && typeof value['type'] === 'string';
  return isType ? { kind: 'type', type: value['type'] as string } : null;
}

function plainText(statement: Statement): string | null {
  const text =
    statement.kind === 'observation'
      ? statement.text
      : statement.kind === 'type'
        ? `type:: ${statement.type}`
        : `${statement.type}:: [[${statement.to}]]`;
  return isWritable(text) ? text : null;
}

/** Text that survives UTF-8 and Markdown's trimming; structure is checked by reading it back. */
function isWritable(text: string): boolean {
  const isText = text !== '' && !/[\0\r\p{Cs}]/u.test(text);
  return isText && !/^[ \t\n]|[ \t\n]$/.test(text) && !mentionsMarker(text);
}

/** One line that opens no container and is no thematic break reads back, if it has no `::`. */
function isObvious(text: string): boolean {
  if (text.includes('\n') || text.includes('::')) return false;
  return /^(?:[^\s\-*+_>\d]|\d+[^\d.)]|[*_]{1,2}[^\s*_-])/.test(text);
}

function readsBack(bullet: string, statement: Statement, parse: BlockParser): boolean {
  const blocks = attempt(parse, `${bullet}\n`);
  const [block] = blocks;
  if (blocks.length !== 1 || block?.kind !== 'item') return false;
  return JSON.stringify(statementOf(bullet, block)) === JSON.stringify(statement);
}

function attempt(parse: BlockParser, text: string): readonly Block[] {
  try {
    return parse(text);
  } catch {
    // Text the parser refuses (nested without end) is no plain bullet.
    return [];
  }
}

function bulletOf({ indent, marker, pad }: BulletStyle, text: string): string {
  const [first = '', ...rest] = text.split('\n');
  const margin = ' '.repeat(columnsOf(indent + marker + pad));
  const lines = rest.map((line) => (line === '' ? '' : margin + line));
  return [indent + marker + pad + first, ...lines].join('\n');
}

function jsonOf(statement: Statement): string {
  if (statement.kind === 'observation') return safeJson(statement.text);
  if (statement.kind === 'type') return safeJson({ type: statement.type });
  return safeJson({ to: statement.to, type: statement.type });
}

/** JSON on one line that no reader can take for a comment or a region marker. */
function safeJson(value: Json): string {
  const text = JSON.stringify(value);
  return mentionsMarker(text) ? text.replaceAll('<', '\\u003c') : text;
}

function parsedJson(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

function styleOfLine(line: string): BulletStyle {
  const [, indent = '', marker = '-', pad = ''] =
    /^([ \t]*)([-*+]|\d{1,9}[.)])([ \t]*)/.exec(line) ?? [];
  const before = columnsOf(indent + marker);
  const isCode = columnsOf(indent + marker + pad) - before > 4;
  const isEmpty = line.length === (indent + marker + pad).length;
  // Code in an item, or an item whose first line is empty: the text begins one column on.
  return { indent, marker, pad: isCode || isEmpty ? ' ' : pad };
}

function dedented(line: string, width: number): string {
  let column = 0;
  let at = 0;
  while (column < width && (line[at] === ' ' || line[at] === '\t')) {
    column += line[at] === '\t' ? 4 - (column % 4) : 1;
    at += 1;
  }
  return ' '.repeat(Math.max(0, column - width)) + line.slice(at);
}

function columnsOf(prefix: string): number {
  return [...prefix].reduce((column, char) => column + (char === '\t' ? 4 - (column % 4) : 1), 0);
}

const trimmedTail = (text: string): string => text.replace(/[ \t\n]+$/, '');
const isTrimmed = (text: string): boolean => text.trim() === text && text !== '';
