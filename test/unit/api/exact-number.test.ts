import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isExactNumber } from '../../../api/json/exact-number.ts';

describe('isExactNumber', () => {
  it.each(['0', '-0', '0.1', '1e21', '1E+2', '9007199254740992', '1e23', '5e-324', '1.50'])(
    'takes %s',
    (token) => {
      expect(isExactNumber(token)).toBe(true);
    },
  );

  it.each(['18446744073709551616', '0.10000000000000001', '3.1415926535897931', '0e999999999999'])(
    'takes %s, another spelling of a double',
    (token) => {
      expect(isExactNumber(token)).toBe(true);
    },
  );

  it.each(['9007199254740993', '-9007199254740993', '1e400', '1e-400', '12345678901234567890'])(
    'refuses %s',
    (token) => {
      expect(isExactNumber(token)).toBe(false);
    },
  );

  it('takes every double as JavaScript writes it', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) =>
        isExactNumber(JSON.stringify(value)),
      ),
    );
  });

  it('takes a big whole number exactly when it is a double, or what JavaScript writes for one', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 70n }), (value) => {
        const double = Number(value);
        const fits = BigInt(double) === value || String(double) === String(value);
        return isExactNumber(String(value)) === fits && isExactNumber(`-${value}`) === fits;
      }),
      { numRuns: 2000 },
    );
  });

  it('takes a double as C prints it with 17 digits, but not the whole number of those digits', () => {
    expect(isExactNumber('1.1845096070171299e+17')).toBe(true);
    expect(isExactNumber('118450960701712990')).toBe(false);
  });

  it('judges a number of a million digits at once', () => {
    const startedAt = performance.now();
    expect(isExactNumber('7'.repeat(1_000_000))).toBe(false);
    expect(isExactNumber(`0.${'0'.repeat(1_000_000)}1`)).toBe(false);
    expect(isExactNumber(`1${'0'.repeat(300)}.${'0'.repeat(1_000_000)}`)).toBe(true);
    expect(isExactNumber(`1e${'9'.repeat(1_000_000)}`)).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });
});
