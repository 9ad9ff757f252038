/**
 * From intended changes of items to splices of one file's text. Nothing outside the lines a change
 * is about is touched. Whether the result reads as intended is checked by the caller; `isCareful`
 * then asks for the same with blank lines around everything and JSON instead of plain text.
 */
import type { Memory } from '../../domain/item.ts';
import { UNKNOWN_MEMORY_TYPE } from '../../domain/item.ts';
import { REGION_BEGIN, REGION_END } from './managed-region.ts';
import { isBlankLine, lineEnd, lineStart, nextLine, previousLine } from './markdown/lines.ts';
import {
  DASH,
  renderBlock,
  renderBullet,
  renderName,
  styleOf,
  type BulletStyle,
  type Statement,
} from './markdown/observation.ts';
import type { Block, BlockParser } from './markdown/parse-blocks.ts';
import type { Section } from './markdown/parse-sections.ts';
import { uniteRanges, type Splice } from './markdown/splice.ts';
import { ownName, statementsOf, type MemoryEntry, type MemoryFile, type StatedBlock } from './memories.ts';

/** One item's change: from the entry it has (null: none) to what it shall say (null: nothing). */
export interface ItemChange {
  readonly entry: MemoryEntry | null;
  readonly wanted: Memory | null;
  /** `wanted.name` as a heading has it, without the prefix of personal memories. */
  readonly heading: string;
}

export interface PlanStyle {
  readonly eol: string;
  readonly parse: BlockParser;
  readonly isCareful: boolean;
}

export interface ChangePlan {
  readonly splices: readonly Splice[];
  /** Each wanted item as the file will say it, in the order of the changes. */
  readonly spelled: readonly (Memory | null)[];
}

/** Plans all changes of one file together; their splices never overlap. */
export function planSplices(
  file: MemoryFile,
  changes: readonly ItemChange[],
  style: PlanStyle,
): ChangePlan {
  const splices: Splice[] = [];
  const spelled: (Memory | null)[] = [];
  const newSections: string[] = [];
  for (const change of changes) {
    const { entry, wanted } = change;
    const host = entry ? null : wanted && structureNamed(file, change, wanted);
    if (!wanted) splices.push(...(entry ? sectionRemoval(file.source, entry, style) : []));
    else if (entry) splices.push(...sectionEdit(file.source, { ...change, entry, wanted }, style));
    else if (host) splices.push(...additions(file.source, host, { added: statementsOf(wanted), style }));
    else newSections.push(sectionText(change.heading, wanted, style));
    spelled.push(wanted && spelling(wanted, entry?.section ?? host, entry));
  }
  if (newSections.length > 0) splices.push(regionInsertion(file, newSections.join(''), style.eol));
  return { splices, spelled };
}

/** The splice that takes an empty region away, with the blank line that set it apart; or none. */
export function emptyRegionRemoval({ source, outline }: MemoryFile): readonly Splice[] {
  const { region } = outline;
  if (!region || source.slice(region.begin.end, region.end.start).trim() !== '') return [];
  const begin = lineStart(source, region.begin.start);
  const before = previousLine(source, begin);
  const start = before !== null && isBlankLine(source, before) ? before : begin;
  return [{ start, end: nextLine(source, region.end.end), text: '' }];
}

/** A type is only written where we write the section, or where a marker already says one. */
function spelling(wanted: Memory, section: Section | null, entry: MemoryEntry | null): Memory {
  const saysType = section === null || section.isInRegion || entry?.hasTypeMarker === true;
  return saysType ? wanted : { ...wanted, type: UNKNOWN_MEMORY_TYPE };
}

/** A heading of that name which only grouped others so far: the item goes right under it. */
function structureNamed(file: MemoryFile, change: ItemChange, wanted: Memory): Section | null {
  if (statementsOf(wanted).length === 0) return null;
  const named = file.outline.sections.find(
    (section) => section.heading && ownName(file.source, section) === change.heading,
  );
  return named ?? null;
}

function sectionText(heading: string, wanted: Memory, style: PlanStyle): string {
  const { eol } = style;
  const type: Statement[] =
    wanted.type === UNKNOWN_MEMORY_TYPE ? [] : [{ kind: 'type', type: wanted.type }];
  const bullets = [...type, ...statementsOf(wanted)].map((one) => bullet(one, DASH, style));
  const lines = bullets.length === 0 ? '' : bullets.join(eol) + eol + eol;
  return `## ${renderName(heading)}${eol}${eol}${lines}`;
}

function regionInsertion(file: MemoryFile, sections: string, eol: string): Splice {
  const { source, outline } = file;
  if (outline.region) {
    const at = lineStart(source, outline.region.end.start);
    const before = previousLine(source, at);
    const gap = before !== null && !isBlankLine(source, before) ? eol : '';
    return { start: at, end: at, text: gap + sections };
  }
  const at = outline.open ? lineStart(source, outline.open.start) : source.length;
  const region = `${REGION_BEGIN}${eol}${eol}${sections}${REGION_END}${eol}`;
  return { start: at, end: at, text: gapBefore(source, at, eol) + region + (outline.open ? eol : '') };
}

