/**
 * The memory server's graph as items: an entity with the relations that start at it is one item,
 * named after the entity. What does not have that shape is a fault of that item, not of the graph.
 */
import { z } from 'zod';
import { hashJson } from '../../domain/hash.ts';
import type { RemoteId } from '../../domain/ids.ts';
import { asRemoteId, canonicalMemory, memorySchema, type Memory } from '../../domain/item.ts';
import type { RemoteEntry, RemoteFault, RemoteItem } from '../connector.ts';

/** A relation as the server spells it. */
export interface GraphRelation {
  readonly from: string;
  readonly to: string;
  readonly relationType: string;
}

/** What the server answered, entities and relations not yet looked at. */
export const rawGraphSchema = z.object({
  entities: z.array(z.unknown()),
  relations: z.array(z.unknown()),
});
export type RawGraph = z.infer<typeof rawGraphSchema>;

/** The graph, looked at. */
export interface MemoryGraph {
  readonly entries: ReadonlyMap<string, RemoteItem | RemoteFault>;
  /** Every well-formed relation, those of unknown entities included. */
  readonly relations: readonly GraphRelation[];
  /** {@link relationKey} of each of them. */
  readonly relationKeys: ReadonlySet<string>;
  /** Hash over all items: equal cursors, equal graphs. */
  readonly cursor: string;
}

const relationSchema = z.object({ from: z.string(), to: z.string(), relationType: z.string() });

/** Looks at a raw graph. */
export function toMemoryGraph(raw: RawGraph): MemoryGraph {
  const relations = raw.relations.flatMap((relation) => {
    const { success, data } = relationSchema.safeParse(relation);
    return success ? [data] : [];
  });
  const outgoing = groupOutgoing(raw.relations);
  const entries = new Map<string, RemoteItem | RemoteFault>();
  raw.entities.forEach((entity, index) => {
    const name = nameOf(entity);
    const id = name ?? `(entity ${index + 1})`;
    const isTaken = entries.has(id);
    const taken = () => faultOf(id, 'ITEM_NAME_TAKEN', 'Two entities have this name.');
    entries.set(id, isTaken ? taken() : toEntry(id, entity, outgoing.get(id) ?? []));
  });
  const relationKeys = new Set(relations.map(relationKey));
  return { entries, relations, relationKeys, cursor: cursorOf(entries) };
}

/** The entry of a name; absent when the graph has no such entity. */
export function entryOf(graph: MemoryGraph, name: string): RemoteEntry {
  return graph.entries.get(name) ?? { status: 'absent', remoteId: asRemoteId(name) };
}

/** A relation's identity, for sets. */
export function relationKey(relation: GraphRelation): string {
  return JSON.stringify([relation.from, relation.to, relation.relationType]);
}

/** The relations of a memory, spelled as the server does. */
export function relationsOf(memory: Memory): GraphRelation[] {
  return memory.relations.map(({ to, type }) => ({ from: memory.name, to, relationType: type }));
}

/** Relations of `left` that `right` does not have. */
export function relationsWithout(
  left: readonly GraphRelation[],
  right: readonly GraphRelation[],
): GraphRelation[] {
  const known = new Set(right.map(relationKey));
  return left.filter((relation) => !known.has(relationKey(relation)));
}

function toEntry(id: string, entity: unknown, relations: unknown[]): RemoteItem | RemoteFault {
  const fields = entity as { entityType?: unknown; observations?: unknown } | null;
  const parsed = memorySchema.safeParse({
    name: id,
    type: fields?.entityType,
    observations: fields?.observations,
    relations,
  });
  if (nameOf(entity) === null) return faultOf(id, 'ITEM_INVALID', 'The entity has no name.');
  if (!parsed.success) {
    const places = parsed.error.issues.map((issue) => issue.path.join('/'));
    return faultOf(id, 'ITEM_INVALID', `Not a memory: look at ${[...new Set(places)].join(', ')}.`);
  }
  const value = canonicalMemory(parsed.data);
  return {
    status: 'present',
    remoteId: asRemoteId(id),
    kind: 'memory',
    version: hashJson(value),
    value,
  };
}

function groupOutgoing(relations: readonly unknown[]): Map<string, unknown[]> {
  const groups = new Map<string, unknown[]>();
  for (const relation of relations) {
    const { from, to, relationType } = (relation ?? {}) as Record<string, unknown>;
    if (typeof from !== 'string') continue;
    const group = groups.get(from) ?? [];
    group.push({ to, type: relationType });
    groups.set(from, group);
  }
  return groups;
}

function nameOf(entity: unknown): string | null {
  const name = (entity as { name?: unknown } | null)?.name;
  return typeof name === 'string' && name.length > 0 ? name : null;
}

function faultOf(id: string, code: RemoteFault['code'], detail: string): RemoteFault {
  return { status: 'faulty', remoteId: id as RemoteId, code, detail };
}

function cursorOf(entries: ReadonlyMap<string, RemoteItem | RemoteFault>): string {
  const rows = [...entries].map(([id, entry]) => [
    id,
    entry.status === 'present' ? entry.version : `${entry.code} ${entry.detail}`,
  ]);
  return hashJson(rows.sort(([a], [b]) => (a! < b! ? -1 : 1)));
}
