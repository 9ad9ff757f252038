/**
 * The memory folder of a project: one item per note, and one per section of `MEMORY.md` that says
 * something itself. What comes from elsewhere becomes a note of its own with a line in the index.
 *
 * The line is written before a new note and removed after a deleted one: a crash in between may
 * leave a line that leads nowhere, never a note that nobody finds.
 */
import type { Clock } from '../../domain/clock.ts';
import { toAppError } from '../../domain/errors.ts';
import { asRemoteId, canonicalMemory, memorySchema, type Memory } from '../../domain/item.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { ApplyOutcome, RemoteEntry, RemoteOp } from '../connector.ts';
import { decideMemories, type MemoryDecision } from '../files/decide-memories.ts';
import { failed } from '../files/edit-memories.ts';
import { createFileReader } from '../files/file-reader.ts';
import { createBlockParser } from '../files/markdown/parse-blocks.ts';
import {
  memorySteps,
  readMemories,
  versionOf,
  type MemoryFile,
  type MemoryMapping,
} from '../files/memories.ts';
import type { MemoryFiles } from '../files/memory-files.ts';
import { mergeLateMemories } from '../files/merge-late.ts';
import type { Place } from '../files/places.ts';
import { MAX_FILE_BYTES, type TextFile } from '../files/read-file.ts';
import {
  unlessRaced,
  type FileDecision,
  type FileJob,
  type SafeWrite,
} from '../files/safe-write.ts';
import { inSlices, type Steps } from '../files/steps.ts';
import { INDEX_PATH, isMemoryFile } from './claude-layout.ts';
import {
  lookAtMemory,
  namesByPath,
  noteEntry,
  readingOf,
  type MemoryFolder,
  type NamedNote,
} from './look-at-memory.ts';
import { isPointer, NEW_INDEX, withPointers, type Pointer } from './memory-index.ts';
import { skippingFrontmatter } from './note-blocks.ts';
import { notePath } from './note-path.ts';
import { editNote, newNote, noteMapping, readNote, type Note } from './note.ts';

export interface ClaudeMemoriesDeps {
  readonly place: Place;
  /** A memory may not be called as one of the link's documents: an id must mean one thing. */
  readonly isDocument: (id: string) => boolean;
  readonly clock: Clock;
}

const LARGE_CHARS = 64 * 1024;

/** A note to be made. */
interface Birth {
  readonly op: RemoteOp;
  readonly wanted: Memory;
  readonly path: string;
  readonly text: string;
}

/** A note to be written or removed. */
interface NoteJob extends FileJob<ApplyOutcome> {
  readonly op: RemoteOp;
}

/** What one batch works with. */
interface Batch {
  readonly folder: MemoryFolder;
  readonly taken: Taken;
  /** Paths of the notes it removed. */
  readonly gone: Set<string>;
  readonly write: SafeWrite;
}

/** Names and paths in use while a batch is done. */
interface Taken {
  readonly names: Set<string>;
  readonly paths: Set<string>;
}

