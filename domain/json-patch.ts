/**
 * The difference of two JSON values as a JSON Patch (RFC 6902), for people to read. Objects are
 * compared by member; arrays by what they have in common at both ends, in linear time. Applying it to
 * the first value gives the second.
 */
import { isJsonObject, type Json } from './json.ts';
import { middleOf } from './json-delta.ts';
import { createSameJson, type SameJson } from './json-equality.ts';
import { pointerTo } from './json-pointer.ts';

export type PatchOp =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: Json }
  | { readonly op: 'remove'; readonly path: string };

/** @returns ops in the order in which they are to be applied */
export function diffJson(before: Json, after: Json): PatchOp[] {
  const ops: PatchOp[] = [];
  compare({ before, after }, '', { ops, isSame: createSameJson() });
  return ops;
}

interface Pair {
  readonly before: Json;
  readonly after: Json;
}

interface Comparison {
  readonly ops: PatchOp[];
  readonly isSame: SameJson;
}

function compare({ before, after }: Pair, path: string, on: Comparison): void {
  if (isJsonObject(before) && isJsonObject(after)) {
    for (const name of Object.keys(before)) {
      if (!Object.hasOwn(after, name)) on.ops.push({ op: 'remove', path: pointerTo(path, name) });
    }
    for (const [name, value] of Object.entries(after)) {
      if (!Object.hasOwn(before, name))
        on.ops.push({ op: 'add', path: pointerTo(path, name), value });
      else compare({ before: before[name]!, after: value! }, pointerTo(path, name), on);
    }
    return;
  }
  if (Array.isArray(before) && Array.isArray(after))
    return compareLists(before, after, { path, on });
  if (!on.isSame(before, after)) on.ops.push({ op: 'replace', path, value: after });
}

function compareLists(
  before: readonly Json[],
  after: readonly Json[],
  { path, on }: { path: string; on: Comparison },
): void {
  const { head, gone, come } = middleOf(before, after, on.isSame);
  const paired = Math.min(gone, come);
  for (let nth = head; nth < head + paired; nth += 1) {
    compare({ before: before[nth]!, after: after[nth]! }, pointerTo(path, nth), on);
  }
  for (let nth = head + gone - 1; nth >= head + paired; nth -= 1) {
    on.ops.push({ op: 'remove', path: pointerTo(path, nth) });
  }
  for (let nth = head + paired; nth < head + come; nth += 1) {
    on.ops.push({ op: 'add', path: pointerTo(path, nth), value: after[nth]! });
  }
}
