/** Makes sure that every conflict with a due time has its workflow, whatever happened to it. */
import type { ConflictWatch } from '../store/contract.ts';
import type { ConflictWatcher } from './conflict-watcher.ts';

/** Conflicts one sweep looks after at most; the rest is for the next. */
const MAX_CONFLICTS = 200;

/** Answers how many it looked after. Overdue ones are told to look: a timer may have been missed. */
export async function watchConflicts(deps: {
  readonly watch: ConflictWatch;
  readonly watcher: ConflictWatcher;
}): Promise<number> {
  const unwatched = await deps.watch.takeUnwatched(MAX_CONFLICTS);
  await Promise.all(
    unwatched.map(({ isOverdue, ...ref }) =>
      isOverdue ? deps.watcher.opened(ref) : deps.watcher.ensure(ref),
    ),
  );
  return unwatched.length;
}
