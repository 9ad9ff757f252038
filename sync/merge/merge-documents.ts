/**
 * Three-way merge of JSON documents.
 * Promises: it gives an answer for every input, never changes its input, invents no value, lists
 * every contested place in document order (members sorted, as documents are stored), and gives the
 * same document whichever side is called hub.
 */
import { hashJson } from '../../domain/hash.ts';
import {
  isJsonObject,
  memberOf,
  setMember,
  type Json,
  type JsonObject,
} from '../../domain/json.ts';
import { pointerTo } from '../../domain/json-pointer.ts';
import type { ConflictReason, Strategy } from '../../domain/link.ts';
import type { Side, Stamps } from '../contract.ts';
import { childNode, compileSchema, type DocumentSchema, type SchemaNode } from './field-types.ts';
import { keyedElements, type KeyedElements } from './keyed-list.ts';
import { mergeLogs } from './merge-log.ts';
import { mergeSets, oneSpelling, type SetRule } from './merge-set.ts';
import { mergeTexts } from './merge-text.ts';
import { elementPointer } from './pointers.ts';
import { createSameness, type Sameness } from './sameness.ts';

/** A contested place. A missing value: that side (or the base) has nothing there. */
export interface MergeConflict {
  readonly pointer: string;
  readonly reason: ConflictReason;
  readonly base?: Json;
  readonly hub?: Json;
  readonly remote?: Json;
}

export interface MergeDocumentsRequest {
  /** Undefined: the sides never agreed, or nobody knows on what. */
  readonly base: Json | undefined;
  readonly hub: Json;
  readonly remote: Json;
  readonly schema: DocumentSchema;
  /** Strategy at a place; asked by JSON pointer, keyed elements as `/list/[field=value]`. */
  readonly strategyAt: (pointer: string) => Strategy;
  readonly stamps: Stamps;
}

export interface MergedDocument {
  /**
   * Everything that merges, merged. At a contested place: the edit where the other side deleted;
   * else the base's value; where there is no base, the value with the smaller hash.
   */
  readonly value: Json;
  readonly conflicts: MergeConflict[];
}

interface Merge {
  readonly strategyAt: (pointer: string) => Strategy;
  readonly stamps: Stamps;
  readonly sameness: Sameness;
  readonly conflicts: MergeConflict[];
}

interface Place {
  readonly pointer: string;
  readonly node: SchemaNode | null;
  readonly base: Json | undefined;
  readonly hub: Json | undefined;
  readonly remote: Json | undefined;
  readonly strategy: Strategy;
  /**
   * Both sides changed here or, under the same strategy, further up. Then `union`, `intersection`
   * and `manual` judge all differences below, one-sided ones included.
   */
  readonly isOpen: boolean;
}

type Values = Pick<Place, 'base' | 'hub' | 'remote'>;

/** Merges two edits of one document. See 03-sync, "Merge" and "Settled questions". */
export function mergeDocuments(request: MergeDocumentsRequest): MergedDocument {
  const { strategyAt, stamps } = request;
  const merge: Merge = { strategyAt, stamps, sameness: createSameness(), conflicts: [] };
  // Both sides are there, so what they merge to is, too.
  const value = mergeAt(merge, null, () => '', compileSchema(request.schema), request) as Json;
  return { value, conflicts: merge.conflicts };
}

/** What a place holds that at least one side has. */
function mergeAt(
  merge: Merge,
  parent: Place | null,
  name: () => string,
  node: SchemaNode | null,
  { base, hub, remote }: Values,
): Json | undefined {
  const { same } = merge.sameness;
  if (same(hub, remote, node)) return oneSpelling(hub as Json, remote as Json);
  // Most places never differ, so their names are never made.
  const pointer = name();
  const strategy = merge.strategyAt(pointer);
  const clean = cleanSide(merge, node, { base, hub, remote });
  const isOpen = clean === null || (parent?.isOpen === true && parent.strategy === strategy);
  const place = { pointer, node, base, hub, remote, strategy, isOpen };
  if (clean !== null && !(isOpen && judgesEverything(strategy))) return place[clean];
  return mergeDifferent(merge, place);
}

