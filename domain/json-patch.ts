/**
 * The difference of two JSON values as a JSON Patch (RFC 6902), for people to read. Objects are
 * compared by member; arrays by what they have in common at both ends, in linear time. Applying it to
 * the first value gives the second.
 */
import { canonicalJson, isJsonObject, type Json } from './json.ts';

export type PatchOp =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: Json }
  | { readonly op: 'remove'; readonly path: string };

/** @returns ops in the order in which they are to be applied */
export function diffJson(before: Json, after: Json): PatchOp[] {
  const ops: PatchOp[] = [];
  compare({ before, after }, '', ops);
  return ops;
}

interface Pair {
  readonly before: Json;
  readonly after: Json;
}

function compare({ before, after }: Pair, path: string, ops: PatchOp[]): void {
  if (isJsonObject(before) && isJsonObject(after)) {
    for (const name of Object.keys(before)) {
      if (!Object.hasOwn(after, name)) ops.push({ op: 'remove', path: at(path, name) });
    }
    for (const [name, value] of Object.entries(after)) {
      if (!Object.hasOwn(before, name)) ops.push({ op: 'add', path: at(path, name), value });
      else compare({ before: before[name]!, after: value! }, at(path, name), ops);
    }
    return;
  }
  if (Array.isArray(before) && Array.isArray(after))
    return compareLists(before, after, { path, ops });
  if (!isSame(before, after)) ops.push({ op: 'replace', path, value: after });
}

function compareLists(
  before: readonly Json[],
  after: readonly Json[],
  { path, ops }: { path: string; ops: PatchOp[] },
): void {
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && isSame(before[head]!, after[head]!)) head += 1;
  let tail = 0;
  while (
    tail < shorter - head &&
    isSame(before[before.length - 1 - tail]!, after[after.length - 1 - tail]!)
  )
    tail += 1;
  const [gone, come] = [before.length - head - tail, after.length - head - tail];
  const paired = Math.min(gone, come);
  for (let nth = head; nth < head + paired; nth += 1) {
    compare({ before: before[nth]!, after: after[nth]! }, at(path, nth), ops);
  }
  for (let nth = head + gone - 1; nth >= head + paired; nth -= 1) {
    ops.push({ op: 'remove', path: at(path, nth) });
  }
  for (let nth = head + paired; nth < head + come; nth += 1) {
    ops.push({ op: 'add', path: at(path, nth), value: after[nth]! });
  }
}

const isSame = (a: Json, b: Json): boolean => canonicalJson(a) === canonicalJson(b);

const at = (path: string, part: string | number): string =>
  `${path}/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`;
