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

// A statement of its own after the lock, so that it sees what was committed meanwhile. Each context
// once, however many are below it.
const WALK_UP = `
WITH RECURSIVE up AS (
  SELECT c.key, c.parent_id FROM (SELECT DISTINCT w AS key FROM unnest($1::text[]) AS w) w
  CROSS JOIN LATERAL (SELECT key, parent_id FROM contexts
    WHERE tenant_id = current_setting('app.tenant') AND key = w.key OFFSET 0) c
  UNION
  SELECT c.key, c.parent_id FROM up
  CROSS JOIN LATERAL (SELECT key, parent_id FROM contexts
    WHERE tenant_id = current_setting('app.tenant') AND key = up.parent_id OFFSET 0) c
)
SELECT key, parent_id FROM up`;

/** A context's parent; null: it has none; undefined: there is no such context. */
export type ParentOf = (key: string) => string | null | undefined;

/**
 * The contexts above parents that are about to be set, they themselves included, and lets no other
 * parent be set before this transaction ends.
 */
export async function loadAncestors(
  tx: Transaction,
  parents: readonly string[],
): Promise<Map<string, string | null>> {
  await tx.query(LOCK_PARENTS);
  const rows = await tx.query<{ key: string; parent_id: string | null }>(WALK_UP, [parents]);
  return new Map(rows.map((row) => [row.key, row.parent_id]));
}

/**
 * Checks a parent that is about to be set.
 * @throws AppError VALIDATION when `key` would be its own ancestor, or has more than {@link MAX_ANCESTORS}
 */
export function requireNoCycle(key: ContextKey, parent: string, parentOf: ParentOf): void {
  if (parent === key) throw refused('A context cannot be its own parent.');
  const names = `${JSON.stringify(parent)} cannot be the parent of ${JSON.stringify(key)}`;
  let above = parentOf(parent);
  for (let count = 0; above !== undefined; above = above === null ? undefined : parentOf(above)) {
    count += 1;
    if (above === key) throw refused(`${names}: it is below it, so the two would form a cycle.`);
    if (count >= MAX_ANCESTORS)
      throw refused(`${names}: it has ${MAX_ANCESTORS} ancestors or more.`);
  }
}

function refused(detail: string): AppError {
  return new AppError('VALIDATION', detail, {
    errors: [{ pointer: '/options/parentId', detail }],
  });
}
