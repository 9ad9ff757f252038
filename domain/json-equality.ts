/**
 * Whether parts of two JSON values are equal, asked again and again at every depth. Each container is
 * looked at once: equal ones get the same number, so what follows is a comparison of numbers.
 */
import { canonicalJson, isJsonObject, type Json } from './json.ts';

export type SameJson = (a: Json, b: Json) => boolean;

/** A comparison that remembers what it has seen; for values that do not change meanwhile. */
export function createSameJson(): SameJson {
  const numbers = new Map<string, number>();
  const known = new WeakMap<object, string>();

  /** Equal values have equal texts; that of a container is short, whatever it holds. */
  function textOf(value: Json): string {
    if (typeof value !== 'object' || value === null) return canonicalJson(value);
    const seen = known.get(value);
    if (seen !== undefined) return seen;
    const content = isJsonObject(value)
      ? `{${Object.keys(value)
          .sort()
          .map((name) => `${JSON.stringify(name)}:${textOf(value[name]!)}`)
          .join(',')}}`
      : `[${value.map(textOf).join(',')}]`;
    const number = numbers.get(content) ?? numbers.size;
    numbers.set(content, number);
    const text = `#${number}`;
    known.set(value, text);
    return text;
  }

  return (a, b) => textOf(a) === textOf(b);
}
