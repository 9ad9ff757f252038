/**
 * Names ⇄ key tails, reversibly: two names never share a slug, and a slug gives its name back.
 *
 * The body is the name in lower case with spaces as dashes, so that common names read well
 * (`Code Style` → `code-style`). What lower-casing loses is told by a suffix after `~`: none for
 * Every Word Capitalised, `~a` all lower, `~s` Sentence case, `~k` kebab-lower, else `~x` and the
 * exact pattern. Only ASCII letters are folded; every other character stays itself or is escaped.
 */
import { createHash } from 'node:crypto';

/** Longest slug we make; a longer name gets a hash instead (contract: keys are ≤ 512 code points). */
const MAX_SLUG_CODE_POINTS = 320;

type Reading = (body: readonly string[], at: number) => string;

/** How each suffix reads an ambiguous character of the body back. Order matters: first match wins. */
const READINGS: readonly (readonly [suffix: string, reading: Reading])[] = [
  [
    '',
    (body, at) => (body[at] === '-' ? ' ' : startsWord(body, at) ? upper(body[at]!) : body[at]!),
  ],
  ['~s', (body, at) => (body[at] === '-' ? ' ' : at === 0 ? upper(body[at]!) : body[at]!)],
  ['~a', (body, at) => (body[at] === '-' ? ' ' : body[at]!)],
  ['~k', (body, at) => body[at]!],
];

/** The key tail of a name. Injective; see {@link nameOfSlug} for the way back. */
export function slugOfName(name: string): string {
  const units = [...name].flatMap(escapeUnit);
  const body = units.map((unit) => (unit === ' ' ? '-' : lower(unit)));
  const suffix =
    READINGS.find(([, read]) => units.every((unit, at) => read(body, at) === unit))?.[0] ??
    `~x${pattern(units, body)}`;
  const slug = body.join('') + suffix;
  return [...slug].length <= MAX_SLUG_CODE_POINTS ? slug : shortened(name, body);
}

/**
 * The name a slug stands for; null for one that was shortened (the name is in the item's data) and
 * for what is no slug.
 */
export function nameOfSlug(slug: string): string | null {
  const cut = slug.lastIndexOf('~');
  const suffix = cut < 0 ? '' : slug.slice(cut);
  const body = splitUnits(cut < 0 ? slug : slug.slice(0, cut));
  if (suffix.startsWith('~h') || body.includes('%')) return null;
  const read = suffix.startsWith('~x')
    ? patternReading(body, suffix.slice(2))
    : READINGS.find(([known]) => known === suffix)?.[1];
  if (!read) return null;
  return body
    .map((unit, at) => (unit.startsWith('%') ? unescapeUnit(unit) : read(body, at)))
    .join('');
}

/** The key tail of a document's path: slashes kept, and never one that a memory's slug can be. */
export function pathKey(path: string): string {
  // A memory's slug escapes "/", so this folder keeps the two kinds apart.
  return `files/${path.replace(/[%\p{Cc}]/gu, hexEscape)}`;
}

function escapeUnit(char: string): string[] {
  // "-" is what a space becomes; "%", "~" and "/" have a meaning here; control characters are no key.
  // All of them are at most U+009F, so two hex digits do.
  return /[%~/\p{Cc}]/u.test(char) ? [hexEscape(char)] : [char];
}

function hexEscape(char: string): string {
  return `%${char.codePointAt(0)!.toString(16).padStart(2, '0')}`;
}

function unescapeUnit(unit: string): string {
  return String.fromCodePoint(Number.parseInt(unit.slice(1), 16));
}

function splitUnits(body: string): string[] {
  return body.match(/(?:%[0-9a-f]{2})|[^]/gu) ?? [];
}

function startsWord(body: readonly string[], at: number): boolean {
  return at === 0 || body[at - 1] === '-' || body[at - 1] === '_';
}

/** One bit per ambiguous unit (a letter is upper, a dash was a dash), as hex, first unit highest. */
function pattern(units: readonly string[], body: readonly string[]): string {
  const bits = units.flatMap((unit, at) =>
    isAmbiguous(body[at]!) ? [unit === '-' || unit !== lower(unit) ? '1' : '0'] : [],
  );
  return BigInt(`0b1${bits.join('')}`).toString(36);
}

function patternReading(body: readonly string[], code: string): Reading | undefined {
  if (!/^[0-9a-z]+$/.test(code)) return undefined;
  const bits = fromBase36(code).toString(2).slice(1);
  const positions = body.flatMap((unit, at) => (isAmbiguous(unit) ? [at] : []));
  const marked = new Set(positions.filter((_, nth) => bits[nth] === '1'));
  return (_, at) => {
    const unit = body[at]!;
    if (unit === '-') return marked.has(at) ? '-' : ' ';
    return marked.has(at) ? upper(unit) : unit;
  };
}

function fromBase36(code: string): bigint {
  return [...code].reduce((sum, digit) => sum * 36n + BigInt(Number.parseInt(digit, 36)), 0n);
}

function shortened(name: string, body: readonly string[]): string {
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 40);
  return `${body.slice(0, 120).join('')}~h${digest}`;
}

const isAmbiguous = (unit: string): boolean => unit === '-' || /^[a-z]$/.test(unit);
const lower = (unit: string): string => (/^[A-Z]$/.test(unit) ? unit.toLowerCase() : unit);
const upper = (unit: string): string => (/^[a-z]$/.test(unit) ? unit.toUpperCase() : unit);