function gapBefore(source: string, at: number, eol: string): string {
  if (at === 0) return '';
  const isAtLineStart = lineStart(source, at) === at;
  if (!isAtLineStart) return eol + eol;
  const before = previousLine(source, at);
  return before !== null && isBlankLine(source, before) ? '' : eol;
}

interface SectionChange extends ItemChange {
  readonly entry: MemoryEntry;
  readonly wanted: Memory;
}

function sectionEdit(source: string, change: SectionChange, style: PlanStyle): readonly Splice[] {
  const { entry, wanted } = change;
  const current = currentStatements(entry);
  const desired = desiredStatements(entry, wanted);
  const desiredKeys = new Set(desired.map(keyOf));
  const currentKeys = new Set(current.map(({ statement }) => keyOf(statement)));
  const removed = current.filter(({ statement }) => !desiredKeys.has(keyOf(statement)));
  const added = desired.filter((statement) => !currentKeys.has(keyOf(statement)));
  const naming = wanted.name === entry.memory.name ? [] : [renaming(source, change, style)];
  const [onlyAdded] = added;
  if (onlyAdded && added.length === 1 && isOneEdit(removed, onlyAdded)) {
    return [...naming, ...removed.map(({ block }) => replacement(source, block, { statement: onlyAdded, style }))];
  }
  const gone = removed.map(({ block }) => block);
  return [...naming, ...additions(source, entry.section, { added, gone, style })];
}

/** All that counts; of several type markers only the first is one. */
function currentStatements(entry: MemoryEntry): readonly StatedBlock[] {
  const marker = entry.stated.find(({ statement }) => statement.kind === 'type');
  return entry.stated.filter((one) => one.statement.kind !== 'type' || one === marker);
}

function desiredStatements(entry: MemoryEntry, wanted: Memory): readonly Statement[] {
  const { section, hasTypeMarker, memory } = entry;
  const isSaid = hasTypeMarker && memory.type === wanted.type;
  const mustSay = (hasTypeMarker || section.isInRegion) && wanted.type !== UNKNOWN_MEMORY_TYPE;
  const type: Statement[] = isSaid || mustSay ? [{ kind: 'type', type: wanted.type }] : [];
  const desired = [...type, ...statementsOf(wanted)];
  if (desired.length > 0 || isItemWhenBare(entry)) return desired;
  // Without any bullet this heading would only be structure, which reads as a deleted item.
  return [{ kind: 'type', type: hasTypeMarker || section.isInRegion ? wanted.type : UNKNOWN_MEMORY_TYPE }];
}

function isItemWhenBare({ section, stated }: MemoryEntry): boolean {
  const isBare = section.heading !== null && !section.hasSubsections && !section.isTitle;
  const counted = new Set(stated.map(({ block }) => block));
  return isBare && section.blocks.every((block) => counted.has(block));
}

function isOneEdit(removed: readonly StatedBlock[], added: Statement): boolean {
  const keys = new Set(removed.map(({ statement }) => keyOf(statement)));
  return keys.size === 1 && removed[0]?.statement.kind === added.kind;
}

function replacement(
  source: string,
  block: Block,
  change: { readonly statement: Statement; readonly style: PlanStyle },
): Splice {
  const { statement, style } = change;
  const { start, end } = linesOf(source, block);
  if (block.kind === 'item') {
    return { start, end, text: bullet(statement, tidied(styleOf(source, block)), style) };
  }
  const text = statement.kind === 'observation' && !style.isCareful ? statement.text : '';
  const alike = renderBlock(text, block, style.parse);
  return { start, end, text: alike === null ? bullet(statement, DASH, style) : inEol(alike, style) };
}

function additions(
  source: string,
  section: Section,
  change: { readonly added: readonly Statement[]; readonly gone?: readonly Block[]; readonly style: PlanStyle },
): readonly Splice[] {
  const { added, gone = [], style } = change;
  const anchor = anchorOf(section);
  if (added.length === 0 || !anchor) return lineRemovals(source, gone, style);
  const isItem = anchor.kind === 'item';
  const look = isItem ? styleForSibling(styleOf(source, anchor)) : DASH;
  const bullets = added.map((statement) => bullet(statement, look, style)).join(style.eol);
  if (gone.includes(anchor)) {
    const others = gone.filter((block) => block !== anchor);
    return [...lineRemovals(source, others, style), { ...linesOf(source, anchor), text: bullets }];
  }
  const at = linesOf(source, anchor).end;
  const before = isItem && !style.isCareful ? style.eol : style.eol + style.eol;
  const text = before + bullets + (needsGapAfter(source, at, style) ? style.eol : '');
  return [...lineRemovals(source, gone, style), { start: at, end: at, text }];
}

