/** Examining what may not answer: each look has a time limit, and only so many go on at once. */
import { AppError } from '../../domain/errors.ts';
import { withDeadline } from '../../domain/with-deadline.ts';

/** The outcome of `work`, or an error when it takes longer. What goes on behind is left alone. */
export async function inTime<T>(timeoutMs: number, work: () => Promise<T>): Promise<T> {
  const late = (): AppError =>
    new AppError('UNAVAILABLE', `no answer within ${timeoutMs / 1_000} s`);
  return withDeadline(work(), timeoutMs, late);
}

/** Does `work` for each item, at most `limit` at a time; answers in the items' order. */
export async function eachLimited<Item, Result>(
  items: readonly Item[],
  limit: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const todo = items.entries();
  const worker = async (): Promise<void> => {
    for (const [at, item] of todo) results[at] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}