/** The only side that changed; null when both did (or nobody knows). The sides are known to differ. */
function cleanSide(merge: Merge, node: SchemaNode | null, values: Values): Side | null {
  if (merge.sameness.same(values.base, values.hub, node)) return 'remote';
  if (merge.sameness.same(values.base, values.remote, node)) return 'hub';
  return null;
}

function judgesEverything(strategy: Strategy): boolean {
  return strategy === 'union' || strategy === 'intersection' || strategy === 'manual';
}

function mergeDifferent(merge: Merge, place: Place): Json | undefined {
  const { hub, remote } = place;
  if (hub === undefined || remote === undefined) return mergeAbsence(merge, place);
  if (isJsonObject(hub) && isJsonObject(remote)) return mergeObjects(merge, place, hub, remote);
  return mergeKeyedLists(merge, place) ?? mergeWhole(merge, place);
}

/** One side has nothing here: deleted by it, or created by the other. */
function mergeAbsence(merge: Merge, place: Place): Json | undefined {
  const present = presentOf(place);
  if (place.strategy === 'union') return present;
  if (place.strategy === 'intersection') return undefined;
  const clean = cleanSide(merge, place.node, place);
  if (place.strategy !== 'manual') return contest(merge, place);
  report(merge, place);
  return clean ? place[clean] : present;
}

/** Of two sides, one of them with nothing, the other. JSON null is something. */
function presentOf({ hub, remote }: Values): Json | undefined {
  return hub === undefined ? remote : hub;
}

function mergeObjects(merge: Merge, place: Place, hub: JsonObject, remote: JsonObject): JsonObject {
  const base = isJsonObject(place.base) ? place.base : {};
  const merged: JsonObject = {};
  for (const name of new Set([...Object.keys(hub), ...Object.keys(remote)].sort())) {
    const value = mergeAt(
      merge,
      place,
      () => pointerTo(place.pointer, name),
      childNode(place.node, name),
      { base: memberOf(base, name), hub: memberOf(hub, name), remote: memberOf(remote, name) },
    );
    if (value !== undefined) setMember(merged, name, value);
  }
  return merged;
}

/** Null when this is no keyed list, or not one on every side that has an array. */
function mergeKeyedLists(merge: Merge, place: Place): Json[] | null {
  const type = place.node?.type;
  if (type?.type !== 'map-by-key') return null;
  const hub = keyedElements(place.hub ?? null, type.fields);
  const remote = keyedElements(place.remote ?? null, type.fields);
  const base: KeyedElements | null = Array.isArray(place.base)
    ? keyedElements(place.base, type.fields)
    : new Map();
  if (!hub || !remote || !base) return null;
  const node = childNode(place.node, '*');
  const merged: Json[] = [];
  for (const key of new Set([...hub.keys(), ...remote.keys()].sort())) {
    const values = { base: base.get(key), hub: hub.get(key), remote: remote.get(key) };
    const named = (values.hub ?? values.remote) as JsonObject;
    const pointer = (): string => elementPointer(place.pointer, type.fields, named);
    const element = mergeAt(merge, place, pointer, node, values);
    if (element !== undefined) merged.push(element);
  }
  return merged;
}

/** Sets, logs, texts and everything that does not come apart. */
function mergeWhole(merge: Merge, place: Place): Json | undefined {
  const weak = withoutWeakDefault(merge, place);
  if (weak) return place[weak];
  if (place.strategy === 'manual') report(merge, place);
  const type = place.node?.type?.type;
  if (type === 'set' || type === 'append-log') {
    const list = mergeLists(merge, place, type);
    if (list) return list;
  }
  const clean = cleanSide(merge, place.node, place);
  if (clean) return place[clean];
  const text = type === 'text' ? mergeText(merge, place) : null;
  return text ?? contest(merge, place);
}

