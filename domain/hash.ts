/** Content hashes: the one way to ask whether two bodies are the same. */
import { createHash } from 'node:crypto';
import { canonicalJson, type Json } from './json.ts';

/** SHA-256 of a body's canonical text, 64 lower-case hex digits. */
export type Hash = string & { readonly __brand: 'Hash' };

/** Hash of a JSON value. Equal values have equal hashes, whatever their member order. */
export function hashJson(value: Json): Hash {
  return hashText(canonicalJson(value));
}

/** Hash of a text as UTF-8. */
export function hashText(text: string | Uint8Array): Hash {
  return createHash('sha256').update(text).digest('hex') as Hash;
}
