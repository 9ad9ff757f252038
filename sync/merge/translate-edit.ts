/**
 * Reads a remote's edit in the hub's spelling. A remote may respell what we send (trim it, lower its
 * case, drop what it cannot hold), so its bodies are compared with its own earlier ones only:
 * what the remote did not touch keeps the hub's spelling, what it touched is taken as it stands.
 */
import {
  canonicalJson,
  isJsonObject,
  memberOf,
  setMember,
  type Json,
  type JsonObject,
} from '../../domain/json.ts';
import { childNode, compileSchema, type DocumentSchema, type SchemaNode } from './field-types.ts';
import { keyedElements, type KeyedElements } from './keyed-list.ts';
import { inSetOrder } from './merge-set.ts';
import { mergeTexts } from './merge-text.ts';
import { pairRespelled, type Named } from './pair-respelled.ts';
import { createSameness, type Sameness } from './sameness.ts';

export interface EditToTranslate {
  /** The body both sides agreed on, as each of them spelled it. */
  readonly base: { readonly hub: Json; readonly remote: Json };
  readonly remote: Json;
  readonly schema: DocumentSchema;
}

interface Values {
  readonly hub: Json | undefined;
  readonly before: Json | undefined;
  readonly now: Json | undefined;
}

/** The remote's present body in hub terms. Equals `base.hub` when the remote changed nothing. */
export function translateEdit({ base, remote, schema }: EditToTranslate): Json {
  const values = { hub: base.hub, before: base.remote, now: remote };
  return translatePresent(createSameness(), compileSchema(schema), values);
}

function translate(sameness: Sameness, node: SchemaNode | null, values: Values): Json | undefined {
  const { hub, before, now } = values;
  if (hub !== undefined && before !== undefined && now !== undefined) {
    return translatePresent(sameness, node, { hub, before, now });
  }
  // Where only one of the two has something to compare with, the remote's word stands.
  return sameness.same(before, now, node) ? hub : now;
}

type Present<T> = { readonly hub: T; readonly before: T; readonly now: T };

function translatePresent(
  sameness: Sameness,
  node: SchemaNode | null,
  { hub, before, now }: Present<Json>,
): Json {
  if (sameness.same(before, now, node)) return hub;
  if (sameness.same(hub, before, node)) return now;
  if (isJsonObject(hub) && isJsonObject(before) && isJsonObject(now)) {
    return translateObject(sameness, node, { hub, before, now });
  }
  return translateTyped(sameness, node, { hub, before, now }) ?? now;
}

function translateObject(
  sameness: Sameness,
  node: SchemaNode | null,
  { hub, before, now }: Present<JsonObject>,
): JsonObject {
  const translated: JsonObject = {};
  for (const name of new Set([...Object.keys(hub), ...Object.keys(now)].sort())) {
    const value = translate(sameness, childNode(node, name), {
      hub: memberOf(hub, name),
      before: memberOf(before, name),
      now: memberOf(now, name),
    });
    if (value !== undefined) setMember(translated, name, value);
  }
  return translated;
}

function translateTyped(
  sameness: Sameness,
  node: SchemaNode | null,
  { hub, before, now }: Present<Json>,
): Json | null {
  const type = node?.type;
  if (type?.type === 'text') return translateText(hub, before, now);
  if (type?.type === 'set')
    return translateSet(sameness, childNode(node, '*'), { hub, before, now });
  if (type?.type !== 'map-by-key') return null;
  const [ours, was, is] = [hub, before, now].map((list) => keyedElements(list, type.fields));
  if (!ours || !was || !is) return null;
  return translateKeyed(sameness, childNode(node, '*'), { hub: ours, before: was, now: is });
}

function translateText(hub: Json, before: Json, now: Json): string | null {
  if (typeof hub !== 'string' || typeof before !== 'string' || typeof now !== 'string') return null;
  const merged = mergeTexts({ base: before, hub, remote: now, contestedTo: 'remote' });
  return merged?.text ?? null;
}

/** An element of the hub's and the remote element that stands for it; null: none that we know. */
type Kept = { readonly id: string; readonly image: string | null };

/**
 * Which elements of the hub's list the remote still has. Null when it removed one of which nobody can
 * say which of the hub's it was; the remote's list then stands as it is.
 */
function keptElements(lists: Present<readonly Named[]>): Kept[] | null {
  const { imageOf, doubtful } = pairRespelled(lists.hub, lists.before);
  const present = new Set(lists.now.map(({ id }) => id));
  if ([...doubtful].some((id) => !present.has(id))) return null;
  return lists.hub
    .map(({ id }) => ({ id, image: imageOf.get(id) ?? null }))
    .filter(({ image }) => image === null || present.has(image));
}

function translateSet(
  sameness: Sameness,
  node: SchemaNode | null,
  lists: Present<Json>,
): Json[] | null {
  const { hub, before, now } = lists;
  if (!Array.isArray(hub) || !Array.isArray(before) || !Array.isArray(now)) return null;
  const values = new Map<string, Json>();
  const named = (list: readonly Json[]): Named[] =>
    list.map((value) => {
      const id = String(sameness.classOf(value, node));
      if (!values.has(id)) values.set(id, value);
      return { id, spelling: typeof value === 'string' ? value : canonicalJson(value) };
    });
  // The hub's list goes first: where both hold an element, its spelling is the one remembered.
  const all = { hub: named(hub), before: named(before), now: named(now) };
  const kept = keptElements(all);
  if (!kept) return null;
  const earlier = new Set(all.before.map(({ id }) => id));
  const added = all.now.filter(({ id }) => !earlier.has(id));
  const ids = new Set([...kept, ...added].map(({ id }) => id));
  return inSetOrder([...ids].map((id) => values.get(id)!));
}

function translateKeyed(
  sameness: Sameness,
  node: SchemaNode | null,
  { hub, before, now }: Present<KeyedElements>,
): Json[] | null {
  const named = (elements: KeyedElements): Named[] =>
    [...elements.keys()].map((id) => ({ id, spelling: id }));
  const kept = keptElements({ hub: named(hub), before: named(before), now: named(now) });
  if (!kept) return null;
  const translated = new Map<string, Json>();
  for (const { id, image } of kept) {
    const ours = hub.get(id)!;
    if (image === null) {
      translated.set(id, ours);
      continue;
    }
    // What is kept and has an image is in both bodies of the remote.
    const values = { hub: ours, before: before.get(image)!, now: now.get(image)! };
    translated.set(id, translatePresent(sameness, node, values));
  }
  for (const [id, element] of now) if (!before.has(id)) translated.set(id, element);
  return [...translated.keys()].sort().map((id) => translated.get(id)!);
}
