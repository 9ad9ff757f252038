/** The fenced part of `memories.md` that holds what came from elsewhere and had no section yet. */
import { AppError } from '../../domain/errors.ts';
import type { Block } from './markdown/parse-blocks.ts';

export const REGION_BEGIN = '<!-- syncline:begin -->';
export const REGION_END = '<!-- syncline:end -->';

/** Offsets of both marker comments. */
export interface Region {
  readonly begin: Block;
  readonly end: Block;
}

/** Which marker a block is, if any. @throws AppError REGION_DAMAGED for a marker with more on its line */
export function markerOf(source: string, block: Block): 'begin' | 'end' | null {
  if (block.kind !== 'comment' && block.kind !== 'html') return null;
  const text = source.slice(block.start, block.end);
  const found = /^\s*<!--[ \t]*syncline:(begin|end)[ \t]*-->\s*$/.exec(text)?.[1];
  if (found === 'begin' || found === 'end') return found;
  if (mentionsMarker(text)) throw damaged('a marker shares its block with other text');
  return null;
}

/** Whether a text could be taken for a region marker; such text is only ever written as JSON. */
export function mentionsMarker(text: string): boolean {
  return /<!--[ \t]*syncline:(?:begin|end)/.test(text);
}

/**
 * The region among a file's blocks; null when there is none.
 *
 * @throws AppError REGION_DAMAGED for anything but one begin followed by one end. Nobody can tell
 * what such a file means, so nothing is read from it, written or deleted.
 */
export function findRegion(source: string, blocks: readonly Block[]): Region | null {
  const marked = blocks.filter((block) => markerOf(source, block) !== null);
  if (marked.length === 0) return null;
  const [begin, end] = marked;
  const order = marked.map((block) => markerOf(source, block)).join(' ');
  if (begin && end && order === 'begin end') return { begin, end };
  throw damaged(`its markers are: ${order}`);
}

function damaged(detail: string): AppError {
  return new AppError('REGION_DAMAGED', `the managed region is damaged: ${detail}`);
}
