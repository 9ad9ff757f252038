/**
 * Items: what a link keeps in step, in the canonical form the hub stores and merges.
 * Two kinds have a shape: `memory` (an entity, a section) and `document` (a whole file). A context
 * of any other kind is plain JSON; only another hub can hold it.
 */
import { z } from 'zod';
import { fieldErrorsOf } from './field-errors.ts';
import type { ContextKey, RemoteId } from './ids.ts';
import { isJson, isJsonObject, type Json, type JsonObject } from './json.ts';
import { pathKey, slugOfName } from './slug.ts';

/** The kind of the context an item is in the hub: `memory`, `document`, or any other name. */
export type ItemKind = string;

/** What a context is when nobody said so. */
export const PLAIN_KIND = 'json';

/** One directed, typed relation from the item that holds it. */
export const relationSchema = z.strictObject({ to: z.string().min(1), type: z.string().min(1) });

export const memorySchema = z.strictObject({
  name: z.string().min(1),
  type: z.string(),
  observations: z.array(z.string()),
  relations: z.array(relationSchema),
});
export type Memory = z.infer<typeof memorySchema>;

// Not `z.record`: the copy it makes has no member named `__proto__`.
const frontmatterSchema = z.custom<JsonObject>(
  (value) => isJsonObject(value) && isJson(value),
  'must be an object of JSON values',
);

export const documentSchema = z.strictObject({
  path: z.string().min(1),
  frontmatter: frontmatterSchema,
  text: z.string(),
});
export type DocumentItem = z.infer<typeof documentSchema>;

/**
 * The type a memory has when nobody said one (05-connectors). It gives way to any other type when
 * two unrelated copies are first merged.
 */
export const UNKNOWN_MEMORY_TYPE = 'section';

/** Sorts a memory's arrays by code unit and drops doubles: the one spelling the hub stores. */
export function canonicalMemory(memory: Memory): Memory {
  const relations = new Map(memory.relations.map((r) => [JSON.stringify([r.to, r.type]), r]));
  return {
    name: memory.name,
    type: memory.type,
    observations: [...new Set(memory.observations)].sort(),
    relations: [...relations.keys()].sort().map((key) => relations.get(key)!),
  };
}

/** What an item of each kind is called on its remote: a memory's name, a document's path. */
export function itemName(kind: ItemKind, value: Json): string | null {
  const member = kind === 'memory' ? 'name' : 'path';
  const name = isJsonObject(value) ? value[member] : undefined;
  return typeof name === 'string' && name.length > 0 ? name : null;
}

/** The hub key an item has under a link's prefix. Injective per kind and never equal across kinds. */
export function itemKey(prefix: string, kind: ItemKind, name: string): ContextKey {
  const tail = kind === 'memory' ? slugOfName(name) : pathKey(name);
  return `${prefix}${tail}` as ContextKey;
}

/** The hub key of an item whose id on the remote is the rest of its key. */
export function keyUnder(prefix: string, remoteId: RemoteId): ContextKey {
  return `${prefix}${remoteId}` as ContextKey;
}

/** What the data of an item of this kind looks like; null for a kind that is plain JSON. */
export function itemSchema(kind: ItemKind): z.ZodType<Memory | DocumentItem> | null {
  return kind === 'memory' ? memorySchema : kind === 'document' ? documentSchema : null;
}

/** The error text of a value that does not have the shape its kind asks for; null when it has. */
export function shapeFault(kind: ItemKind, value: unknown): string | null {
  const [fault] = fieldErrorsOf(itemSchema(kind)?.safeParse(value).error?.issues ?? [], value);
  return fault ? `${fault.pointer || 'it'} ${fault.detail}` : null;
}

/**
 * The kind an item has when its sides name different ones: that of the side that changed, but the
 * default never replaces a kind somebody chose. Both changed: the same answer from either side.
 */
export function agreedKind(
  kinds: { readonly hub: ItemKind; readonly remote: ItemKind },
  changed: 'hub' | 'remote' | 'both',
): ItemKind {
  const { hub, remote } = kinds;
  if (hub === PLAIN_KIND || remote === PLAIN_KIND) return hub === PLAIN_KIND ? remote : hub;
  if (changed !== 'both') return kinds[changed];
  return hub < remote ? hub : remote;
}

export const asRemoteId = (id: string): RemoteId => id as RemoteId;
