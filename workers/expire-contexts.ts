/** Deletes contexts whose time is over, in batches, until none is left. Safe to run twice at once. */
import type { Sweeps } from '../store/contract.ts';

const BATCH = 500;

/** Answers how many contexts expired. */
export async function expireContexts(sweeps: Sweeps): Promise<{ expired: number }> {
  let expired = 0;
  for (let last = BATCH; last === BATCH;) {
    last = await sweeps.expireContexts(BATCH);
    expired += last;
  }
  return { expired };
}
