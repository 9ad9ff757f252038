/**
 * JSON values and their one canonical text.
 * Promises: equal values give equal text, whatever the order their members were written in.
 */

export type JsonPrimitive = null | boolean | number | string;
export type Json = JsonPrimitive | JsonObject | Json[];
export type JsonObject = { [member: string]: Json };

/** True for a JSON object; false for arrays, primitives and undefined. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Deeper values are taken for endless: YAML can write an array that holds itself. */
const MAX_DEPTH = 500;

/**
 * Whether a value is JSON through and through. A parser that copies what it checks may lose a
 * member named `__proto__`; this copies nothing. False as well for nesting beyond 500 containers.
 */
export function isJson(value: unknown, maxDepth: number = MAX_DEPTH): value is Json {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || maxDepth === 0) return false;
  if (Array.isArray(value)) return value.every((element) => isJson(element, maxDepth - 1));
  return isPlain(value) && Object.values(value).every((member) => isJson(member, maxDepth - 1));
}

/**
 * Text of a value per RFC 8785 (members sorted by UTF-16 code unit), with one deliberate difference:
 * `-0` stays `-0`, because the same text is what we store, and what we store must come back equal.
 *
 * @throws TypeError for a value that is not JSON (undefined, NaN, a function).
 */
export function canonicalJson(value: Json): string {
  if (typeof value === 'number') return numberText(value);
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) {
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (!isJsonObject(value)) throw new TypeError(`not a JSON value: ${typeof value}`);
  const members = Object.keys(value)
    .sort(byCodeUnit)
    .map((name) => `${JSON.stringify(name)}:${canonicalJson(value[name] as Json)}`);
  return `{${members.join(',')}}`;
}

/** Sets a member as an own property, `__proto__` included. */
export function setMember(target: JsonObject, name: string, value: Json): void {
  Object.defineProperty(target, name, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  });
}

/** An own member's value, or undefined; never one inherited from Object.prototype. */
export function memberOf(target: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(target, name) ? target[name] : undefined;
}

/** Not a Date, a Map or the like, whose members say nothing of what they are. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.prototype.toString.call(value) === '[object Object]';
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) throw new TypeError('not a JSON number');
  return Object.is(value, -0) ? '-0' : JSON.stringify(value);
}

// JavaScript compares strings by UTF-16 code unit, which is what RFC 8785 asks for.
function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
