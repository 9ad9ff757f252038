/** Names of places in a document: RFC 6901 JSON pointers, with `[field=value]` for keyed elements. */
import type { JsonObject } from '../../domain/json.ts';
import { escapeStep } from '../../domain/json-pointer.ts';

/**
 * Pointer of a keyed list's element: `/list/[id=7]`, with several key fields `/list/[to=a,type=b]`.
 * A comma inside a value is written `~2`, so that two elements never share a pointer by their commas.
 */
export function elementPointer(
  parent: string,
  fields: readonly string[],
  item: JsonObject,
): string {
  const pairs = fields.map((field) => {
    const value = item[field];
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return `${escapeStep(field)}=${escapeStep(text).replaceAll(',', '~2')}`;
  });
  return `${parent}/[${pairs.join(',')}]`;
}

/** Whether a place is the given one or lies below it. */
export function isAtOrBelow(pointer: string, ancestor: string): boolean {
  return pointer === ancestor || pointer.startsWith(`${ancestor}/`);
}
