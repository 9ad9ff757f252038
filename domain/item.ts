/**
 * Items: what a link keeps in step, in the canonical form the hub stores and merges.
 * Two kinds exist: `memory` (an entity, a section) and `document` (a whole file).
 */
import { z } from 'zod';
import type { ContextKey, RemoteId } from './ids.ts';
import { isJsonObject, type Json } from './json.ts';
import { pathKey, slugOfName } from './slug.ts';

export type ItemKind = 'memory' | 'document';

/** One directed, typed relation from the item that holds it. */
export const relationSchema = z.strictObject({ to: z.string().min(1), type: z.string().min(1) });

export const memorySchema = z.strictObject({
  name: z.string().min(1),
  type: z.string(),
  observations: z.array(z.string()),
  relations: z.array(relationSchema),
});
export type Memory = z.infer<typeof memorySchema>;

export const documentSchema = z.strictObject({
  path: z.string().min(1),
  frontmatter: z.record(z.string(), z.json()),
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

export const asRemoteId = (id: string): RemoteId => id as RemoteId;