export function createClaudeMemories(deps: ClaudeMemoriesDeps): MemoryFiles {
  const { place, isDocument } = deps;
  const reader = createFileReader(deps);
  const parse = createBlockParser();
  const parseIndex = skippingFrontmatter(createBlockParser());
  let known = new Map<string, Note>();
  /** Names by path at the last look; null until there was one. */
  let held: ReadonlyMap<string, readonly string[]> | null = null;

  const indexMapping = (isTaken: (name: string) => boolean): MemoryMapping => ({
    blocks: 'all',
    namePrefix: '',
    isTaken,
    parse: parseIndex,
    untitled: 'MEMORY',
    isPointer,
  });

  /**
   * The folder now. Notes that did not change are not parsed again; the names in each file are kept,
   * so that an unreadable file sets aside exactly the items it held.
   */
  async function look(before?: JsonObject | null): Promise<MemoryFolder> {
    const seen = new Map<string, Note>();
    const folder = await lookAtMemory({
      place,
      isDocument,
      reader,
      indexMapping,
      readNote: async (path, { text, hash }) => {
        const id = `${hash} ${path}`;
        // A large note is cut into blocks beforehand, so that reading it takes no long time at once.
        const isLarge = text.length > LARGE_CHARS && !known.has(id);
        if (isLarge) await inSlices(noteMapping(parse).parse.steps(text));
        const note = known.get(id) ?? readNote(path, text, parse);
        seen.set(id, note);
        return note;
      },
      namesIn: (path) => namesHeldBy(path, before),
    });
    known = seen;
    if (!folder.faulty.some(({ names }) => names === null)) held = namesByPath(folder);
    return folder;
  }

  function namesHeldBy(path: string, before?: JsonObject | null): readonly string[] | null {
    const said = before?.[path];
    if (Array.isArray(said)) return said.filter((name) => typeof name === 'string');
    if (held) return held.get(path) ?? [];
    // Before the first observation no item is known, so none can be taken for deleted.
    return before === null ? [] : null;
  }

  async function apply(
    ops: readonly RemoteOp[],
    write: SafeWrite,
  ): Promise<readonly ApplyOutcome[]> {
    const folder = await look();
    const inIndex = (op: RemoteOp): boolean => folder.index?.entries.has(op.remoteId) === true;
    const taken: Taken = { names: namesIn(folder), paths: new Set(folder.paths) };
    const outcomes: ApplyOutcome[] = [];
    const indexOps = ops.filter(inIndex);
    if (indexOps.length > 0) outcomes.push(...(await applyToIndex(indexOps, folder, write)));
    for (const outcome of outcomes) noteName(taken, outcome);
    const gone = new Set<string>();
    const changes = ops.filter((op) => folder.notes.has(op.remoteId));
    outcomes.push(...(await applyToNotes(changes, { folder, taken, gone, write })));
    const rest = ops.filter((op) => !inIndex(op) && !folder.notes.has(op.remoteId));
    outcomes.push(...(await createNotes(rest, { folder, taken, gone, write })));
    const byOp = new Map(outcomes.map((outcome) => [outcome.opId, outcome]));
    return ops.map((op) => byOp.get(op.opId)!);
  }

  function applyToIndex(
    ops: readonly RemoteOp[],
    folder: MemoryFolder,
    write: SafeWrite,
  ): Promise<readonly ApplyOutcome[]> {
    const mapping = indexMapping((name) => folder.notes.has(name) || isDocument(name));
    return unlessRaced(ops, () =>
      write(place, INDEX_PATH, (now) => inSlices(decideIndex(now?.text ?? '', ops, mapping))),
    );
  }

  /** Deletes, then edits, each side by side; then renames one by one, as one may free a name. */
  async function applyToNotes(
    ops: readonly RemoteOp[],
    batch: Batch,
  ): Promise<readonly ApplyOutcome[]> {
    const firsts = new Map<string, RemoteOp>();
    const sorted = ops.toSorted((a, b) => rankOf(a) - rankOf(b));
    for (const op of sorted) if (!firsts.has(op.remoteId)) firsts.set(op.remoteId, op);
    const outcomes = sorted
      .filter((op) => firsts.get(op.remoteId) !== op)
      .map((op) => failed(op, 'ITEM_NAME_TAKEN', `"${op.remoteId}" has two operations`));
    const those = (how: ReturnType<typeof howOf>): readonly RemoteOp[] =>
      [...firsts.values()].filter((op) => howOf(op) === how);
    const renames = those('rename').map((op) => [op]);
    for (const group of [those('delete'), those('edit'), ...renames]) {
      outcomes.push(...(await applySideBySide(group, batch)));
    }
    return outcomes;
  }

  async function applySideBySide(
    ops: readonly RemoteOp[],
    { folder, taken, gone, write }: Batch,
  ): Promise<readonly ApplyOutcome[]> {
    const judged = ops.map((op) => judgeEdit(op, folder.notes.get(op.remoteId)!, taken));
    const jobs = judged.filter((one): one is NoteJob => 'path' in one);
    const outcomes = judged.filter((one): one is ApplyOutcome => 'status' in one);
    outcomes.push(...(await writeNotes(jobs, write)));
    const applied = new Map(outcomes.map((one) => [one.opId, one] as const));
    for (const op of ops) {
      const outcome = applied.get(op.opId);
      if (outcome?.status !== 'applied') continue;
      taken.names.delete(op.remoteId);
      noteName(taken, outcome);
      if (op.action === 'delete') gone.add(folder.notes.get(op.remoteId)!.note.path);
    }
    return outcomes;
  }

  function judgeEdit(op: RemoteOp, held: NamedNote, taken: Taken): NoteJob | ApplyOutcome {
    const wanted = op.action === 'delete' ? null : wantedOf(op);
    if (wanted === undefined) return failed(op, 'ITEM_INVALID', 'not a memory item');
    if (wanted && wanted.name !== op.remoteId && isTaken(wanted.name, taken))
      return failed(op, 'ITEM_NAME_TAKEN', `"${wanted.name}" is taken`);
    const decide = (now: TextFile | null): FileDecision<ApplyOutcome> =>
      decideNote(op, { held, wanted, now });
    return { op, path: held.note.path, decide };
  }

  /** Losing a race fails one note; anything else means that nobody knows, and is thrown. */
  async function writeNotes(
    jobs: readonly NoteJob[],
    write: SafeWrite,
  ): Promise<readonly ApplyOutcome[]> {
    const settled = await write.all(place, jobs);
    const outcomes = await Promise.all(
      jobs.map(({ op }, at) =>
        unlessRaced([op], async () => {
          const one = settled[at]!;
          if (one.status === 'rejected') throw one.reason;
          return [one.value];
        }),
      ),
    );
    return outcomes.flat();
  }

  function decideNote(
    op: RemoteOp,
    situation: {
      readonly held: NamedNote;
      readonly wanted: Memory | null;
      readonly now: TextFile | null;
    },
  ): FileDecision<ApplyOutcome> {
    const { held, wanted, now } = situation;
    const current = currentOf(held, now);
    const version = current.entry.status === 'present' ? current.entry.version : null;
    if (!current.note || version !== op.expectedVersion) {
      return {
        action: 'keep',
        result: { status: 'moved', opId: op.opId, current: current.entry },
      };
    }
    if (!wanted) return { action: 'remove', result: applied(op, null) };
    // An item named after its file as well keeps its own name in the file, unless it is renamed.
    const name = wanted.name === held.name ? held.note.memory.name : wanted.name;
    const text = attempted(op, () => editNote(current.note!, { ...wanted, name }, parse));
    if (typeof text !== 'string') return { action: 'keep', result: text };
    const result = applied(op, wanted);
    return text === now?.text ? { action: 'keep', result } : { action: 'replace', text, result };
  }

  function currentOf(
    held: NamedNote,
    now: TextFile | null,
  ): { readonly note: Note | null; readonly entry: RemoteEntry } {
    const isSeen = now?.text === held.note.source;
    const note = isSeen ? held.note : now && readNote(held.note.path, now.text, parse);
    if (!now || !note || note.memory.name !== held.note.memory.name)
      return { note: null, entry: { status: 'absent', remoteId: asRemoteId(held.name) } };
    return { note, entry: noteEntry({ ...held, note, changedAtMs: now.changedAtMs }) };
  }

  /** New notes, the lines that lead to them first; and the lines of the notes that are gone. */
  async function createNotes(
    ops: readonly RemoteOp[],
    { folder, taken, gone, write }: Batch,
  ): Promise<readonly ApplyOutcome[]> {
    const judged = await inSlices(judgeBirths(ops, folder, taken));
    const births = judged.filter((one): one is Birth => 'path' in one);
    const outcomes = judged.filter((one): one is ApplyOutcome => 'status' in one);
    const pointers = births.map(({ wanted, path }) => ({ name: wanted.name, path }));
    const born = await unlessRaced(
      births.map(({ op }) => op),
      async () => {
        if (folder.index) await updateIndex({ added: pointers, gone: new Set() }, write);
        return await writeNotes(births.map(jobOf), write);
      },
    );
    const stillborn = births.filter((_, at) => born[at]?.status !== 'applied');
    for (const { path } of stillborn) if (!folder.paths.has(path)) gone.add(path);
    if (folder.index && gone.size > 0) {
      // Losing this race leaves a line that leads nowhere; the notes are as they should be.
      await unlessRaced([], async () => {
        await updateIndex({ added: [], gone }, write);
        return [];
      });
    }
    return [...outcomes, ...born];
  }

  function* judgeBirths(
    ops: readonly RemoteOp[],
    folder: MemoryFolder,
    taken: Taken,
  ): Steps<readonly (Birth | ApplyOutcome)[]> {
    const judged: (Birth | ApplyOutcome)[] = [];
    for (const op of ops) {
      judged.push(judgeBirth(op, folder, taken));
      yield;
    }
    return judged;
  }

  function judgeBirth(op: RemoteOp, folder: MemoryFolder, taken: Taken): Birth | ApplyOutcome {
    if (op.action === 'delete' || op.expectedVersion !== null) {
      return { status: 'moved', opId: op.opId, current: goneOrFaulty(op, folder) };
    }
    const wanted = wantedOf(op);
    if (!wanted) return failed(op, 'ITEM_INVALID', 'not a memory item');
    if (isTaken(wanted.name, taken))
      return failed(op, 'ITEM_NAME_TAKEN', `"${wanted.name}" is taken`);
    const path = notePath(wanted.name, (one) => taken.paths.has(one));
    const text = attempted(op, () => newNote(path, wanted, parse));
    if (typeof text !== 'string') return text;
    taken.names.add(wanted.name);
    taken.paths.add(path);
    return { op, wanted, path, text };
  }

  async function updateIndex(
    change: { readonly added: readonly Pointer[]; readonly gone: ReadonlySet<string> },
    write: SafeWrite,
  ): Promise<void> {
    if (change.added.length + change.gone.size === 0) return;
    const mapping = indexMapping(() => false);
    await write(place, INDEX_PATH, (now): FileDecision<null> => {
      const isNeeded = now !== null || change.added.length > 0;
      const source = now?.text ?? NEW_INDEX;
      const before = readMemories(source, mapping);
      const isSame = (text: string): boolean => saysTheSame(before, readMemories(text, mapping));
      const text = isNeeded ? withPointers(source, change, { parse: parseIndex, isSame }) : null;
      const isFine =
        text !== null && text !== now?.text && Buffer.byteLength(text) <= MAX_FILE_BYTES;
      return isFine ? { action: 'replace', text, result: null } : { action: 'keep', result: null };
    });
  }

  const isTaken = (name: string, taken: Taken): boolean =>
    taken.names.has(name) || isDocument(name);

  return {
    read: async (before) => readingOf(await look(before)),
    apply,
    owns: isMemoryFile,
    async mergeLate(_place, path, texts) {
      const isIndex = path === INDEX_PATH;
      if (!isIndex && texts.now === null) return texts.after;
      const mapping = isIndex ? indexMapping(() => false) : noteMapping(parse);
      return await inSlices(mergeLateMemories(texts, mapping));
    },
  };
}

