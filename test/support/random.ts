/** Repeatable randomness for tests: the same seed gives the same choices (mulberry32). */

export interface Random {
  /** From 0 up to but not 1. */
  next(): number;
  /** A whole number from 0 up to but not `limit`. */
  upTo(limit: number): number;
  /** One of the list. @throws RangeError when it is empty */
  pick<T>(list: readonly T[]): T;
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const upTo = (limit: number): number => Math.floor(next() * limit);
  return {
    next,
    upTo,
    pick(list) {
      if (list.length === 0) throw new RangeError('nothing to pick from');
      return list[upTo(list.length)]!;
    },
  };
}
