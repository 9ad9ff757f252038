/** Deletes remembered answers whose day is over, in batches. Safe to run twice at once. */
import type { Sweeps } from '../store/contract.ts';

const BATCH = 1_000;

/** Answers how many were forgotten. */
export async function forgetAnswers(sweeps: Sweeps): Promise<{ forgotten: number }> {
  let forgotten = 0;
  for (let last = BATCH; last === BATCH;) {
    last = await sweeps.forgetAnswers(BATCH);
    forgotten += last;
  }
  return { forgotten };
}