/** What is to be said of an item no readable file holds. */
function goneOrFaulty({ remoteId }: RemoteOp, { faulty }: MemoryFolder): RemoteEntry {
  const file = faulty.find(({ names }) => names === null || names.includes(remoteId));
  return file ? { ...file.fault, remoteId } : { status: 'absent', remoteId };
}

function* decideIndex(
  text: string,
  ops: readonly RemoteOp[],
  mapping: MemoryMapping,
): Steps<MemoryDecision> {
  return yield* decideMemories(yield* memorySteps(text, mapping), ops, mapping);
}

/** A new note, unless somebody was quicker. */
function jobOf({ op, wanted, path, text }: Birth): NoteJob {
  const decide = (now: TextFile | null): FileDecision<ApplyOutcome> =>
    now === null
      ? { action: 'replace', text, result: applied(op, wanted) }
      : { action: 'keep', result: raced(op, path) };
  return { op, path, decide };
}

function howOf(op: RemoteOp): 'delete' | 'edit' | 'rename' {
  if (op.action === 'delete') return 'delete';
  return op.value?.['name'] === op.remoteId ? 'edit' : 'rename';
}

/** Deletes free names, so they go first; renames may then take them. */
function rankOf({ action }: RemoteOp): number {
  return action === 'delete' ? 0 : 1;
}

