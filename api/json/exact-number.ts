/**
 * Whether a double holds the number a text writes. It does when the nearest double is written the
 * same again (0.1, 1e21), in its shortest form or with the same count of digits, or is that very
 * whole number (2^64). 9007199254740993 and 1e400 do not fit.
 */

/** Up to here every digit survives a double, whatever they are. */
const SAFE_DIGITS = 15;
/** Most digits `toPrecision` gives. */
const MAX_DIGITS = 100;

/** True for a JSON number token that survives a double; also for a text that is no number at all. */
export function isExactNumber(token: string): boolean {
  if (token.length <= SAFE_DIGITS && !/e/i.test(token)) return true;
  const written = decompose(token);
  if (!written || written.digits === '') return true;
  const value = Math.abs(Number(token));
  if (!Number.isFinite(value) || value === 0) return false;
  if (written.digits.length > MAX_DIGITS) return false;
  if (isSame(written, decompose(String(value)))) return true;
  // A whole number means exactly itself; what is written as a float means the double next to it.
  return /^-?\d+$/.test(token)
    ? BigInt(token.replace('-', '')) === BigInt(value)
    : isSame(written, decompose(value.toPrecision(written.digits.length)));
}

/** `0.digits × 10^exponent`, without leading or trailing zeros; zero has no digits. */
interface Decimal {
  readonly digits: string;
  readonly exponent: number;
}

function decompose(token: string): Decimal | null {
  const parts = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(token);
  if (!parts) return null;
  const [, whole = '', fraction = '', power = '0'] = parts;
  const all = whole + fraction;
  const leading = leadingZeros(all);
  const digits = withoutTrailingZeros(all.slice(leading));
  // A power too long for this sum makes the number 0 or infinite, which is refused before.
  return { digits, exponent: Number(power) + whole.length - leading };
}

function leadingZeros(digits: string): number {
  let count = 0;
  while (digits[count] === '0') count += 1;
  return count;
}

// Not a regex: /0+$/ is quadratic on long runs of zeros.
function withoutTrailingZeros(digits: string): string {
  let end = digits.length;
  while (end > 0 && digits[end - 1] === '0') end -= 1;
  return digits.slice(0, end);
}

function isSame(a: Decimal, b: Decimal | null): boolean {
  return b !== null && a.digits === b.digits && a.exponent === b.exponent;
}
