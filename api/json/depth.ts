/** How deep a JSON value is nested. Counts containers; the outermost is 1. Never recurses. */

/** Containers that may be nested in `data` (contract, ground rules). */
export const MAX_DATA_DEPTH = 200;

/** Whether more than `limit` containers are nested in the value. */
export function isDeeperThan(value: unknown, limit: number): boolean {
  let level: object[] = isContainer(value) ? [value] : [];
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > limit) return true;
    level = level.flatMap((container) => Object.values(container).filter(isContainer));
  }
  return false;
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
