/** The small item every benchmark moves. */
import type { Memory } from '../domain/item.ts';

/** Size of an item as compact JSON. */
export const ITEM_BYTES = 300;

/** A memory of {@link ITEM_BYTES} bytes; `wording` tells one edit of it from another. */
export function benchItem(nth: number, wording: string): Memory {
  const name = `Item ${String(nth).padStart(7, '0')}`;
  const bare: Memory = { name, type: 'bench', observations: [wording, ''], relations: [] };
  return { ...bare, observations: [wording, fillerOf(ITEM_BYTES - JSON.stringify(bare).length)] };
}

/** Items share their filler, so that a remote of a million of them costs little memory. */
const FILLER = 'x'.repeat(ITEM_BYTES);
const fillers = new Map<number, string>();

function fillerOf(length: number): string {
  const kept = fillers.get(length) ?? FILLER.slice(0, length);
  fillers.set(length, kept);
  return kept;
}
