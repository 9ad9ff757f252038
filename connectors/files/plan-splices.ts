/**
 * From intended changes of items to splices of one file's text. Nothing outside the lines a change
 * is about is touched. Whether the result reads as intended is checked by the caller; `isCareful`
 * then asks for the same with blank lines around everything and JSON instead of plain text.
 */
import { UNKNOWN_MEMORY_TYPE, type Memory } from '../../domain/item.ts';
import { sectionRemoval } from './line-removals.ts';
import { REGION_BEGIN, REGION_END } from './managed-region.ts';
import { isBlankLine, lineStart, nextLine, previousLine } from './markdown/lines.ts';
import { renderName, type Statement } from './markdown/observation.ts';
import type { Section } from './markdown/parse-sections.ts';
import type { Splice } from './markdown/splice.ts';
import { ownName, statementsOf, type MemoryEntry, type MemoryFile } from './memories.ts';
import { bullet, type ItemChange, type PlanStyle } from './plan-style.ts';
import { additions, sectionEdit } from './section-edit.ts';
import type { Steps } from './steps.ts';

export interface ChangePlan {
  readonly splices: readonly Splice[];
  /** Each wanted item as the file will say it, in the order of the changes. */
  readonly spelled: readonly (Memory | null)[];
}

/** Plans all changes of one file together; their splices never overlap. */
export function* planSplices(
  file: MemoryFile,
  changes: readonly ItemChange[],
  style: PlanStyle,
): Steps<ChangePlan> {
  const splices: Splice[] = [];
  const spelled: (Memory | null)[] = [];
  const newSections: string[] = [];
  const isNew = ({ entry, wanted }: ItemChange): boolean => !entry && wanted !== null;
  const headings = changes.some(isNew) ? headingsOf(file) : new Map<string, Section>();
  for (const change of changes) {
    yield;
    const { entry, wanted } = change;
    const host = entry ? null : wanted && structureNamed(headings, change, wanted);
    if (!wanted) splices.push(...(entry ? sectionRemoval(file.source, entry, style) : []));
    else if (entry) splices.push(...sectionEdit(file.source, { ...change, entry, wanted }, style));
    else if (host)
      splices.push(...additions(file.source, host, { added: statementsOf(wanted), style }));
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
function structureNamed(
  headings: ReadonlyMap<string, Section>,
  change: ItemChange,
  wanted: Memory,
): Section | null {
  if (statementsOf(wanted).length === 0) return null;
  return headings.get(change.heading) ?? null;
}

/** The first heading of each name. */
function headingsOf({ source, outline }: MemoryFile): ReadonlyMap<string, Section> {
  const headings = new Map<string, Section>();
  for (const section of outline.sections) {
    const name = section.heading && ownName(source, section);
    if (name !== null && !headings.has(name)) headings.set(name, section);
  }
  return headings;
}

function sectionText(heading: string, wanted: Memory, style: PlanStyle): string {
  const { eol } = style;
  const type: Statement[] =
    wanted.type === UNKNOWN_MEMORY_TYPE ? [] : [{ kind: 'type', type: wanted.type }];
  const bullets = [...type, ...statementsOf(wanted)].map((one) => bullet(one, style));
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
  return {
    start: at,
    end: at,
    text: gapBefore(source, at, eol) + region + (outline.open ? eol : ''),
  };
}

function gapBefore(source: string, at: number, eol: string): string {
  if (at === 0) return '';
  const isAtLineStart = lineStart(source, at) === at;
  if (!isAtLineStart) return eol + eol;
  const before = previousLine(source, at);
  return before !== null && isBlankLine(source, before) ? '' : eol;
}
