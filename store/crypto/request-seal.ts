/**
 * What the store keeps of a request that may be sent twice, where there is a master key: a
 * fingerprint that nobody can try guesses on, and an answer that only this tenant's key opens. It is
 * so for every request: whether its context is encrypted shows only once it is carried out.
 */
import { AppError } from '../../domain/errors.ts';
import type { Hash } from '../../domain/hash.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { Transaction } from '../database.ts';
import type { Keyring } from './keyring.ts';
import { keyedHash, open, seal, type Binding } from './seal.ts';

export interface RequestSeal {
  /** What is kept instead of this fingerprint. */
  fingerprint(plain: Hash): Hash;
  /** What is kept of an answer's body. */
  readonly seal: ((body: string) => string) | undefined;
  /** @throws AppError DECRYPTION_FAILED, ENCRYPTION_NOT_CONFIGURED */
  open(kept: string): string;
}

/** No JSON text begins like this. */
const MARK = 'sealed:';

/** The seal of one slot; without a keyring everything is kept as it is. */
export async function createRequestSeal(
  tx: Transaction,
  of: { readonly keyring: Keyring | null; readonly tenant: TenantId; readonly slot: Hash },
): Promise<RequestSeal> {
  const { keyring, tenant, slot } = of;
  if (!keyring) return { fingerprint: (plain) => plain, seal: undefined, open: openPlain };
  const { key } = (await keyring.current(tx, tenant)).id;
  // The id key makes hashes; what encrypts is a key of its own.
  const answerKey = keyedHash(key, ['syncline answer key', tenant]);
  const binding: Binding = ['syncline answer', tenant, slot];
  const { randomBytes } = keyring;
  return {
    fingerprint: (plain) =>
      keyedHash(key, ['syncline request', tenant, slot, plain]).toString('hex') as Hash,
    seal: (body) =>
      MARK + seal(answerKey, Buffer.from(body), { binding, randomBytes }).toString('base64'),
    open: (kept) =>
      kept.startsWith(MARK)
        ? open(answerKey, Buffer.from(kept.slice(MARK.length), 'base64'), binding).toString()
        : kept,
  };
}

function openPlain(kept: string): string {
  if (!kept.startsWith(MARK)) return kept;
  throw new AppError(
    'ENCRYPTION_NOT_CONFIGURED',
    'the kept answer is encrypted, and there is no key',
  );
}
