/**
 * The text of a stored body, for the index and for highlights: its strings, numbers and member names
 * in order, straight from the JSON text and never more than a bounded beginning of it, so that a body
 * of 10 MiB costs no more than one of 256 KiB.
 */
import { constants, createGunzip, gunzip } from 'node:zlib';
import { promisify } from 'node:util';
import { wantedBlobs, type StoredBody } from '../blobs.ts';
import type { Hash } from '../../domain/hash.ts';
import type { Transaction } from '../database.ts';

const inflate = promisify(gunzip);

/** Bytes of JSON text that are looked at. */
export const MAX_TEXT_BYTES = 256 * 1024;
/** Stored bytes that hold so much text at least: what gzip cannot compress grows by a few bytes. */
const MAX_STORED_BYTES = MAX_TEXT_BYTES + 1024;

/** Strings (with what follows where they are a member's name) and numbers of JSON text. */
const TOKEN = /"([^"\\]*(?:\\.[^"\\]*)*)(?:"(:?)|$)|-?\d[\d.eE+-]*/gs;

export interface BodyText {
  /** Strings and numbers. */
  readonly values: readonly string[];
  /** Names of members, each once. */
  readonly names: readonly string[];
}

const BEGINNINGS = wantedBlobs(
  `codec, size, substr(body, 1, ${MAX_STORED_BYTES}) AS bytes, key_id AS "keyId"`,
);

/** The beginnings of stored bodies, as far as their text is looked at; sealed ones are left out. */
export async function loadBeginnings(
  tx: Transaction,
  hashes: Iterable<Hash>,
): Promise<Map<Hash, StoredBody>> {
  const wanted = [...new Set(hashes)];
  if (wanted.length === 0) return new Map();
  type Row = StoredBody & { hash: Hash; keyId: string | null };
  const rows = await tx.query<Row>(BEGINNINGS, [wanted]);
  return new Map(rows.filter(({ keyId }) => keyId === null).map((row) => [row.hash, row]));
}

/** The text of a body as it is stored, or of the beginning of one. It must not be encrypted. */
export async function bodyTextOf({ codec, size, bytes }: StoredBody): Promise<BodyText> {
  const plain = codec === 'none' ? bytes : await inflateBeginning(bytes, size);
  const length = Math.min(plain.byteLength, MAX_TEXT_BYTES);
  return textOfJson(Buffer.from(plain.buffer, plain.byteOffset, length).toString('utf8'));
}

/** Inflates {@link MAX_TEXT_BYTES} at least, if there are so many, and little more. */
async function inflateBeginning(bytes: Uint8Array, size: number): Promise<Uint8Array> {
  if (size <= MAX_TEXT_BYTES) return inflate(bytes);
  const stream = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH, chunkSize: 64 * 1024 });
  stream.end(bytes.subarray(0, MAX_STORED_BYTES));
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    length += chunk.byteLength;
    if (length >= MAX_TEXT_BYTES) break;
  }
  return Buffer.concat(chunks);
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
