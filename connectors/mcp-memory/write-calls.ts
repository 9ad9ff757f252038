/**
 * From open intents to tool calls, in the one order that is right for this server: deletes,
 * creates, observations, relations. As few calls as possible, each small enough for its input.
 */
import { hashJson } from '../../domain/hash.ts';
import type { Memory } from '../../domain/item.ts';
import {
  relationKey,
  relationsOf,
  relationsWithout,
  type GraphRelation,
  type MemoryGraph,
} from './memory-graph.ts';
import type { WriteTool } from './memory-server.ts';
import { versionIn, type DeleteIntent, type EditIntent, type WriteIntent } from './write-intent.ts';

/** Text per call; far below the 10 MiB at which the server drops a message. */
const MAX_CALL_CHARS = 1024 * 1024;

/** One call: the tool, and what its only argument lists. */
export interface WriteCall {
  readonly tool: WriteTool;
  readonly rows: readonly unknown[];
}

/** Name of each tool's only argument. */
const ARGUMENT: Readonly<Record<WriteTool, string>> = {
  delete_entities: 'entityNames',
  delete_observations: 'deletions',
  delete_relations: 'relations',
  create_entities: 'entities',
  add_observations: 'observations',
  create_relations: 'relations',
};

/** A call's arguments as the server wants them. */
export function argumentsOf(call: WriteCall): Record<string, unknown> {
  return { [ARGUMENT[call.tool]]: call.rows };
}

/** What a batch's calls depend on besides the intents still open. */
export interface WritePlan {
  readonly graph: MemoryGraph;
  /** Entities the batch deletes, now or at an earlier attempt. */
  readonly swept: ReadonlySet<string>;
  /** Every name some intent of the batch ends up with. */
  readonly claimed: ReadonlyMap<string, Exclude<WriteIntent, DeleteIntent>>;
}

/** The calls that lead from the graph to what the intents ask for. Rows already true are left out. */
export function callsFor(intents: readonly WriteIntent[], plan: WritePlan): WriteCall[] {
  const { graph, swept } = plan;
  const doomed = new Set(intents.filter((i) => mustGo(i, plan)).map((i) => i.name));
  const edits = intents.filter((i) => i.action === 'edit');
  const values = intents.flatMap((i) => (i.action === 'delete' ? [] : [i.value]));
  const isThere = (name: string) => graph.entries.has(name) && !doomed.has(name);
  const news = intents.flatMap((i) =>
    (i.action === 'create' || i.action === 'replace') && !isThere(i.value.name) ? [i.value] : [],
  );
  const kept = graph.relations.filter((r) => !doomed.has(r.from) && !doomed.has(r.to));
  const required = intents.flatMap((intent) => requiredRelations(intent, swept));
  return [
    ...inChunks('delete_entities', [...doomed]),
    ...inChunks('delete_observations', edits.flatMap(toDeletion)),
    ...inChunks(
      'delete_relations',
      edits.flatMap((edit) => edit.droppedRelations),
    ),
    ...inChunks('create_entities', news.map(toEntity)),
    ...inChunks('add_observations', additions(intents, values, graph, isThere)),
    ...inChunks('create_relations', distinct(relationsWithout(required, kept))),
  ];
}

/** Whether the entity an intent names has to be deleted, now that the graph looks like this. */
function mustGo(intent: WriteIntent, plan: WritePlan): boolean {
  if (!isLeftThere(intent, plan)) return false;
  if (intent.action === 'delete') return true;
  if (intent.action !== 'replace') return false;
  const entry = plan.graph.entries.get(intent.name);
  const isSameName = intent.name === intent.value.name;
  const isSameType = entry?.status === 'present' && entry.value?.['type'] === intent.value.type;
  return !(isSameName && isSameType);
}

/**
 * Whether the entity an intent is about is in the graph. Another intent of the batch may give its
 * name to another entity; then the old one is told from its heir by the version, and where both are
 * alike, the heir is there and nothing is left to do.
 */
export function isLeftThere(intent: WriteIntent, { graph, claimed }: WritePlan): boolean {
  if (!graph.entries.has(intent.name)) return false;
  const heir = claimed.get(intent.name);
  if (!heir || heir === intent) return true;
  const version = versionIn(graph, intent.name);
  return version === intent.op.expectedVersion && version !== hashJson(heir.value);
}

function additions(
  intents: readonly WriteIntent[],
  values: readonly Memory[],
  graph: MemoryGraph,
  isThere: (name: string) => boolean,
): { entityName: string; contents: string[] }[] {
  const wanted = new Map(values.map((value) => [value.name, value.observations]));
  // An edit adds its own additions only: what it merely kept, somebody may just have removed.
  for (const intent of intents) {
    if (intent.action === 'edit') wanted.set(intent.name, [...intent.addedObservations]);
  }
  return [...wanted].flatMap(([entityName, observations]) => {
    if (!isThere(entityName)) return [];
    const held = new Set(observationsIn(graph, entityName));
    const contents = observations.filter((text) => !held.has(text));
    return contents.length > 0 ? [{ entityName, contents }] : [];
  });
}

function distinct(relations: readonly GraphRelation[]): GraphRelation[] {
  return [...new Map(relations.map((relation) => [relationKey(relation), relation])).values()];
}

/**
 * Relations that must be there once an intent is written.
 *
 * @param swept entities this batch deletes: what an edit keeps towards them goes with them, and has
 * to be added again
 */
export function requiredRelations(
  intent: WriteIntent,
  swept: ReadonlySet<string>,
): readonly GraphRelation[] {
  if (intent.action === 'delete') return [];
  const own = relationsOf(intent.value);
  if (intent.action === 'create') return own;
  if (intent.action === 'replace') return [...own, ...intent.incoming];
  return [...intent.addedRelations, ...own.filter((relation) => swept.has(relation.to))];
}

/** Observations an entity has in a graph; none where it is absent or faulty. */
export function observationsIn(graph: MemoryGraph, name: string): readonly string[] {
  const entry = graph.entries.get(name);
  if (entry?.status !== 'present') return [];
  return (entry.value?.['observations'] ?? []) as string[];
}

function toDeletion(edit: EditIntent): { entityName: string; observations: readonly string[] }[] {
  const observations = edit.droppedObservations;
  return observations.length > 0 ? [{ entityName: edit.name, observations }] : [];
}

function toEntity(value: Memory): { name: string; entityType: string; observations: string[] } {
  return { name: value.name, entityType: value.type, observations: value.observations };
}

function inChunks(tool: WriteTool, rows: readonly unknown[]): WriteCall[] {
  const calls: WriteCall[] = [];
  let chunk: unknown[] = [];
  let size = 0;
  for (const row of rows) {
    const weight = JSON.stringify(row).length;
    if (chunk.length > 0 && size + weight > MAX_CALL_CHARS) {
      calls.push({ tool, rows: chunk });
      chunk = [];
      size = 0;
    }
    chunk.push(row);
    size += weight;
  }
  return chunk.length > 0 ? [...calls, { tool, rows: chunk }] : calls;
}
