/**
 * The difference of two JSON values in the format of jsondiffpatch, for tools that draw it or go back
 * by it (https://github.com/benjamine/jsondiffpatch/blob/master/docs/deltas.md). Arrays are compared by
 * what they have in common at both ends, in linear time, where the library's own comparison is
 * quadratic; no moves are told.
 */
import { isJsonObject, setMember, type Json, type JsonObject } from './json.ts';
import { createSameJson, type SameJson } from './json-equality.ts';

/** Members the library cannot tell by: it takes one for its own mark, and loses the other. */
const UNTELLABLE = ['_t', '__proto__'];

/** What leads from the first value to the second; null: they are equal. */
export function diffDelta(before: Json, after: Json): Json {
  return deltaOf({ before, after }, createSameJson()) ?? null;
}

interface Pair {
  readonly before: Json;
  readonly after: Json;
}

function deltaOf({ before, after }: Pair, isSame: SameJson): Json | undefined {
  if (isSame(before, after)) return undefined;
  if (Array.isArray(before) && Array.isArray(after)) return arrayDelta(before, after, isSame);
  if (!isJsonObject(before) || !isJsonObject(after)) return [before, after];
  const delta = objectDelta(before, after, isSame);
  return UNTELLABLE.some((name) => Object.hasOwn(delta, name)) ? [before, after] : delta;
}

function objectDelta(before: JsonObject, after: JsonObject, isSame: SameJson): JsonObject {
  const delta: JsonObject = {};
  for (const name of Object.keys(before)) {
    if (!Object.hasOwn(after, name)) setMember(delta, name, [before[name]!, 0, 0]);
  }
  for (const name of Object.keys(after)) {
    const change = Object.hasOwn(before, name)
      ? deltaOf({ before: before[name]!, after: after[name]! }, isSame)
      : [after[name]!];
    if (change !== undefined) setMember(delta, name, change);
  }
  return delta;
}

function arrayDelta(before: readonly Json[], after: readonly Json[], isSame: SameJson): JsonObject {
  const delta: JsonObject = { _t: 'a' };
  const { head, gone, come } = middleOf(before, after, isSame);
  const paired = Math.min(gone, come);
  for (let nth = head; nth < head + paired; nth += 1) {
    const change = deltaOf({ before: before[nth]!, after: after[nth]! }, isSame);
    if (change !== undefined) delta[nth] = change;
  }
  for (let nth = head + paired; nth < head + gone; nth += 1)
    delta[`_${nth}`] = [before[nth]!, 0, 0];
  for (let nth = head + paired; nth < head + come; nth += 1) delta[nth] = [after[nth]!];
  return delta;
}

/** Where two arrays begin to differ, and how many elements of each lie before their common end. */
export function middleOf(
  before: readonly Json[],
  after: readonly Json[],
  isSame: SameJson,
): { head: number; gone: number; come: number } {
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && isSame(before[head]!, after[head]!)) head += 1;
  let tail = 0;
  const left = shorter - head;
  while (tail < left && isSame(before.at(-1 - tail)!, after.at(-1 - tail)!)) tail += 1;
  return { head, gone: before.length - head - tail, come: after.length - head - tail };
}
