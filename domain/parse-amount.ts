/** Amounts as people write them: a bare number, or a number with a unit (`"90s"`, `"6h"`, `"512mb"`). */

/** Unit, in lower case → what one of it counts. */
export type Units = Readonly<Record<string, number>>;

/** Units of time, counted in milliseconds. */
export const MILLISECONDS: Units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Units of time, counted in seconds. */
export const SECONDS: Units = Object.fromEntries(
  Object.entries(MILLISECONDS).map(([unit, ms]) => [unit, ms / 1_000]),
);

const AMOUNT = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i;

/** What the text counts: with a unit a whole number, else the number itself; null: it is no amount. */
export function parseAmount(text: string, units: Units): number | null {
  const [, amount, unit = ''] = AMOUNT.exec(text.trim()) ?? [];
  if (amount === undefined) return null;
  if (unit === '') return Number(amount);
  const name = unit.toLowerCase();
  return Object.hasOwn(units, name) ? Math.round(Number(amount) * units[name]!) : null;
}
