/**
 * Parents of contexts (`parentId`): a context is never its own ancestor. A parent need not exist, and
 * one that is deleted stays named: what was deleted counts here too, since it may come back with the
 * parent it had.
 */
import { AppError } from '../domain/errors.ts';
import type { ContextKey } from '../domain/ids.ts';
import type { Transaction } from './database.ts';

/** Most ancestors a context may have when its parent is set. */
export const MAX_ANCESTORS = 1_000;

// Two transactions could each add one half of a cycle that neither sees: parents are set one at a time.
const LOCK_PARENTS = `
SELECT pg_advisory_xact_lock(hashtextextended('parents of ' || current_setting('app.tenant'), 0))`;

// A statement of its own after the lock, so that it sees what was committed meanwhile.
const WALK_UP = `
WITH RECURSIVE up AS (
  SELECT parent_id, 1 AS nth FROM contexts
  WHERE tenant_id = current_setting('app.tenant') AND key = $2
  UNION ALL
  SELECT c.parent_id, up.nth + 1 FROM up
  JOIN contexts c ON c.tenant_id = current_setting('app.tenant') AND c.key = up.parent_id
  WHERE up.parent_id <> $1 AND up.nth < $3
)
SELECT coalesce(bool_or(parent_id = $1), false) AS "isCycle",
  coalesce(max(nth), 0) >= $3 AS "isTooDeep"
FROM up`;

/**
 * Checks a parent that is about to be set, and lets no other be set before this transaction ends.
 * @throws AppError VALIDATION when `key` would be its own ancestor, or has more than {@link MAX_ANCESTORS}
 */
export async function requireNoCycle(
  tx: Transaction,
  key: ContextKey,
  parent: string,
): Promise<void> {
  if (parent === key) throw refused('A context cannot be its own parent.');
  await tx.query(LOCK_PARENTS);
  const [walked] = await tx.query<{ isCycle: boolean; isTooDeep: boolean }>(WALK_UP, [
    key,
    parent,
    MAX_ANCESTORS,
  ]);
  const names = `${JSON.stringify(parent)} cannot be the parent of ${JSON.stringify(key)}`;
  if (walked!.isCycle) throw refused(`${names}: it is below it, so the two would form a cycle.`);
  if (walked!.isTooDeep) throw refused(`${names}: it has ${MAX_ANCESTORS} ancestors or more.`);
}

function refused(detail: string): AppError {
  return new AppError('VALIDATION', detail, {
    errors: [{ pointer: '/options/parentId', detail }],
  });
}
