/** Goes on with rotations of encryption keys, tenant by tenant, in bounded batches. Safe to run twice at once. */
import { toAppError } from '../domain/errors.ts';
import type { KeyRotation } from '../store/contract.ts';

/** Bodies sealed anew by one transaction, at most. */
const BATCH = 200;
/** Of all tenants together, so that other jobs have their turn; the rest comes with the next job. */
const MAX_BATCHES = 50;

/** Answers how many bodies were sealed anew, and with how many tenants it could not go on. */
export async function reEncrypt(
  rotation: KeyRotation,
  log: { warn(fields: object, message: string): void },
): Promise<{ sealed: number; failed: number }> {
  const total = { sealed: 0, failed: 0 };
  let left = MAX_BATCHES;
  for (const tenant of await rotation.pending()) {
    try {
      for (let isDone = false; left > 0 && !isDone; left -= 1) {
        const done = await rotation.work(tenant, BATCH);
        total.sealed += done.sealed;
        isDone = done.isDone || done.sealed === 0;
      }
    } catch (error) {
      // One tenant's broken body must not keep the others from their rotation.
      total.failed += 1;
      log.warn({ tenant, code: toAppError(error).code }, 'a rotation of encryption keys is stuck');
    }
  }
  return total;
}
