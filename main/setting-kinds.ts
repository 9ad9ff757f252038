/** What the values of settings may look like: numbers, times, sizes, switches, lists. */
import { z } from 'zod';
import { MILLISECONDS, parseAmount, SECONDS, type Units } from '../domain/parse-amount.ts';

const BYTES: Units = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 };

export const port = z.coerce.number().int().min(0).max(65_535);
export const count = wholeFrom(1);
export const text = z.string().min(1);
export const flag = z.union([z.boolean(), z.stringbool()], {
  error: 'must be true or false',
});

/** A whole number, `least` or more. */
export function wholeFrom(least: number) {
  return z.coerce.number().int().min(least);
}

/** Milliseconds, as a number or with a unit: `90000`, `"90s"`, `"6h"`, `"30d"`. */
export function durationMs(leastMs: number) {
  return withUnit(MILLISECONDS, 'must be milliseconds, or a time like "90s", "6h", "30d"').pipe(
    z.number().int().min(leastMs),
  );
}

/** Seconds, as a number or with a unit: `3600`, `"1h"`. */
export function durationS(leastS: number) {
  return withUnit(SECONDS, 'must be seconds, or a time like "90s", "6h", "30d"').pipe(
    z.number().int().min(leastS),
  );
}

/** Bytes, as a number or with a unit of 1024: `1024`, `"10mb"`. */
export function bytes(least: number) {
  return withUnit(BYTES, 'must be bytes, or a size like "512mb"').pipe(z.number().int().min(least));
}

/** A list, in the environment as one text with separators. */
export function listOf(separator: string) {
  return z.union([
    z.array(text),
    z.string().transform((all) =>
      all
        .split(separator)
        .map((part) => part.trim())
        .filter(Boolean),
    ),
  ]);
}

function withUnit(units: Units, fault: string) {
  return z.union([z.number(), z.string()], { error: fault }).transform((given, context) => {
    const number = typeof given === 'number' ? given : parseAmount(given, units);
    if (number !== null && Number.isFinite(number)) return number;
    context.addIssue({ code: 'custom', message: fault });
    return z.NEVER;
  });
}
