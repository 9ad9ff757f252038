/** Merges arrays that only grow at their end: the base stays the head, both tails follow. */
import { canonicalJson, type Json } from '../../domain/json.ts';
import { oneSpelling, type SetRule } from './merge-set.ts';

export interface LogMerge {
  readonly base: readonly Json[] | null;
  readonly hub: readonly Json[];
  readonly remote: readonly Json[];
  readonly rule: SetRule;
  readonly classOf: (entry: Json) => number;
}

/**
 * The merged log; null when a side rewrote history, which a log merge cannot judge.
 * What both appended alike counts once. `union` and `intersection` look at what the sides have now,
 * never at the base, so they always give a log.
 */
export function mergeLogs(merge: LogMerge): Json[] | null {
  const hub = merge.hub.map(merge.classOf);
  const remote = merge.remote.map(merge.classOf);
  const base = (merge.base ?? []).map(merge.classOf);
  if (merge.rule === 'three-way' && !(startsWith(hub, base) && startsWith(remote, base)))
    return null;
  const head = commonPrefix(hub, remote);
  const [first, second] = inTailOrder(merge, head);
  const shared = countsOf(second, merge.classOf);
  const tail = first.filter((entry) => {
    const isShared = take(shared, merge.classOf(entry));
    return isShared || merge.rule !== 'intersection';
  });
  const rest = merge.rule === 'intersection' ? [] : withoutShared(second, first, merge.classOf);
  const alike = merge.hub.slice(0, head).map((entry, at) => oneSpelling(entry, merge.remote[at]!));
  return [...alike, ...tail, ...rest];
}

/** The two tails, ordered by their own content so that sides do not matter. */
function inTailOrder(merge: LogMerge, head: number): [Json[], Json[]] {
  const hub = merge.hub.slice(head);
  const remote = merge.remote.slice(head);
  return canonicalJson(hub) <= canonicalJson(remote) ? [hub, remote] : [remote, hub];
}

/** Entries of `log` beyond those `other` has too, counted one for one. */
function withoutShared(
  log: readonly Json[],
  other: readonly Json[],
  classOf: (entry: Json) => number,
): Json[] {
  const counts = countsOf(other, classOf);
  return log.filter((entry) => !take(counts, classOf(entry)));
}

function countsOf(log: readonly Json[], classOf: (entry: Json) => number): Map<number, number> {
  const counts = new Map<number, number>();
  for (const entry of log) counts.set(classOf(entry), (counts.get(classOf(entry)) ?? 0) + 1);
  return counts;
}

function take(counts: Map<number, number>, id: number): boolean {
  const left = counts.get(id) ?? 0;
  if (left > 0) counts.set(id, left - 1);
  return left > 0;
}

function startsWith(log: readonly number[], head: readonly number[]): boolean {
  return head.length <= log.length && head.every((id, at) => id === log[at]);
}

function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length += 1;
  return length;
}
