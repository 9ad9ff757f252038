/**
 * What a batch means for the memory server, which knows neither update nor rename: per op an
 * intent, and from all open intents the calls still needed to get there. Pure; the same intents
 * and graph give the same calls, so a lost write is mended by asking again.
 */
import { asRemoteId, canonicalMemory, memorySchema, type Memory } from '../../domain/item.ts';
import type { ApplyOutcome, RemoteOp } from '../connector.ts';
import {
  entryOf,
  relationsOf,
  relationsWithout,
  type GraphRelation,
  type MemoryGraph,
} from './memory-graph.ts';

/** Most a single item may weigh as JSON text; the server refuses messages over 10 MiB. */
const MAX_ITEM_CHARS = 8 * 1024 * 1024;

interface IntentBase {
  readonly op: RemoteOp;
  /** Entity this intent is about, by its name before the write. */
  readonly name: string;
}
/** Remove the entity; the server removes the relations at both its ends. */
export interface DeleteIntent extends IntentBase {
  readonly action: 'delete';
}
export interface CreateIntent extends IntentBase {
  readonly action: 'create';
  readonly value: Memory;
}
/** Same name, same type: only differences are written, so what others add meanwhile stays. */
export interface EditIntent extends IntentBase {
  readonly action: 'edit';
  readonly value: Memory;
  readonly addedObservations: readonly string[];
  readonly droppedObservations: readonly string[];
  readonly addedRelations: readonly GraphRelation[];
  readonly droppedRelations: readonly GraphRelation[];
}
/** Another name or type: delete, create, and add again what touched it. */
export interface ReplaceIntent extends IntentBase {
  readonly action: 'replace';
  readonly value: Memory;
  /** Relations of other entities that point here, already with the new name. */
  readonly incoming: readonly GraphRelation[];
}
export type WriteIntent = DeleteIntent | CreateIntent | EditIntent | ReplaceIntent;

/** An op as an intent, or the outcome that can be told without writing. */
export type Weighed =
  | { readonly intent: WriteIntent; readonly outcome: null }
  | { readonly intent: null; readonly outcome: ApplyOutcome };

/** Weighs ops against the graph as it is. Answers in the order given. */
export function weighOps(ops: readonly RemoteOp[], graph: MemoryGraph): Weighed[] {
  const seen = new Set<string>();
  const weighed = ops.map((op) => {
    const isRepeated = seen.has(op.remoteId);
    seen.add(op.remoteId);
    return isRepeated ? repeated(op) : weighOp(op, graph);
  });
  return withIncoming(withFreeNames(weighed, graph), graph);
}

/** Version the graph has of an entity; null when there is none, undefined when it is faulty. */
export function versionIn(graph: MemoryGraph, name: string): string | null | undefined {
  const entry = graph.entries.get(name);
  if (!entry) return null;
  return entry.status === 'present' ? entry.version : undefined;
}

/** The op's version is no longer there. */
export function moved(op: RemoteOp, name: string, graph: MemoryGraph): ApplyOutcome {
  return { status: 'moved', opId: op.opId, current: entryOf(graph, name) };
}

/** The name an intent's entity has once it is written; null after a delete. */
export function finalName(intent: WriteIntent): string | null {
  return intent.action === 'delete' ? null : intent.value.name;
}

function weighOp(op: RemoteOp, graph: MemoryGraph): Weighed {
  if (op.kind !== 'memory') return refused(op, `a memory server holds no ${op.kind}`);
  const parsed = op.action === 'delete' ? null : memorySchema.safeParse(op.value);
  if (parsed && !parsed.success) return refused(op, 'the value is not a memory');
  const value = parsed ? canonicalMemory(parsed.data) : null;
  if (value && JSON.stringify(value).length > MAX_ITEM_CHARS) {
    return refused(op, 'the memory is larger than the server takes in one message (8 MiB)');
  }
  const name = op.action === 'create' && value ? value.name : op.remoteId;
  if (versionIn(graph, name) !== op.expectedVersion) {
    return { intent: null, outcome: moved(op, name, graph) };
  }
  return { intent: intentOf({ op, name }, value, graph), outcome: null };
}

