/**
 * Does a batch of operations on one file's text, in memory. Every result is read back before anyone
 * writes it: an item that would not read as intended, or a change to an item no operation is
 * about, makes the plan more careful, then smaller, and at last refuses the one operation that
 * cannot be done.
 */
import { messageOf, type ErrorCode } from '../../domain/errors.ts';
import {
  asRemoteId,
  canonicalMemory,
  memorySchema,
  UNKNOWN_MEMORY_TYPE,
  type Memory,
} from '../../domain/item.ts';
import type { ApplyOutcome, RemoteEntry, RemoteOp } from '../connector.ts';
import { dominantEol } from './markdown/lines.ts';
import { applySplices } from './markdown/splice.ts';
import {
  memorySteps,
  statementsOf,
  versionOf,
  type MemoryEntry,
  type MemoryFile,
  type MemoryMapping,
} from './memories.ts';
import { emptyRegionRemoval, planSplices } from './plan-splices.ts';
import type { ItemChange } from './plan-style.ts';
import { atOnce, type Steps } from './steps.ts';

export interface MemoryEdit {
  readonly file: MemoryFile;
  readonly outcomes: readonly ApplyOutcome[];
}

interface Change extends ItemChange {
  readonly op: RemoteOp;
}

type Judged = { readonly change: Change } | { readonly outcome: ApplyOutcome };

/**
 * The file's text after all operations that can be done, and what became of each, in their order.
 *
 * @throws AppError REGION_DAMAGED, REMOTE_MALFORMED when the file as it is cannot be understood
 */
export function editMemories(
  file: MemoryFile,
  ops: readonly RemoteOp[],
  mapping: MemoryMapping,
): MemoryEdit {
  return atOnce(editSteps(file, ops, mapping));
}

/** {@link editMemories} step by step. @throws AppError REGION_DAMAGED, REMOTE_MALFORMED */
export function* editSteps(
  file: MemoryFile,
  ops: readonly RemoteOp[],
  mapping: MemoryMapping,
): Steps<MemoryEdit> {
  const judged = judge(file, ops, mapping);
  const changes = judged.flatMap((one) => ('change' in one ? [one.change] : []));
  const refused = judged.flatMap((one) => ('outcome' in one ? [one.outcome] : []));
  const done = yield* settle(file, changes, mapping);
  const byOp = new Map([...refused, ...done.outcomes].map((outcome) => [outcome.opId, outcome]));
  return { file: done.file, outcomes: ops.map((op) => byOp.get(op.opId)!) };
}

/** An item as the engine sees it; absent when the file has none of that name. */
export function remoteEntryOf(file: MemoryFile, name: string, changedAtMs?: number): RemoteEntry {
  const entry = file.entries.get(name);
  if (!entry) return { status: 'absent', remoteId: asRemoteId(name) };
  return {
    status: 'present',
    remoteId: asRemoteId(name),
    kind: 'memory',
    version: entry.version,
    value: entry.memory,
    ...(changedAtMs === undefined ? {} : { changedAtMs }),
  };
}

export function failed(op: RemoteOp, code: ErrorCode, detail: string): ApplyOutcome {
  return { status: 'failed', opId: op.opId, code, detail, isRetryable: false };
}

/** Which operations may be tried: expected version still there, shape right, name free. */
function judge(
  file: MemoryFile,
  ops: readonly RemoteOp[],
  mapping: MemoryMapping,
): readonly Judged[] {
  const leaving = new Set(
    ops.filter((op) => nameAfter(op) !== op.remoteId).map((op) => op.remoteId as string),
  );
  const arriving = new Set<string>();
  const touched = new Set<string>();
  return ops.map((op): Judged => {
    const entry = file.entries.get(op.remoteId) ?? null;
    if ((entry?.version ?? null) !== op.expectedVersion || (!entry && op.action === 'delete')) {
      return {
        outcome: { status: 'moved', opId: op.opId, current: remoteEntryOf(file, op.remoteId) },
      };
    }
    if (touched.has(op.remoteId)) {
      return { outcome: failed(op, 'ITEM_NAME_TAKEN', `"${op.remoteId}" has two operations`) };
    }
    touched.add(op.remoteId);
    if (op.action === 'delete') return { change: { op, entry, wanted: null, heading: '' } };
    const parsed = memorySchema.safeParse(op.value);
    if (!parsed.success) return { outcome: failed(op, 'ITEM_INVALID', 'not a memory item') };
    const wanted = canonicalMemory(parsed.data);
    const { name } = wanted;
    if (!name.startsWith(mapping.namePrefix) || name === mapping.namePrefix) {
      return { outcome: failed(op, 'ITEM_INVALID', `"${name}" belongs to another file`) };
    }
    const isFree = entry?.memory.name === name || !file.entries.has(name) || leaving.has(name);
    if (!isFree || mapping.isTaken(name) || arriving.has(name)) {
      return { outcome: failed(op, 'ITEM_NAME_TAKEN', `"${name}" is taken`) };
    }
    arriving.add(name);
    return { change: { op, entry, wanted, heading: name.slice(mapping.namePrefix.length) } };
  });
}

