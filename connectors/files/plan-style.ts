/** What all plans of one file share. */
import type { Memory } from '../../domain/item.ts';
import type { BlockParser } from './markdown/parse-blocks.ts';
import { DASH, renderBullet, type BulletStyle, type Statement } from './markdown/observation.ts';
import type { MemoryEntry } from './memories.ts';

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

/** A statement as a bullet in the file's line endings; a plain dash unless another look is given. */
export function bullet(statement: Statement, style: PlanStyle, look: BulletStyle = DASH): string {
  const { parse, isCareful } = style;
  return inEol(renderBullet(statement, { style: look, parse, mustBeJson: isCareful }), style);
}

/** A text in the file's line endings. */
export const inEol = (text: string, { eol }: PlanStyle): string =>
  eol === '\n' ? text : text.replaceAll('\n', eol);