function intentOf(base: IntentBase, value: Memory | null, graph: MemoryGraph): WriteIntent {
  if (value === null) return { ...base, action: 'delete' };
  const entry = graph.entries.get(base.name);
  if (entry?.status !== 'present') return { ...base, action: 'create', value };
  const current = memorySchema.parse(entry.value);
  if (current.name !== value.name || current.type !== value.type) {
    return { ...base, action: 'replace', value, incoming: [] };
  }
  return {
    ...base,
    action: 'edit',
    value,
    addedObservations: without(value.observations, current.observations),
    droppedObservations: without(current.observations, value.observations),
    addedRelations: relationsWithout(relationsOf(value), relationsOf(current)),
    droppedRelations: relationsWithout(relationsOf(current), relationsOf(value)),
  };
}

/**
 * Gives each replaced entity the relations that point at it. Those of entities this batch writes or
 * deletes are left out: their own op says which relations they have.
 */
function withIncoming(weighed: readonly Weighed[], graph: MemoryGraph): Weighed[] {
  const spoken = new Set(weighed.flatMap(({ intent }) => (intent ? [intent.name] : [])));
  const renames = new Map(
    weighed.flatMap(({ intent }) =>
      intent?.action === 'replace' ? [[intent.name, intent.value.name] as const] : [],
    ),
  );
  const incoming = new Map<string, GraphRelation[]>();
  for (const relation of graph.relations) {
    const to = renames.get(relation.to);
    if (to === undefined || spoken.has(relation.from)) continue;
    const group = incoming.get(relation.to) ?? [];
    group.push({ ...relation, to });
    incoming.set(relation.to, group);
  }
  return weighed.map((one) => {
    if (one.intent?.action !== 'replace') return one;
    const intent = { ...one.intent, incoming: incoming.get(one.intent.name) ?? [] };
    return { intent, outcome: null };
  });
}

/** Refuses intents whose new name belongs to another entity that stays. */
function withFreeNames(weighed: readonly Weighed[], graph: MemoryGraph): Weighed[] {
  const leaving = new Set(
    weighed.flatMap(({ intent }) =>
      intent && finalName(intent) !== intent.name ? [intent.name] : [],
    ),
  );
  const claimed = new Set<string>();
  const checked = weighed.map((one) => {
    const name = one.intent && finalName(one.intent);
    if (!one.intent || name === null) return one;
    const isTaken = name !== one.intent.name && graph.entries.has(name) && !leaving.has(name);
    if (isTaken || claimed.has(name)) return nameTaken(one.intent.op);
    claimed.add(name);
    return one;
  });
  // A refused rename keeps its old name, which another one may have counted on.
  const isSettled = checked.every((one, index) => one === weighed[index]);
  return isSettled ? checked : withFreeNames(checked, graph);
}

function failed(op: RemoteOp, code: 'ITEM_INVALID' | 'ITEM_NAME_TAKEN', detail: string): Weighed {
  const { opId } = op;
  return { intent: null, outcome: { status: 'failed', opId, code, detail, isRetryable: false } };
}

const refused = (op: RemoteOp, why: string): Weighed =>
  failed(op, 'ITEM_INVALID', `Not written: ${why}.`);

const nameTaken = (op: RemoteOp): Weighed =>
  failed(op, 'ITEM_NAME_TAKEN', 'Another entity has the new name already.');

const repeated = (op: RemoteOp): Weighed =>
  failed(op, 'ITEM_NAME_TAKEN', 'Another op of the same batch is about this entity.');

function without(left: readonly string[], right: readonly string[]): string[] {
  const known = new Set(right);
  return left.filter((text) => !known.has(text));
}

/** The answer for an intent that was seen to be written. */
export function appliedOutcome(intent: WriteIntent, version: string | null): ApplyOutcome {
  const { opId } = intent.op;
  if (intent.action === 'delete') {
    return { status: 'applied', opId, remoteId: intent.op.remoteId, version: null, written: null };
  }
  const remoteId = asRemoteId(intent.value.name);
  return { status: 'applied', opId, remoteId, version, written: intent.value };
}