function withoutWeakDefault(merge: Merge, place: Place): Side | null {
  const weak = place.node?.weakDefault;
  if (weak === undefined || place.base !== undefined) return null;
  if (merge.sameness.same(place.hub, weak, place.node)) return 'remote';
  return merge.sameness.same(place.remote, weak, place.node) ? 'hub' : null;
}

function mergeLists(merge: Merge, place: Place, type: 'set' | 'append-log'): Json[] | null {
  const { base, hub, remote, strategy } = place;
  if (!Array.isArray(hub) || !Array.isArray(remote)) return null;
  const element = childNode(place.node, '*');
  const rule: SetRule =
    strategy === 'union' || strategy === 'intersection' ? strategy : 'three-way';
  const lists = {
    base: Array.isArray(base) ? base : null,
    hub,
    remote,
    rule,
    classOf: (value: Json) => merge.sameness.classOf(value, element),
  };
  return type === 'set' ? mergeSets(lists) : mergeLogs(lists);
}

function mergeText(merge: Merge, place: Place): string | null {
  const { base, hub, remote } = place;
  if (typeof base !== 'string' || typeof hub !== 'string' || typeof remote !== 'string')
    return null;
  const contestedTo = winnerOf(merge, place) ?? 'base';
  const merged = mergeTexts({ base, hub, remote, contestedTo });
  if (merged?.isContested && contestedTo === 'base' && place.strategy !== 'manual') {
    report(merge, place);
  }
  return merged?.text ?? null;
}

/** Both sides changed this place, each its own way: the strategy decides, or it is a conflict. */
function contest(merge: Merge, place: Place): Json | undefined {
  const winner = winnerOf(merge, place);
  if (winner) return place[winner];
  // Under `manual` it is in the list already.
  if (place.strategy !== 'manual') report(merge, place);
  const { base, hub, remote } = place;
  if (hub === undefined || remote === undefined) return presentOf(place);
  if (base !== undefined) return base;
  return hashJson(hub) <= hashJson(remote) ? hub : remote;
}

/** The side that gets a contested place; null where a person decides. */
function winnerOf({ stamps }: Merge, place: Place): Side | null {
  if (place.strategy === 'three-way' || place.strategy === 'manual') return null;
  if (place.strategy === 'prefer-hub') return 'hub';
  if (place.strategy === 'prefer-remote') return 'remote';
  const hubMs = stamps.hubMs ?? -Infinity;
  const remoteMs = stamps.remoteMs ?? -Infinity;
  if (hubMs !== remoteMs) return hubMs > remoteMs ? 'hub' : 'remote';
  return hashOf(place.hub) > hashOf(place.remote) ? 'hub' : 'remote';
}

/** "Nothing" has the smallest hash: in a tie an edit beats a delete. */
function hashOf(value: Json | undefined): string {
  return value === undefined ? '' : hashJson(value);
}

function report(merge: Merge, { pointer, base, hub, remote }: Place): void {
  merge.conflicts.push({
    pointer,
    reason: reasonOf({ base, hub, remote }),
    ...(base === undefined ? {} : { base }),
    ...(hub === undefined ? {} : { hub }),
    ...(remote === undefined ? {} : { remote }),
  });
}

function reasonOf({ base, hub, remote }: Values): ConflictReason {
  if (hub === undefined || remote === undefined) {
    return base === undefined ? 'edit/edit' : 'edit/delete';
  }
  if (shapeOf(hub) !== shapeOf(remote)) return 'type';
  return base === undefined ? 'create/create' : 'edit/edit';
}

function shapeOf(value: Json): 'list' | 'object' | 'scalar' {
  if (Array.isArray(value)) return 'list';
  return isJsonObject(value) ? 'object' : 'scalar';
}
