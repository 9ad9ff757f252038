/** Command-line values the benchmarks share. */
import { AppError } from '../domain/errors.ts';

/** A whole number above 0. @throws AppError VALIDATION */
export function countOf(text: string, option: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count > 0) return count;
  throw new AppError('VALIDATION', `${option} must be a whole number above 0`);
}
