/**
 * Writes a batch to a memory server that keeps no versions and loses overlapping writes:
 * look, write, look again, wait a moment, look once more, and write again what did not stay.
 * Between the first look and the write a foreign writer can still slip in; what it added survives,
 * because only differences are written.
 */
import type { Clock } from '../../domain/clock.ts';
import type { AppError } from '../../domain/errors.ts';
import { hashJson } from '../../domain/hash.ts';
import type { ApplyOutcome, RemoteOp } from '../connector.ts';
import { relationKey, type MemoryGraph } from './memory-graph.ts';
import type { MemoryServer } from './memory-server.ts';
import {
  argumentsOf,
  callsFor,
  isLeftThere,
  observationsIn,
  requiredRelations,
  type WritePlan,
} from './write-calls.ts';
import {
  appliedOutcome,
  finalName,
  moved,
  versionIn,
  weighOps,
  type WriteIntent,
} from './write-intent.ts';

/** Times a batch is written before what still does not stay is given up. */
const MAX_ATTEMPTS = 5;
/** Pause before the last look, in ms: longer than a memory server takes from reading to writing. */
const SETTLE_MS = 15;
/** That pause is three times our own slowest call on a large file, up to this many ms. */
const MAX_SETTLE_MS = 400;
/** Pause before the n-th retry is up to this many ms, times n. */
const JITTER_MS = 40;

