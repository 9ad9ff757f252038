/**
 * A Markdown text as heading sections, each with the blocks that are its own.
 *
 * Blocks before the first heading belong to the document's title. Inside the managed region the
 * outline goes on, but what follows the region belongs to the section that was open before it:
 * a line somebody appends to the file must not become part of the last thing we wrote.
 */
import type { Steps } from '../steps.ts';
import { findRegion, markerOf, type Region } from '../managed-region.ts';
import type { Block, BlockParser } from './parse-blocks.ts';

export interface Section {
  /** Null for the part before the first heading of a document without a title. */
  readonly heading: Block | null;
  /** Texts of the headings above, outermost first, as written. */
  readonly parents: readonly string[];
  readonly blocks: readonly Block[];
  /** Whether it has sub-sections (those we wrote under a person's heading do not count). */
  readonly hasSubsections: boolean;
  /** The document's title: its first heading at level 1. */
  readonly isTitle: boolean;
  readonly isInRegion: boolean;
}

export interface Outline {
  readonly sections: readonly Section[];
  readonly region: Region | null;
  /** A fence or HTML block at the end that nobody closed; nothing may be written after it. */
  readonly open: Block | null;
}

const BLOCKS_PER_STEP = 1000;

interface Draft {
  heading: Block | null;
  /** Its text, once a heading below asked for it. */
  text: string | null;
  parents: string[];
  blocks: Block[];
  hasSubsections: boolean;
  isTitle: boolean;
  isInRegion: boolean;
}

/** @throws AppError REGION_DAMAGED, REMOTE_MALFORMED (see the block parser) */
export function* outlineSteps(source: string, parse: BlockParser): Steps<Outline> {
  const blocks = yield* parse.steps(source);
  const region = findRegion(source, blocks);
  const drafts: Draft[] = [];
  const preamble = draft(null, [], false);
  let open: Draft[] = [];
  let openBeforeRegion: Draft[] = [];
  let isInRegion = false;
  for (const [at, block] of blocks.entries()) {
    if (at % BLOCKS_PER_STEP === 0) yield;
    const marker = markerOf(source, block);
    if (marker === 'begin') openBeforeRegion = open;
    if (marker === 'end') open = openBeforeRegion;
    if (marker) isInRegion = marker === 'begin';
    else if (block.kind === 'heading') {
      open = withHeading(open, block, { source, isInRegion });
      drafts.push(open.at(-1)!);
    } else if (isOwnBlock(source, block)) (open.at(-1) ?? preamble).blocks.push(block);
  }
  const last = blocks.at(-1);
  return { sections: withPreamble(preamble, drafts), region, open: last?.isOpen ? last : null };
}

/** A heading's text as written between its marks, on one line. */
export function headingText(source: string, heading: Block): string {
  return source
    .slice(heading.contentStart, heading.contentEnd)
    .replace(/[ \t]*(?:\r\n?|\n)[ \t]*/g, ' ')
    .replace(/^[ \t]+|[ \t]+$/g, '');
}

// Comments, thematic breaks and empty bullets say nothing; they are left where they are.
function isOwnBlock(source: string, block: Block): boolean {
  if (block.kind === 'comment' || block.kind === 'break') return false;
  return (
    block.kind !== 'item' ||
    !/^\s*(?:[-*+]|\d{1,9}[.)])\s*$/.test(source.slice(block.start, block.end))
  );
}

function withHeading(
  open: readonly Draft[],
  heading: Block,
  where: { readonly source: string; readonly isInRegion: boolean },
): Draft[] {
  const above = open.filter((outer) => (outer.heading?.depth ?? 0) < heading.depth);
  for (const outer of above)
    outer.text ??= outer.heading && headingText(where.source, outer.heading);
  const parent = above.at(-1);
  if (parent && parent.isInRegion === where.isInRegion) parent.hasSubsections = true;
  const parents = above.flatMap(({ text }) => text ?? []);
  return [...above, draft(heading, parents, where.isInRegion)];
}

function withPreamble(preamble: Draft, drafts: Draft[]): readonly Section[] {
  const title = drafts.find(({ heading, isInRegion }) => heading?.depth === 1 && !isInRegion);
  if (title) title.isTitle = true;
  if (preamble.blocks.length === 0) return drafts;
  if (!title) return [preamble, ...drafts];
  title.blocks.unshift(...preamble.blocks);
  return drafts;
}

function draft(heading: Block | null, parents: string[], isInRegion: boolean): Draft {
  return {
    heading,
    text: null,
    parents,
    blocks: [],
    hasSubsections: false,
    isTitle: false,
    isInRegion,
  };
}
