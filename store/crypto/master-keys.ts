/** The master keys of the configuration: the only keys that are not in the database. */
import { AppError } from '../../domain/errors.ts';
import { KEY_BYTES, keyedHash } from './seal.ts';

export interface MasterKey {
  /** Fingerprint: says which key wrapped something, and nothing about the key. */
  readonly id: string;
  readonly key: Buffer;
}

export interface MasterKeys {
  /** Wraps what is wrapped from now on. */
  readonly current: MasterKey;
  /** Whether a key of this fingerprint is configured. */
  has(id: string): boolean;
  /** @throws AppError ENCRYPTION_NOT_CONFIGURED when no key of this fingerprint is configured */
  find(id: string): MasterKey;
}

const HEX = /^[0-9a-fA-F]{64}$/;
const BASE64 = /^[A-Za-z0-9+/_-]{43}=?$/;
const FINGERPRINT_CHARS = 16;

/** What a master key may look like, for messages. */
export const MASTER_KEY_FORM = `must be ${KEY_BYTES} bytes as base64, as hex, or as ${KEY_BYTES} characters`;

/** A key's 32 bytes; null when the text is not such a key. */
export function parseMasterKey(text: string): Buffer | null {
  if (HEX.test(text)) return Buffer.from(text, 'hex');
  const bytes = BASE64.test(text) ? Buffer.from(text, 'base64') : Buffer.from(text, 'utf8');
  return bytes.length === KEY_BYTES ? bytes : null;
}

/**
 * The master keys from their texts; null without a current one.
 * @throws AppError CONFIG_INVALID for a text of the wrong length; the text is not shown
 */
export function masterKeysOf(given: {
  readonly key: string | null;
  readonly oldKeys: readonly string[];
}): MasterKeys | null {
  if (given.key === null) return null;
  const [current, ...old] = [given.key, ...given.oldKeys].map(masterKeyOf);
  const byId = new Map([...old, current!].map((master) => [master.id, master]));
  return {
    current: current!,
    has: (id) => byId.has(id),
    find(id) {
      const master = byId.get(id);
      if (master) return master;
      throw new AppError(
        'ENCRYPTION_NOT_CONFIGURED',
        `the master key with the fingerprint ${id} is not configured; add it to security.encryption.old_keys`,
      );
    },
  };
}

function masterKeyOf(text: string): MasterKey {
  const key = parseMasterKey(text);
  if (!key) throw new AppError('CONFIG_INVALID', `an encryption key ${MASTER_KEY_FORM}`);
  const print = keyedHash(key, ['syncline master key']).toString('hex');
  return { id: print.slice(0, FINGERPRINT_CHARS), key };
}
