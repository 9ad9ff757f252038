import { describe, expect, it } from 'vitest';
import type { ContextKey } from '../../../domain/ids.ts';
import { createTaken } from '../../../store/import-taken.ts';

const key = (nth: number): ContextKey => `key/${nth}` as ContextKey;
const state = (last: number) => ({ before: 0, last, current: last });

describe('what an import has taken', () => {
  it('is known by key, as it was noted last', () => {
    const taken = createTaken();
    taken.note(key(1), state(1));
    taken.note(key(1), state(2));
    expect(taken.get(key(1))).toEqual(state(2));
    expect(taken.get(key(2))).toBeUndefined();
  });

  it('takes bounded memory: those noted longest ago are forgotten first', () => {
    const taken = createTaken(10_000);
    for (let nth = 0; nth < 1_000; nth += 1) {
      taken.note(key(nth), state(1));
      taken.note(key(0), state(nth));
    }
    const known = Array.from({ length: 1_000 }, (_, nth) => nth).filter((nth) =>
      taken.get(key(nth)),
    );
    expect(known[0]).toBe(0);
    expect(known.slice(1)).toEqual(known.slice(1).map((_, at) => 1_000 - known.length + 1 + at));
    expect(known.length).toBeGreaterThan(50);
    expect(known.length).toBeLessThan(100);
  });
});
