/**
 * How much work a value is, found in bounded time: a walk that stops once it is clear that the
 * value is large. Text costs little whatever its length; what costs is the number of values.
 */
import { isJsonObject, type Json } from '../../domain/json.ts';

/** Bodies over this many bytes of JSON are worked on in a thread: below, sending them costs more. */
export const LARGE_BYTES = 65_536;

/**
 * The heaviest item that is synced: 300,000 list elements, or 150,000 members. Parsing one takes
 * about 50 ms (2 cores, Node 20); ten times more would stall whoever reads it.
 */
export const MAX_WEIGHT = 300_000;
/** A member costs about twice an element: its name is hashed, sorted and stored too. */
const MEMBER_WEIGHT = 2;

export interface Weight {
  /** Elements and members, weighed. */
  readonly weight: number;
  /** Characters of text, names included, plus one for each value. */
  readonly chars: number;
}

/** Counts until `weight` is over {@link MAX_WEIGHT}; then what is left is not looked at. */
export function weigh(value: Json): Weight {
  let weight = 0;
  let chars = 0;
  const open: Json[] = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    chars += typeof next === 'string' ? next.length + 1 : 1;
    if (Array.isArray(next)) {
      weight += next.length;
      if (weight > MAX_WEIGHT) break;
      for (const element of next) open.push(element);
    } else if (isJsonObject(next)) {
      for (const name in next) {
        weight += MEMBER_WEIGHT;
        chars += name.length;
        if (weight > MAX_WEIGHT) break;
        open.push(next[name] as Json);
      }
    }
  }
  return { weight, chars };
}
