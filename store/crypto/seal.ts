/**
 * AES-256-GCM over bytes: `nonce (12) ‖ ciphertext ‖ tag (16)`. What is sealed for one purpose and
 * place opens for that one only: both are bound in as associated data.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import { AppError } from '../../domain/errors.ts';

/** Bytes of every key here (AES-256, HMAC-SHA256). */
export const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const ALGORITHM = 'aes-256-gcm';

/** So many unguessable bytes; injected, so that tests can make them predictable. */
export type RandomBytes = (count: number) => Buffer;

/** What a sealed text belongs to; the first word says what it is. Order and number count. */
export type Binding = readonly [what: string, ...facts: string[]];

/** Seals bytes. A nonce is random: at most 2^32 texts per key (NIST SP 800-38D), then rotate. */
export function seal(
  key: Buffer,
  plain: Uint8Array,
  { binding, randomBytes }: { readonly binding: Binding; readonly randomBytes: RandomBytes },
): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key, nonce);
  cipher.setAAD(associated(binding));
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Opens sealed bytes. @throws AppError DECRYPTION_FAILED, and then gives away nothing of them */
export function open(key: Buffer, sealed: Uint8Array, binding: Binding): Buffer {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) throw tampered();
  const end = sealed.length - TAG_BYTES;
  try {
    const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(associated(binding));
    decipher.setAuthTag(sealed.subarray(end));
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, end)), decipher.final()]);
  } catch {
    throw tampered();
  }
}

/** HMAC-SHA256 over facts that cannot be mistaken for others, and then over bytes. */
export function keyedHash(key: Buffer, binding: Binding, bytes: Uint8Array = EMPTY): Buffer {
  // JSON text holds no line feed, so what is before the first one is the binding.
  return createHmac('sha256', key).update(associated(binding)).update('\n').update(bytes).digest();
}

const EMPTY = new Uint8Array(0);

// As JSON no fact can run into the next.
const associated = (binding: Binding): Buffer => Buffer.from(JSON.stringify(binding));

/** The one error of every sealed text that does not open: which part is wrong is nobody's business. */
export function tampered(options: { readonly retryable?: boolean } = {}): AppError {
  return new AppError(
    'DECRYPTION_FAILED',
    'an encrypted body does not open: it, its key or its place was changed',
    options,
  );
}
