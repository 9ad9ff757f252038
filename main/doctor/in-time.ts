/** Examining what may not answer: each look has a time limit. */
import { AppError } from '../../domain/errors.ts';
import { withDeadline } from '../../domain/with-deadline.ts';

/** The outcome of `work`, or an error when it takes longer. What goes on behind is left alone. */
export async function inTime<T>(timeoutMs: number, work: () => Promise<T>): Promise<T> {
  const late = (): AppError =>
    new AppError('UNAVAILABLE', `no answer within ${timeoutMs / 1_000} s`);
  return withDeadline(work(), timeoutMs, late);
}
