/** Master keys for tests, and what a store needs to encrypt with them. */
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