function nameAfter(op: RemoteOp): string | null {
  const name = op.value?.['name'];
  return typeof name === 'string' ? name : null;
}

function* settle(
  file: MemoryFile,
  changes: readonly Change[],
  mapping: MemoryMapping,
): Steps<MemoryEdit> {
  if (changes.length === 0) return { file, outcomes: [] };
  let why = '';
  for (const isCareful of [false, true]) {
    const tried = yield* attempt(file, changes, { mapping, isCareful });
    if ('outcomes' in tried) return tried;
    why = tried.why;
  }
  const [first] = changes;
  if (first && changes.length === 1) {
    const detail = `"${first.op.remoteId}" cannot be written so that it reads back equal: ${why}`;
    return { file, outcomes: [failed(first.op, 'REMOTE_MALFORMED', detail)] };
  }
  const middle = Math.ceil(changes.length / 2);
  const head = yield* settle(file, changes.slice(0, middle), mapping);
  const rest = changes.slice(middle).map(({ op }) => op);
  const tail = yield* editSteps(head.file, rest, mapping);
  return { file: tail.file, outcomes: [...head.outcomes, ...tail.outcomes] };
}

interface Attempt {
  readonly mapping: MemoryMapping;
  readonly isCareful: boolean;
}

function* attempt(
  file: MemoryFile,
  changes: readonly Change[],
  { mapping, isCareful }: Attempt,
): Steps<MemoryEdit | { readonly why: string }> {
  try {
    const style = { eol: dominantEol(file.source), parse: mapping.parse, isCareful };
    const plan = yield* planSplices(file, changes, style);
    let after = yield* memorySteps(applySplices(file.source, plan.splices), mapping);
    if (changes.some(({ wanted }) => wanted === null)) {
      after = yield* withoutEmptyRegion(after, mapping);
    }
    const why = difference(file, after, { changes, spelled: plan.spelled });
    if (why !== null) return { why };
    return {
      file: after,
      outcomes: changes.map(({ op }, at) => applied(op, plan.spelled[at] ?? null)),
    };
  } catch (thrown) {
    return { why: messageOf(thrown) };
  }
}

function* withoutEmptyRegion(file: MemoryFile, mapping: MemoryMapping): Steps<MemoryFile> {
  const splices = emptyRegionRemoval(file);
  if (splices.length === 0) return file;
  return yield* memorySteps(applySplices(file.source, splices), mapping);
}

function applied(op: RemoteOp, spelled: Memory | null): ApplyOutcome {
  return {
    status: 'applied',
    opId: op.opId,
    remoteId: asRemoteId(spelled?.name ?? op.remoteId),
    version: spelled && versionOf(spelled),
    written: spelled,
  };
}

interface Intention {
  readonly changes: readonly Change[];
  readonly spelled: readonly (Memory | null)[];
}

/** What is not as intended after an edit, in words; null when all is well. */
function difference(before: MemoryFile, after: MemoryFile, intention: Intention): string | null {
  const { changes, spelled } = intention;
  // When a name is given up, a later section of that name may take it: then contents must do.
  const mayShift = changes.some(({ entry, wanted }) => entry && entry.memory.name !== wanted?.name);
  const wrong = spelled.find((memory) => memory && !mayShift && !reads(after, memory));
  if (wrong) return `"${wrong.name}" reads differently`;
  const touched = new Set(changes.map(({ entry }) => entry));
  // What the cache hands out again is the same; only the rest needs comparing.
  const kept = new Set<Memory>();
  for (const entry of before.entries.values()) if (!touched.has(entry)) kept.add(entry.memory);
  const found = [...after.entries.values()].filter(({ memory }) => !kept.delete(memory));
  const expected = [...kept, ...spelled.filter((memory) => memory !== null)];
  const surplus = contentsOf(found.map(({ memory }) => memory));
  for (const [content, count] of contentsOf(expected)) {
    surplus.set(content, (surplus.get(content) ?? 0) - count);
  }
  // A heading that loses its last sub-section is an item from then on, one that says nothing.
  const hasDelete = changes.some(({ wanted }) => wanted === null);
  const isFine = [...surplus].every(
    ([content, count]) => count === 0 || (count > 0 && hasDelete && content === NOTHING_SAID),
  );
  return isFine ? null : 'another section would change';
}

function reads(file: MemoryFile, memory: Memory): boolean {
  return file.entries.get(memory.name)?.version === versionOf(memory);
}

const NOTHING_SAID = contentOf({
  name: '',
  type: UNKNOWN_MEMORY_TYPE,
  observations: [],
  relations: [],
});

/** How often each content occurs, names aside. */
function contentsOf(memories: readonly Memory[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const memory of memories) {
    const content = contentOf(memory);
    counts.set(content, (counts.get(content) ?? 0) + 1);
  }
  return counts;
}

function contentOf(memory: Memory): string {
  return JSON.stringify([memory.type, statementsOf(memory)]);
}

/** Entries of a file as the engine sees them, in document order. */
export function remoteEntriesOf(file: MemoryFile, changedAtMs: number): readonly RemoteEntry[] {
  return [...file.entries.values()].map((entry: MemoryEntry) =>
    remoteEntryOf(file, entry.memory.name, changedAtMs),
  );
}
