/** Master keys for tests, what a store needs to encrypt with them, and what must not be found in clear. */
import { randomBytes } from 'node:crypto';
import type { EncryptionDeps } from '../../store/create-store.ts';
import { masterKeysOf } from '../../store/crypto/master-keys.ts';

/** A master key as an operator would write it. */
export function newMasterKey(): string {
  return randomBytes(32).toString('base64');
}

/** What a store is given that encrypts under this master key. */
export function encryptionWith(
  key: string,
  more: { readonly oldKeys?: readonly string[]; readonly isDefault?: boolean } = {},
): EncryptionDeps {
  const masters = masterKeysOf({ key, oldKeys: more.oldKeys ?? [] })!;
  return { masters, randomBytes, isDefault: more.isDefault ?? false };
}

/** A text as it may be spelled in a file, a table or a message: as it is, in hex and in Base64. */
export function spellingsOf(text: string): string[] {
  const bytes = Buffer.from(text);
  // Base64 depends on where in a group of three it begins.
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .slice(4, -4),
  );
  return [text, bytes.toString('hex'), ...base64];
}
