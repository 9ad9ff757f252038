/** Opaque cursors for key-set paging: the last row's sort values, packed. */
import { AppError } from '../domain/errors.ts';

/** Packs sort values into a cursor. */
export function packCursor(values: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(values)).toString('base64url');
}

/** Unpacks a cursor of `length` values. @throws AppError INVALID_CURSOR */
export function unpackCursor(cursor: string, length: number): (string | number)[] {
  try {
    const values: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (Array.isArray(values) && values.length === length && values.every(isSortValue))
      return values;
  } catch {
    // Falls through: whatever is wrong with it, it is not a cursor of ours.
  }
  throw new AppError('INVALID_CURSOR', 'this is not a cursor of this list');
}

function isSortValue(value: unknown): value is string | number {
  return typeof value === 'string' || typeof value === 'number';
}

/** Cuts the row read too many and tells where the next page starts. */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  { item, sortValues }: { item: (row: Row) => Item; sortValues: (row: Row) => (string | number)[] },
): { items: Item[]; nextCursor: string | null } {
  const kept = rows.slice(0, limit);
  const last = kept.at(-1);
  const nextCursor =
    rows.length > limit && last !== undefined ? packCursor(sortValues(last)) : null;
  return { items: kept.map(item), nextCursor };
}
