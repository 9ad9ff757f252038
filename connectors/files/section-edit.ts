/** How one section changes so that it says what its item shall say, touching as little as possible. */
import { UNKNOWN_MEMORY_TYPE, type Memory } from '../../domain/item.ts';
import { lineRemovals, linesOf } from './line-removals.ts';
import { isBlankLine, lineEnd, nextLine } from './markdown/lines.ts';
import {
  DASH,
  renderBlock,
  renderName,
  styleOf,
  type BulletStyle,
  type Statement,
} from './markdown/observation.ts';
import type { Block } from './markdown/parse-blocks.ts';
import type { Section } from './markdown/parse-sections.ts';
import type { Splice } from './markdown/splice.ts';
import { statementsOf, type MemoryEntry, type StatedBlock } from './memories.ts';
import { bullet, inEol, type ItemChange, type PlanStyle } from './plan-style.ts';

/** A change of an item that is there and stays. */
export interface SectionChange extends ItemChange {
  readonly entry: MemoryEntry;
  readonly wanted: Memory;
}

/** The splices of one changed item. A single edit is done in place; else removals and additions. */
export function sectionEdit(
  source: string,
  change: SectionChange,
  style: PlanStyle,
): readonly Splice[] {
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
    return [
      ...naming,
      ...removed.map(({ block }) => replacement(source, block, { statement: onlyAdded, style })),
    ];
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
  return [
    { kind: 'type', type: hasTypeMarker || section.isInRegion ? wanted.type : UNKNOWN_MEMORY_TYPE },
  ];
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
    return { start, end, text: bullet(statement, style, tidied(styleOf(source, block))) };
  }
  const text = statement.kind === 'observation' && !style.isCareful ? statement.text : '';
  const alike = renderBlock(text, block, style.parse);
  return {
    start,
    end,
    text: alike === null ? bullet(statement, style) : inEol(alike, style),
  };
}

/** Bullets at the end of a section; of the blocks that go, the last list item is replaced by them. */
export function additions(
  source: string,
  section: Section,
  change: {
    readonly added: readonly Statement[];
    readonly gone?: readonly Block[];
    readonly style: PlanStyle;
  },
): readonly Splice[] {
  const { added, gone = [], style } = change;
  const anchor = anchorOf(section);
  if (added.length === 0 || !anchor) return lineRemovals(source, gone, style);
  const isItem = anchor.kind === 'item';
  const look = isItem ? styleForSibling(styleOf(source, anchor)) : DASH;
  const bullets = added.map((statement) => bullet(statement, style, look)).join(style.eol);
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
