/**
 * The text of a stored body, for the index and for highlights: its strings, numbers and member names
 * in order, straight from the JSON text and never more than a bounded beginning of it, so that a body
 * of 10 MiB costs no more than one of 256 KiB.
 */
import { gunzip } from 'node:zlib';
import { promisify } from 'node:util';
import type { StoredBody } from '../blobs.ts';

const inflate = promisify(gunzip);

/** Bytes of JSON text that are looked at. */
export const MAX_TEXT_BYTES = 256 * 1024;

/** Strings (with what follows where they are a member's name) and numbers of JSON text. */
const TOKEN = /"([^"\\]*(?:\\.[^"\\]*)*)(?:"(:?)|$)|-?\d[\d.eE+-]*/gs;

export interface BodyText {
  /** Strings and numbers. */
  readonly values: readonly string[];
  /** Names of members, each once. */
  readonly names: readonly string[];
}

/** The text of a body as it is stored. It must not be encrypted. */
export async function bodyTextOf({
  codec,
  bytes,
}: Pick<StoredBody, 'codec' | 'bytes'>): Promise<BodyText> {
  const plain = codec === 'gzip' ? await inflate(bytes) : bytes;
  const part = Buffer.from(
    plain.buffer,
    plain.byteOffset,
    Math.min(plain.byteLength, MAX_TEXT_BYTES),
  );
  return textOfJson(part.toString('utf8'));
}

/** The same of JSON text, which may be cut off anywhere. */
export function textOfJson(json: string): BodyText {
  const values: string[] = [];
  const names = new Set<string>();
  for (const [token, text, colon] of json.matchAll(TOKEN)) {
    if (text === undefined) values.push(token);
    else if (colon === ':') names.add(unescape(text));
    else values.push(unescape(text));
  }
  return { values, names: [...names] };
}

function unescape(text: string): string {
  if (!text.includes('\\')) return text;
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    return text; // cut off within an escape
  }
}
