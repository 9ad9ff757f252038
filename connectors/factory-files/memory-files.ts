/** The memory files of a link's places: read together, because their items share one set of names. */
import { AppError, toAppError } from '../../domain/errors.ts';
import type { ApplyOutcome, RemoteOp } from '../connector.ts';
import { editMemories, failed } from './edit-memories.ts';
import { MAX_FILE_BYTES, type FactoryFilesConfig } from './factory-files-config.ts';
import { createBlockParser } from './markdown/parse-blocks.ts';
import { readMemories, type MemoryFile, type MemoryMapping } from './memories.ts';
import { MEMORY_PATH, type Place } from './places.ts';
import { requireText, type TextFile } from './read-file.ts';
import { unlessRaced, type FileDecision, type SafeWrite } from './safe-write.ts';

/** One place's memory file at a moment. */
export interface MemorySnapshot {
  readonly place: Place;
  readonly mapping: MemoryMapping;
  readonly file: MemoryFile;
  /** Null when the file does not exist. */
  readonly state: TextFile | null;
}

export interface MemoryFiles {
  /** The files now, the project's first: its names come first. @throws AppError for any fault */
  read(): Promise<readonly MemorySnapshot[]>;
  /** All operations, one write per file. @throws AppError for a file that cannot be read or written */
  apply(ops: readonly RemoteOp[], write: SafeWrite): Promise<readonly ApplyOutcome[]>;
  /** How one place's file becomes items, regardless of the others. */
  mappingOf(place: Place): MemoryMapping;
}

export interface MemoryFilesDeps {
  readonly config: FactoryFilesConfig;
  readonly places: readonly Place[];
  /** A memory may not be called as one of the link's documents: an id must mean one thing. */
  readonly isDocument: (id: string) => boolean;
}

/** Text a memory file is created with; what follows is the managed region. */
const NEW_FILE = '# Memories\n';

export function createMemoryFiles({ config, places, isDocument }: MemoryFilesDeps): MemoryFiles {
  const isIncluded = config.include.includes('memories');
  const parsers = new Map(places.map((place) => [place.idPrefix, createBlockParser()]));

  function mappingOf(place: Place, earlier: readonly MemorySnapshot[] = []): MemoryMapping {
    return {
      blocks: config.blocks,
      namePrefix: place.namePrefix,
      isTaken: (name) => isDocument(name) || earlier.some(({ file }) => file.entries.has(name)),
      parse: parsers.get(place.idPrefix) ?? createBlockParser(),
    };
  }

  async function read(): Promise<readonly MemorySnapshot[]> {
    const snapshots: MemorySnapshot[] = [];
    for (const place of isIncluded ? places : []) {
      const mapping = mappingOf(place, [...snapshots]);
      const state = await requireText(place, MEMORY_PATH);
      const file = parsed(place, state?.text ?? '', mapping);
      snapshots.push({ place, mapping, file, state });
    }
    return snapshots;
  }

  async function apply(
    ops: readonly RemoteOp[],
    write: SafeWrite,
  ): Promise<readonly ApplyOutcome[]> {
    if (!isIncluded) {
      return ops.map((op) => failed(op, 'ITEM_INVALID', 'this link includes no memories'));
    }
    const snapshots = await read();
    const outcomes: ApplyOutcome[] = [];
    for (const { place, mapping } of snapshots) {
      const mine = ops.filter((op) => homeOf(op, snapshots) === place);
      if (mine.length === 0) continue;
      const decide = (now: TextFile | null): FileDecision<readonly ApplyOutcome[]> =>
        editedFile(parsed(place, now?.text ?? NEW_FILE, mapping), mine, mapping);
      outcomes.push(...(await unlessRaced(mine, () => write(place, MEMORY_PATH, decide))));
    }
    return outcomes;
  }

  return { read, apply, mappingOf };
}

/** The place an operation's item is in, or belongs to by its name. */
function homeOf(op: RemoteOp, snapshots: readonly MemorySnapshot[]): Place | undefined {
  const holder = snapshots.find(({ file }) => file.entries.has(op.remoteId));
  const named = snapshots.findLast(({ place }) => op.remoteId.startsWith(place.namePrefix));
  return (holder ?? named)?.place;
}

/** A text as items; what is wrong with it names the file. */
function parsed(place: Place, text: string, mapping: MemoryMapping): MemoryFile {
  try {
    return readMemories(text, mapping);
  } catch (thrown) {
    const { code, message } = toAppError(thrown);
    throw new AppError(code, `${place.idPrefix}${MEMORY_PATH}: ${message}`, { cause: thrown });
  }
}

function editedFile(
  file: MemoryFile,
  ops: readonly RemoteOp[],
  mapping: MemoryMapping,
): FileDecision<readonly ApplyOutcome[]> {
  const edit = editMemories(file, ops, mapping);
  if (Buffer.byteLength(edit.file.source) <= MAX_FILE_BYTES) {
    return decisionFor(file, edit.file, edit.outcomes);
  }
  // A file we could not read again helps nobody: only what makes it smaller is done.
  const deletes = ops.filter(({ action }) => action === 'delete');
  const small = editMemories(file, deletes, mapping);
  const outcomes = edit.outcomes.map((outcome, at): ApplyOutcome => {
    const op = ops[at]!;
    if (op.action === 'delete') return small.outcomes[deletes.indexOf(op)]!;
    if (outcome.status !== 'applied') return outcome;
    return failed(op, 'REMOTE_TOO_LARGE', 'the file would become too large');
  });
  return decisionFor(file, small.file, outcomes);
}

function decisionFor(
  before: MemoryFile,
  after: MemoryFile,
  result: readonly ApplyOutcome[],
): FileDecision<readonly ApplyOutcome[]> {
  if (after.source === before.source) return { action: 'keep', result };
  return { action: 'replace', text: after.source, result };
}
