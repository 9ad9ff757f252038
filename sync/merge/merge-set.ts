/** Merges arrays that are sets. Never contested: an element is there or it is not. */
import { canonicalJson, type Json } from '../../domain/json.ts';

/** How elements are chosen: by what changed since the base, or by what either or both sides have. */
export type SetRule = 'three-way' | 'union' | 'intersection';

export interface SetMerge {
  /** Null: no base, so nothing counts as removed. */
  readonly base: readonly Json[] | null;
  readonly hub: readonly Json[];
  readonly remote: readonly Json[];
  readonly rule: SetRule;
  /** Number of an element's class: equal for elements that are the same. */
  readonly classOf: (element: Json) => number;
}

/** The merged set, in the one order of {@link inSetOrder}. */
export function mergeSets(merge: SetMerge): Json[] {
  const base = new Set((merge.base ?? []).map(merge.classOf));
  const hub = byClass(merge.hub, merge.classOf);
  const remote = byClass(merge.remote, merge.classOf);
  const kept: Json[] = [];
  for (const [id, element] of hub) {
    const other = remote.get(id);
    if (other !== undefined) kept.push(oneSpelling(element, other));
    else if (isKept(merge.rule, base.has(id))) kept.push(element);
  }
  for (const [id, element] of remote) {
    if (!hub.has(id) && isKept(merge.rule, base.has(id))) kept.push(element);
  }
  return inSetOrder(kept);
}

/**
 * The order merged sets are written in, whichever side an element came from: strings first, by code
 * unit (as the hub stores observations), then everything else by canonical text.
 */
export function inSetOrder(elements: readonly Json[]): Json[] {
  const ranked = elements.map((element) => ({
    element,
    isText: typeof element === 'string',
    text: typeof element === 'string' ? element : canonicalJson(element),
  }));
  ranked.sort((a, b) => Number(b.isText) - Number(a.isText) || byCodeUnit(a.text, b.text));
  return ranked.map(({ element }) => element);
}

/** One of two values that are the same, chosen so that it does not matter which side has which. */
export function oneSpelling<T extends Json>(a: T, b: T): T {
  if (Object.is(a, b)) return a;
  return canonicalJson(a) <= canonicalJson(b) ? a : b;
}

function isKept(rule: SetRule, isInBase: boolean): boolean {
  if (rule === 'union') return true;
  // On one side only: the other side removed it if the base had it, else this side added it.
  return rule === 'three-way' && !isInBase;
}

function byClass(set: readonly Json[], classOf: (element: Json) => number): Map<number, Json> {
  const found = new Map<number, Json>();
  for (const element of set) {
    const id = classOf(element);
    const before = found.get(id);
    found.set(id, before === undefined ? element : oneSpelling(before, element));
  }
  return found;
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
