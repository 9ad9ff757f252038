/**
 * JSON text of a request that keeps what `JSON.stringify` loses or hides: `-0` stays, and NaN and
 * Infinity are refused instead of becoming null. Members that are undefined are left out.
 */

import { SyncError } from './sync-error.ts';

/** JSON that is sent exactly as written. */
export class JsonText {
  readonly text: string;

  /** @throws SyntaxError when the text is not JSON */
  constructor(text: string) {
    JSON.parse(text);
    this.text = text;
  }
}

/**
 * Compact JSON text of a value.
 *
 * @throws SyncError VALIDATION for what JSON cannot hold: NaN, Infinity, a bigint, a function, a cycle, a
 *   Map or a Set (which would become `{}`)
 */
export function jsonText(value: unknown): string {
  return write(value, new Set());
}

function write(value: unknown, above: Set<object>): string {
  if (value instanceof JsonText) return value.text;
  if (typeof value === 'number') return numberText(value);
  if (value === null || typeof value === 'boolean' || typeof value === 'string') {
    return JSON.stringify(value);
  }
  if (typeof value !== 'object') throw unfit(`a ${typeof value}`);
  if (hasToJson(value)) return write(value.toJSON(), above);
  if (value instanceof Map || value instanceof Set) throw unfit(`a ${value.constructor.name}`);
  if (above.has(value)) throw unfit('a cycle');
  above.add(value);
  const text = Array.isArray(value)
    ? `[${value.map((element) => write(element ?? null, above)).join(',')}]`
    : `{${members(value, above).join(',')}}`;
  above.delete(value);
  return text;
}

/** A date, and whatever else says how it is written. */
function hasToJson(value: object): value is { toJSON(): unknown } {
  return 'toJSON' in value && typeof value.toJSON === 'function';
}

function members(value: object, above: Set<object>): string[] {
  return Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([name, member]) => `${JSON.stringify(name)}:${write(member, above)}`);
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) throw unfit(String(value));
  return Object.is(value, -0) ? '-0' : JSON.stringify(value);
}

function unfit(what: string): SyncError {
  return new SyncError(`JSON cannot hold ${what}.`, { code: 'VALIDATION', status: 0 });
}
