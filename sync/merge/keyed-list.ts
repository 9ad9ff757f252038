/** Reads a list of objects as a map by its key fields, or says that it is none. */
import { isJsonObject, memberOf, type Json, type JsonObject } from '../../domain/json.ts';

/** Elements by the JSON text of their key values, in list order. */
export type KeyedElements = ReadonlyMap<string, JsonObject>;

/**
 * The elements of a keyed list; null when it is no such list: not an array, an element that is no
 * object, a key that is missing or not a string, number or boolean, or a key that occurs twice.
 */
export function keyedElements(list: Json, fields: readonly string[]): KeyedElements | null {
  if (!Array.isArray(list)) return null;
  const elements = new Map<string, JsonObject>();
  for (const element of list) {
    const key = isJsonObject(element) ? keyOf(element, fields) : null;
    if (key === null || elements.has(key)) return null;
    elements.set(key, element as JsonObject);
  }
  return elements;
}

function keyOf(element: JsonObject, fields: readonly string[]): string | null {
  const values = fields.map((field) => memberOf(element, field));
  return values.every(isKeyValue) ? JSON.stringify(values) : null;
}

function isKeyValue(value: Json | undefined): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