/** The end of the section's last list, else its last block, else its heading. */
function anchorOf(section: Section): Block | null {
  const closed = section.blocks.filter((block) => !block.isOpen);
  return closed.findLast((block) => block.kind === 'item') ?? closed.at(-1) ?? section.heading;
}

function needsGapAfter(source: string, at: number, style: PlanStyle): boolean {
  const next = nextLine(source, at);
  if (next >= source.length || isBlankLine(source, next)) return false;
  const line = source.slice(next, lineEnd(source, next));
  return style.isCareful || !/^(?:#{1,6}[ \t]|<!--|[-*+] \S)/.test(line);
}

function renaming(source: string, { entry, heading }: SectionChange, style: PlanStyle): Splice {
  const block = entry.section.heading;
  const text = renderName(heading);
  if (!block) {
    const first = entry.section.blocks[0];
    const at = first ? linesOf(source, first).start : 0;
    return { start: at, end: at, text: `## ${text}${style.eol}${style.eol}` };
  }
  const isAtx = /^#/.test(source.slice(block.start, block.end));
  if (isAtx && block.contentStart < block.contentEnd) {
    return { start: block.contentStart, end: block.contentEnd, text };
  }
  return { ...linesOf(source, block), text: `${'#'.repeat(block.depth)} ${text}` };
}

function sectionRemoval(source: string, entry: MemoryEntry, style: PlanStyle): readonly Splice[] {
  const { section } = entry;
  const blocks = entry.stated.map(({ block }) => block);
  // A document keeps its title: without it, another heading would become one.
  const isNeeded = section.hasSubsections || section.isTitle;
  const stays = isNeeded || section.blocks.some((block) => !blocks.includes(block));
  const gone = section.heading && !stays ? [section.heading, ...blocks] : blocks;
  if (style.isCareful) return lineRemovals(source, gone, style);
  const ranges = uniteRanges(gone.map((block) => wholeLines(source, block)));
  let previousEnd = -1;
  const widened = ranges.map(({ start, end }) => {
    const before = previousLine(source, start);
    const isAfterGap = before === null || start === previousEnd || isBlankLine(source, before);
    previousEnd = isAfterGap ? skipBlankLines(source, end) : end;
    return { start, end: previousEnd };
  });
  return asRemovals(source, widened);
}

function lineRemovals(source: string, gone: readonly Block[], style: PlanStyle): readonly Splice[] {
  const ranges = gone.map((block) => wholeLines(source, block));
  if (!style.isCareful) return asRemovals(source, uniteRanges(ranges));
  return ranges.map((range) => ({ ...range, text: style.eol }));
}

/** Removing the last line of a file that has no final newline must not give it one. */
function asRemovals(
  source: string,
  ranges: readonly { readonly start: number; readonly end: number }[],
): readonly Splice[] {
  return uniteRanges(ranges).map(({ start, end }) => {
    const isUnended = end === source.length && !/[\r\n]$/.test(source);
    return { start: isUnended ? trimmedEnd(source, 0, start) : start, end, text: '' };
  });
}

function skipBlankLines(source: string, from: number): number {
  let at = from;
  while (at < source.length && isBlankLine(source, at)) at = nextLine(source, at);
  return at;
}

/** From the start of a block's first line to the end of its last, without that line's ending. */
function linesOf(source: string, block: Block): { readonly start: number; readonly end: number } {
  const end = Math.max(block.start, trimmedEnd(source, block.start, block.end));
  return { start: lineStart(source, block.start), end: lineEnd(source, end) };
}

function wholeLines(source: string, block: Block): { readonly start: number; readonly end: number } {
  const { start, end } = linesOf(source, block);
  return { start, end: nextLine(source, end) };
}

function trimmedEnd(source: string, start: number, end: number): number {
  let at = end;
  while (at > start && /[ \t\r\n]/.test(source[at - 1]!)) at -= 1;
  return at;
}

function bullet(statement: Statement, look: BulletStyle, style: PlanStyle): string {
  const { parse, isCareful } = style;
  return inEol(renderBullet(statement, { style: look, parse, mustBeJson: isCareful }), style);
}

const inEol = (text: string, { eol }: PlanStyle): string =>
  eol === '\n' ? text : text.replaceAll('\n', eol);

/** Tabs and wide gaps in front of a text change what it means; one space never does. */
function tidied({ indent, marker, pad }: BulletStyle): BulletStyle {
  return { indent, marker, pad: /^ {1,4}$/.test(pad) ? pad : ' ' };
}

function styleForSibling(style: BulletStyle): BulletStyle {
  const isBullet = /^[-*+]$/.test(style.marker) && /^ {0,3}$/.test(style.indent);
  return isBullet ? tidied(style) : DASH;
}

function keyOf(statement: Statement): string {
  return JSON.stringify(
    statement.kind === 'observation'
      ? [statement.text]
      : statement.kind === 'type'
        ? ['type', statement.type]
        : ['relation', statement.to, statement.type],
  );
}