function namesIn({ notes, index, faulty }: MemoryFolder): Set<string> {
  const aside = faulty.flatMap(({ names }) => names ?? []);
  return new Set([...notes.keys(), ...(index?.entries.keys() ?? []), ...aside]);
}

function noteName({ names }: Taken, outcome: ApplyOutcome): void {
  if (outcome.status === 'applied' && outcome.written) names.add(outcome.remoteId);
}

function wantedOf(op: RemoteOp): Memory | undefined {
  const parsed = memorySchema.safeParse(op.value);
  return parsed.success ? canonicalMemory(parsed.data) : undefined;
}

function applied(op: RemoteOp, written: Memory | null): ApplyOutcome {
  return {
    status: 'applied',
    opId: op.opId,
    remoteId: asRemoteId(written?.name ?? op.remoteId),
    version: written && versionOf(written),
    written,
  };
}

function raced(op: RemoteOp, path: string): ApplyOutcome {
  const detail = `${path} was just made by somebody else`;
  return { status: 'failed', opId: op.opId, code: 'REMOTE_WRITE_RACED', detail, isRetryable: true };
}

/** The text, or why there is none. */
function attempted(op: RemoteOp, work: () => string): string | ApplyOutcome {
  try {
    const text = work();
    if (Buffer.byteLength(text) <= MAX_FILE_BYTES) return text;
    return failed(op, 'REMOTE_TOO_LARGE', 'the file would become too large');
  } catch (thrown) {
    const { code, message } = toAppError(thrown);
    return failed(op, code, message);
  }
}

function saysTheSame(a: MemoryFile, b: MemoryFile): boolean {
  const versions = (file: MemoryFile): string =>
    JSON.stringify([...file.entries].map(([name, { version }]) => [name, version]));
  return versions(a) === versions(b);
}
