/** What the values of settings may look like: numbers, times, sizes, switches, lists. */
import { z } from 'zod';

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const UNIT_BYTES: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1024,
  mb: 1024 ** 2,
  gb: 1024 ** 3,
};
const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/i;
const SIZE = /^(\d+(?:\.\d+)?)\s*(b|kb|mb|gb)$/i;

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
  return withUnit(
    DURATION,
    UNIT_MS,
    'must be milliseconds, or a time like "90s", "6h", "30d"',
  ).pipe(z.number().int().min(leastMs));
}

/** Seconds, as a number or with a unit: `3600`, `"1h"`. */
export function durationS(leastS: number) {
  const perSecond = Object.fromEntries(
    Object.entries(UNIT_MS).map(([unit, ms]) => [unit, ms / 1_000]),
  );
  return withUnit(DURATION, perSecond, 'must be seconds, or a time like "90s", "6h", "30d"').pipe(
    z.number().int().min(leastS),
  );
}

/** Bytes, as a number or with a unit of 1024: `1024`, `"10mb"`. */
export function bytes(least: number) {
  return withUnit(SIZE, UNIT_BYTES, 'must be bytes, or a size like "512mb"').pipe(
    z.number().int().min(least),
  );
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

function withUnit(shape: RegExp, units: Readonly<Record<string, number>>, fault: string) {
  return z.union([z.number(), z.string()], { error: fault }).transform((given, context) => {
    const number = typeof given === 'number' ? given : numberOf(given.trim(), shape, units);
    if (number !== null && Number.isFinite(number)) return number;
    context.addIssue({ code: 'custom', message: fault });
    return z.NEVER;
  });
}

function numberOf(
  given: string,
  shape: RegExp,
  units: Readonly<Record<string, number>>,
): number | null {
  if (/^\d+(\.\d+)?$/.test(given)) return Number(given);
  const [, amount, unit] = shape.exec(given) ?? [];
  const factor = unit === undefined ? undefined : units[unit.toLowerCase()];
  return factor === undefined ? null : Math.round(Number(amount) * factor);
}
