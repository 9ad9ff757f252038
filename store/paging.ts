/** Opaque cursors for key-set paging: the last row's sort values, packed. */
import { AppError } from '../domain/errors.ts';
import { isUuid } from '../domain/ids.ts';

/** What a sort value is; anything else in a cursor would only make Postgres fail later. */
export type SortKind = 'text' | 'integer' | 'time' | 'id';

/** Largest `integer` of Postgres. */
const MAX_INTEGER = 2_147_483_647;
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** Packs sort values into a cursor. */
export function packCursor(values: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(values)).toString('base64url');
}

/** Unpacks a cursor with one value of each kind, in order. @throws AppError INVALID_CURSOR */
export function unpackCursor(cursor: string, kinds: readonly SortKind[]): (string | number)[] {
  try {
    const values: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (areOfKinds(values, kinds)) return values;
  } catch {
    // Falls through: whatever is wrong with it, it is not a cursor of ours.
  }
  throw new AppError('INVALID_CURSOR', 'this is not a cursor of this list');
}

function areOfKinds(values: unknown, kinds: readonly SortKind[]): values is (string | number)[] {
  return (
    Array.isArray(values) &&
    values.length === kinds.length &&
    kinds.every((kind, at) => isOfKind(values[at], kind))
  );
}

function isOfKind(value: unknown, kind: SortKind): boolean {
  if (kind === 'integer')
    return Number.isInteger(value) && Math.abs(value as number) <= MAX_INTEGER;
  if (typeof value !== 'string') return false;
  if (kind === 'id') return isUuid(value);
  if (kind === 'time') return ISO_TIME.test(value) && !Number.isNaN(Date.parse(value));
  return !value.includes('\0');
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
