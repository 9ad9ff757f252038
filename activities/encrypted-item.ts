/**
 * Contexts whose body is encrypted in the hub. Links do not carry them: a remote keeps what it is
 * given in clear. Such an item is set aside as it is, on both sides, until it is decrypted.
 */
import type { ErrorCode } from '../domain/errors.ts';
import type { DirtyItem, PlanPage } from '../store/contract.ts';

/** Why such an item is set aside. */
export const ENCRYPTED = {
  code: 'ITEM_ENCRYPTED' satisfies ErrorCode,
  detail: 'the context is encrypted; links do not carry encrypted bodies',
} as const;

/** The items of a page a link may carry, and those that are set aside unseen. */
export function setEncryptedAside(items: readonly DirtyItem[]): {
  readonly carried: readonly DirtyItem[];
  readonly setAside: PlanPage['quarantined'][number][];
} {
  return {
    carried: items.filter((item) => !item.isHubEncrypted),
    setAside: items.flatMap((item) => (item.isHubEncrypted ? [{ item, fault: ENCRYPTED }] : [])),
  };
}
