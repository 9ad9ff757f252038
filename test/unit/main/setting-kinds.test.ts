import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytes, durationMs, durationS, flag, listOf } from '../../../main/setting-kinds.ts';

const MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

describe('values of settings', () => {
  it('a time says the same with and without its unit', () => {
    const unit = fc.constantFrom(...(Object.keys(MS) as (keyof typeof MS)[]));
    fc.assert(
      fc.property(fc.nat(10_000), unit, fc.boolean(), (amount, name, isSpaced) => {
        const text = `${amount}${isSpaced ? ' ' : ''}${name}`;
        expect(durationMs(0).parse(text)).toBe(amount * MS[name]);
        expect(durationMs(0).parse(String(amount))).toBe(amount);
        expect(durationMs(0).parse(amount)).toBe(amount);
      }),
    );
  });

  it('counts seconds where seconds are meant', () => {
    expect(durationS(1).parse('6h')).toBe(21_600);
    expect(durationS(1).parse(90)).toBe(90);
  });

  it('a size is bytes, or has a unit of 1024', () => {
    expect(bytes(0).parse('512mb')).toBe(512 * 1024 ** 2);
    expect(bytes(0).parse('1.5KB')).toBe(1536);
    expect(bytes(0).parse(1024)).toBe(1024);
  });

  it.each(['', 'soon', '5 parsecs', '-1s', '1h30m', 'Infinity', true, null, {}, [], Number.NaN])(
    'refuses %j as a time or a size',
    (given) => {
      expect(durationMs(0).safeParse(given).success).toBe(false);
      expect(bytes(0).safeParse(given).success).toBe(false);
    },
  );

  it('keeps to its least value', () => {
    expect(durationMs(1000).safeParse('999ms').success).toBe(false);
    expect(bytes(1).safeParse(0).success).toBe(false);
  });

  it('a switch is true or false, in words too', () => {
    expect([true, 'false', 'on', '0'].map((given) => flag.parse(given))).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect(flag.safeParse('perhaps').error?.issues[0]?.message).toBe('must be true or false');
  });

  it('a list in one text has no empty entries', () => {
    expect(listOf(',').parse(' a, ,b,')).toEqual(['a', 'b']);
  });
});