export interface ApplyDeps {
  readonly server: MemoryServer;
  /** Throws when another process took the writer lease over. */
  readonly assertLeaseHeld: () => void;
  /** A number from 0 up to but not 1. */
  readonly random: () => number;
  readonly wait: (ms: number) => Promise<void>;
  /** Only for how long calls take. */
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** Applies ops; answers in the order given. Thrown errors mean nobody knows what was written. */
export async function applyOps(deps: ApplyDeps, ops: readonly RemoteOp[]): Promise<ApplyOutcome[]> {
  const first = await deps.server.readGraph(deps.signal);
  const weighed = weighOps(ops, first);
  const outcomes = new Map(
    weighed.flatMap(({ outcome }) => (outcome ? [[outcome.opId, outcome]] : [])),
  );
  const intents = weighed.flatMap(({ intent }) => (intent ? [intent] : []));
  const written = await writeUntilItStays(deps, intents, first);
  for (const [opId, outcome] of written) outcomes.set(opId, outcome);
  return ops.map((op) => outcomes.get(op.opId)!);
}

async function writeUntilItStays(
  deps: ApplyDeps,
  intents: readonly WriteIntent[],
  first: MemoryGraph,
): Promise<Map<string, ApplyOutcome>> {
  const outcomes = new Map<string, ApplyOutcome>();
  // What goes at any attempt: relations kept towards it have to be there again at the end.
  const swept = new Set(intents.filter(deletesFirst).map((intent) => intent.name));
  const claimed = new Map(
    intents.flatMap((i) => (i.action === 'delete' ? [] : [[i.value.name, i] as const])),
  );
  let graph = first;
  let open = intents;
  for (let attempt = 0; open.length > 0 && attempt < MAX_ATTEMPTS; attempt += 1) {
    // Somebody took everything away: to begin a new graph with ours would hide that from the guards.
    if (isEmptied(first, graph)) break;
    if (attempt > 0) await deps.wait(deps.random() * JITTER_MS * attempt);
    const { foreign, slowestMs } = await writeOnce(deps, open, { graph, swept, claimed });
    const stamp = await deps.server.stamp();
    graph = await deps.server.readGraph(deps.signal);
    for (const intent of open) {
      const outcome = judge(intent, { graph, swept, claimed, foreign });
      if (outcome) outcomes.set(intent.op.opId, outcome);
    }
    open = open.filter((intent) => !outcomes.has(intent.op.opId));
    if (open.length > 0 || slowestMs === null) continue;
    // A foreign server that had read the file before our write may be about to write it back.
    await deps.wait(Math.min(Math.max(SETTLE_MS, 3 * slowestMs), MAX_SETTLE_MS));
    if (stamp !== null && stamp === (await deps.server.stamp())) break;
    graph = await deps.server.readGraph(deps.signal);
    const look = { graph, swept, claimed, foreign };
    open = intents.filter((i) => isApplied(outcomes.get(i.op.opId)) && judge(i, look) === null);
    for (const intent of open) outcomes.delete(intent.op.opId);
  }
  const why = isEmptied(first, graph)
    ? 'Everything was removed from the graph right after this write.'
    : `Another writer undid this write ${MAX_ATTEMPTS} times.`;
  for (const intent of open) outcomes.set(intent.op.opId, givenUp(intent, graph, why));
  return outcomes;
}

const isEmptied = (before: MemoryGraph, now: MemoryGraph): boolean =>
  before.entries.size > 0 && now.entries.size === 0;

interface Look extends WritePlan {
  /** Names the server would not create because somebody else had just done so. */
  readonly foreign: ReadonlySet<string>;
}

/**
 * Makes the calls, one at a time. A refused call ends the attempt: an entity it names has gone, and
 * the next look says which.
 *
 * @returns names that turned out to be taken by somebody else in between, and how long the slowest
 * call took (null: there was nothing to write)
 */
async function writeOnce(
  deps: ApplyDeps,
  intents: readonly WriteIntent[],
  plan: WritePlan,
): Promise<{ foreign: ReadonlySet<string>; slowestMs: number | null }> {
  let slowestMs: number | null = null;
  const foreign = new Set<string>();
  for (const call of callsFor(intents, plan)) {
    deps.assertLeaseHeld();
    // Nothing of ours may be hung on an entity somebody else made: that op is stale as a whole.
    const rows = call.rows.filter((row) => !foreign.has(ownerOf(row)));
    if (rows.length === 0) continue;
    const startMs = deps.clock.now();
    const answer = await deps.server.write(call.tool, argumentsOf({ ...call, rows }), deps.signal);
    slowestMs = Math.max(slowestMs ?? 0, deps.clock.now() - startMs);
    if (!answer.isTaken) break;
    if (call.tool !== 'create_entities' || !answer.createdNames) continue;
    const created = new Set(answer.createdNames);
    for (const row of rows) if (!created.has(ownerOf(row))) foreign.add(ownerOf(row));
  }
  return { foreign, slowestMs };
}

/** The entity a call's row is about. */
function ownerOf(row: unknown): string {
  if (typeof row === 'string') return row;
  const { name, entityName, from } = row as { name?: string; entityName?: string; from?: string };
  return name ?? entityName ?? from ?? '';
}

/** What became of an intent; null when its write did not stay and is worth another attempt. */
function judge(intent: WriteIntent, look: Look): ApplyOutcome | null {
  const { graph } = look;
  if (intent.action === 'delete') return judgeDelete(intent, look);
  const entry = graph.entries.get(intent.value.name);
  const isOtherName = intent.action === 'replace' && intent.name !== intent.value.name;
  if (isOtherName && isLeftThere(intent, look)) return judgeLeftover(intent, graph);
  if (intent.action === 'create' && look.foreign.has(intent.value.name)) {
    return moved(intent.op, intent.value.name, graph);
  }
  if (!entry) return intent.action === 'edit' ? moved(intent.op, intent.name, graph) : null;
  if (entry.status !== 'present' || entry.value?.['type'] !== intent.value.type) {
    return judgeLeftover(intent, graph);
  }
  return holds(intent, look) ? appliedOutcome(intent, hashJson(intent.value)) : null;
}

function judgeDelete(intent: WriteIntent, look: Look): ApplyOutcome | null {
  return isLeftThere(intent, look)
    ? judgeLeftover(intent, look.graph)
    : appliedOutcome(intent, null);
}

/** What we wanted gone or changed is there: as it was, so our write was lost, or as another's work. */
function judgeLeftover(intent: WriteIntent, graph: MemoryGraph): ApplyOutcome | null {
  const isAsBefore = versionIn(graph, intent.name) === intent.op.expectedVersion;
  return isAsBefore ? null : moved(intent.op, intent.name, graph);
}

/** Whether everything an intent writes is in the graph, and everything it removes is not. */
function holds(intent: Exclude<WriteIntent, { action: 'delete' }>, look: Look): boolean {
  const { graph, swept } = look;
  const isEdit = intent.action === 'edit';
  const observations = new Set(observationsIn(graph, intent.value.name));
  const wanted = isEdit ? intent.addedObservations : intent.value.observations;
  const dropped = isEdit ? intent.droppedObservations : [];
  if (!wanted.every((text) => observations.has(text))) return false;
  if (dropped.some((text) => observations.has(text))) return false;
  const relations = graph.relationKeys;
  const droppedRelations = isEdit ? intent.droppedRelations : [];
  if (droppedRelations.some((relation) => relations.has(relationKey(relation)))) return false;
  return requiredRelations(intent, swept).every((r) => relations.has(relationKey(r)));
}

/** When it is not tried again: nothing of ours there is a failure, a part of it is a moved entity. */
function givenUp(intent: WriteIntent, graph: MemoryGraph, why: string): ApplyOutcome {
  const isAsBefore = versionIn(graph, intent.name) === intent.op.expectedVersion;
  const name = finalName(intent) ?? intent.name;
  const isPartThere = name !== intent.name && graph.entries.has(name);
  if (!isAsBefore || isPartThere) return moved(intent.op, intent.name, graph);
  return {
    status: 'failed',
    opId: intent.op.opId,
    code: 'REMOTE_WRITE_RACED',
    detail: why,
    isRetryable: true,
  };
}

const isApplied = (outcome: ApplyOutcome | undefined): boolean => outcome?.status === 'applied';

const deletesFirst = (intent: WriteIntent): boolean =>
  intent.action === 'delete' || intent.action === 'replace';

/** Answers every op as not written because the writer lease is held elsewhere. */
export function leaseBusy(ops: readonly RemoteOp[], error: AppError): ApplyOutcome[] {
  return ops.map(({ opId }) => ({
    status: 'failed',
    opId,
    code: 'REMOTE_WRITE_RACED',
    detail: error.message,
    isRetryable: true,
  }));
}
