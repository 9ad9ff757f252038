/** Planning an undo: the inverse of another run's ops, each checked against what is there now. */
import type { Planned } from './contract.ts';
import { finishIntents } from './execute.ts';
import type { PassScope } from './pass-scope.ts';

/** Stores the ops of an undo; those that no longer fit are stored as stale and not counted as planned. */
export async function planUndo(scope: PassScope): Promise<Planned> {
  // A write whose outcome nobody knows yet may be one that is to be undone.
  if (scope.mayHaveIntents) await finishIntents(scope);
  const { stale, ...plan } = await scope.sync.recordUndo(scope.ref);
  return { ...plan, merged: 0, conflicts: 0, quarantined: 0, skipped: stale, guard: null };
}
