import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MILLISECONDS, parseAmount, SECONDS } from '../../../domain/parse-amount.ts';

describe('an amount as people write it', () => {
  it('counts the same in seconds as in milliseconds', () => {
    const unit = fc.constantFrom('s', 'm', 'h', 'd');
    fc.assert(
      fc.property(fc.nat(10_000), unit, (amount, name) => {
        const text = `${amount}${name}`;
        expect(parseAmount(text, SECONDS)! * 1_000).toBe(parseAmount(text, MILLISECONDS));
      }),
    );
  });

  it('is a bare number, or has a unit that there is', () => {
    expect(parseAmount(' 1.5 H ', SECONDS)).toBe(5_400);
    expect(parseAmount('90', SECONDS)).toBe(90);
    for (const text of ['', '-1s', '1h30m', '5 parsecs', '1e3', '3 constructor', 'h'])
      expect(parseAmount(text, SECONDS)).toBeNull();
  });
});
