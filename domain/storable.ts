/**
 * What a Postgres text (and UTF-8) can hold. JSON can say more: U+0000, and half of a surrogate pair.
 * Values are stored as bytes and keep a U+0000; names, reasons and pointers are texts and cannot.
 */
import { isJsonObject, type Json } from './json.ts';

/** Longest id of an item on a remote, bytes of UTF-8: an index entry of Postgres takes 2,704 in all. */
export const MAX_REMOTE_ID_BYTES = 2_048;

const HALF_PAIR = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const UNSTORABLE = new RegExp(`\\0|${HALF_PAIR.source}`, 'g');

/** Whether a text can be stored as it is. */
export function isStorable(text: string): boolean {
  return text.search(UNSTORABLE) < 0;
}

/** The text with what cannot be stored spelled out (`\u0000`): for people, not to be read back. */
export function storable(text: string): string {
  return text.replace(
    UNSTORABLE,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** JSON whose texts are all {@link storable}. */
export function storableJson(value: unknown): string {
  return JSON.stringify(value, (_name, member: unknown) =>
    typeof member === 'string' ? storable(member) : member,
  );
}

/** Why a text cannot be an item's id on a remote; null when it can. */
export function remoteIdFault(id: string): string | null {
  if (id.includes('\0')) return 'its name holds U+0000, which no link can carry';
  if (HALF_PAIR.test(id)) return 'its name holds half of a surrogate pair, which is no Unicode';
  if (id.length * 3 <= MAX_REMOTE_ID_BYTES) return null;
  const bytes = Buffer.byteLength(id);
  return bytes > MAX_REMOTE_ID_BYTES
    ? `its name has ${bytes} bytes; a link carries names of at most ${MAX_REMOTE_ID_BYTES}`
    : null;
}

/** Where in a value a text (or a member's name) holds half of a surrogate pair; null: nowhere. */
export function placeOfHalfPair(value: Json): string | null {
  if (typeof value === 'string') return HALF_PAIR.test(value) ? '' : null;
  if (Array.isArray(value)) {
    for (const [at, element] of value.entries()) {
      const place = placeOfHalfPair(element);
      if (place !== null) return `/${at}${place}`;
    }
    return null;
  }
  if (!isJsonObject(value)) return null;
  for (const [name, member] of Object.entries(value)) {
    const place = HALF_PAIR.test(name) ? '' : placeOfHalfPair(member);
    if (place !== null) return `/${storable(name)}${place}`;
  }
  return null;
}
