/** The client's `encryption`: rotation of the keys that seal encrypted contexts. */
import type { Rotation } from '../api/contract.ts';
import type { Transport } from './transport.ts';

export interface EncryptionCalls {
  /** Makes a new key; bodies sealed with the old one are sealed anew in the background. */
  rotate(options?: { readonly tenant?: string }): Promise<Rotation>;
  /** How far that is. */
  rotation(options?: { readonly tenant?: string }): Promise<Rotation>;
}

/** Calls about encryption keys. */
export function encryptionCalls({ call }: Transport): EncryptionCalls {
  return {
    // Once more makes one key more, which nobody asked for: not repeated by itself.
    rotate: (options = {}) =>
      call('POST', '/api/admin/encryption/rotate', {
        body: options,
        isRepeatable: false,
      }),
    rotation: ({ tenant } = {}) =>
      call('GET', '/api/admin/encryption/rotation', { query: { tenant }, isRepeatable: true }),
  };
}
