/** The memory folder as it is now: its notes, its index, and what could not be read. */
import { toAppError } from '../../domain/errors.ts';
import { asRemoteId, type Memory } from '../../domain/item.ts';
import type { RemoteEntry, RemoteFault } from '../connector.ts';
import { remoteEntriesOf } from '../files/edit-memories.ts';
import type { FileReader } from '../files/file-reader.ts';
import { entriesOf } from '../files/list-folder.ts';
import {
  memorySteps,
  readMemories,
  versionOf,
  type MemoryFile,
  type MemoryMapping,
} from '../files/memories.ts';
import type { MemoryReading } from '../files/memory-files.ts';
import type { Place } from '../files/places.ts';
import type { FileState, TextFile } from '../files/read-file.ts';
import { createPause, inSlices } from '../files/steps.ts';
import { INDEX_PATH, isMemoryFile } from './claude-layout.ts';
import type { Note } from './note.ts';

/** A note and the name its item has in the link; it differs where two notes claim one name. */
export interface NamedNote {
  readonly name: string;
  readonly note: Note;
  readonly changedAtMs: number;
}

/** A file that cannot be used, and the items it held when it last could; null: nobody knows. */
export interface FaultyFile {
  readonly path: string;
  readonly names: readonly string[] | null;
  readonly fault: RemoteFault;
}

export interface MemoryFolder {
  readonly notes: ReadonlyMap<string, NamedNote>;
  /** Null when the index cannot be read; a missing one is empty. */
  readonly index: MemoryFile | null;
  readonly indexChangedAtMs: number;
  readonly paths: ReadonlySet<string>;
  readonly faulty: readonly FaultyFile[];
  readonly marks: readonly (readonly [path: string, mark: string])[];
}

export interface LookDeps {
  readonly place: Place;
  readonly isDocument: (id: string) => boolean;
  readonly reader: FileReader;
  readonly readNote: (path: string, state: TextFile) => Note | Promise<Note>;
  /** How the index is read, when these names belong to others. */
  readonly indexMapping: (isTaken: (name: string) => boolean) => MemoryMapping;
  /** Names of the items an unreadable file held; null when nobody knows. */
  readonly namesIn: (path: string) => readonly string[] | null;
}

interface Findings {
  readonly faulty: FaultyFile[];
  readonly marks: (readonly [path: string, mark: string])[];
}

interface Found<T> {
  readonly value: T;
  readonly changedAtMs: number;
}

/** @throws AppError CONNECTOR_UNREACHABLE when the folder or a file in it cannot be read */
export async function lookAtMemory(deps: LookDeps): Promise<MemoryFolder> {
  const { place } = deps;
  const paths = (await entriesOf(place, ''))
    .map(({ name }) => name)
    .filter((path) => isMemoryFile(place, path))
    .sort();
  const findings: Findings = { faulty: [], marks: [] };
  const states = await deps.reader.readAll(place, paths);
  const stateOf = new Map(paths.map((path, at) => [path, states[at]!]));
  const found: Found<Note>[] = [];
  const pause = createPause();
  for (const path of paths.filter((one) => one !== INDEX_PATH)) {
    await pause();
    const note = await readUsable(deps, findings, {
      path,
      state: stateOf.get(path)!,
      read: (state) => deps.readNote(path, state),
    });
    if (note) found.push(note);
  }
  // The index is read last, because its sections give way to the notes' names.
  const notes = named(found, findings, deps.isDocument);
  const isTaken = (name: string): boolean => notes.has(name) || deps.isDocument(name);
  const indexState = stateOf.get(INDEX_PATH);
  const index = indexState
    ? await readUsable(deps, findings, {
        path: INDEX_PATH,
        state: indexState,
        read: ({ text }) => inSlices(memorySteps(text, deps.indexMapping(isTaken))),
      })
    : null;
  const isIndexFaulty = findings.faulty.some(({ path }) => path === INDEX_PATH);
  return {
    notes,
    index: isIndexFaulty ? null : (index?.value ?? readMemories('', deps.indexMapping(isTaken))),
    indexChangedAtMs: index?.changedAtMs ?? 0,
    paths: new Set(paths),
    ...findings,
  };
}

/** What the engine is told of a folder. */
export function readingOf(folder: MemoryFolder): MemoryReading {
  const { notes, index, faulty, marks } = folder;
  const entries = [...notes.values()].map((note) => noteEntry(note));
  const sections = index ? remoteEntriesOf(index, folder.indexChangedAtMs) : [];
  const faults = faulty.flatMap(({ names, fault }): readonly RemoteFault[] =>
    names && names.length > 0
      ? names.map((name) => ({ ...fault, remoteId: asRemoteId(name) }))
      : [fault],
  );
  const trail = Object.fromEntries(faulty.map(({ path, names }) => [path, [...(names ?? [])]]));
  const unknown = faulty.find(({ names }) => names === null)?.fault ?? null;
  return { entries: [...entries, ...sections, ...faults], marks, trail, unknown };
}

/** The names of the items in each file, to be known should one become unreadable. */
export function namesByPath(folder: MemoryFolder): Map<string, readonly string[]> {
  const names = new Map<string, readonly string[]>();
  for (const { name, note } of folder.notes.values()) names.set(note.path, [name]);
  if (folder.index) names.set(INDEX_PATH, [...folder.index.entries.keys()]);
  for (const { path, names: held } of folder.faulty) if (held) names.set(path, held);
  return names;
}

/** A note as the engine sees it. */
export function noteEntry({ name, note, changedAtMs }: NamedNote): RemoteEntry {
  const value: Memory = { ...note.memory, name };
  return {
    status: 'present',
    remoteId: asRemoteId(name),
    kind: 'memory',
    version: versionOf(value),
    value,
    changedAtMs,
  };
}

async function readUsable<T>(
  { place, namesIn }: LookDeps,
  { faulty, marks }: Findings,
  file: {
    readonly path: string;
    readonly state: FileState;
    readonly read: (state: TextFile) => T | Promise<T>;
  },
): Promise<Found<T> | null> {
  const { path, state } = file;
  // Deleted since the listing: then it is absent, which is what it says.
  if (state.status === 'missing') return null;
  const id = place.idPrefix + path;
  marks.push([id, state.status === 'text' ? state.hash : state.code]);
  const setAside = (code: RemoteFault['code'], detail: string): null => {
    const fault: RemoteFault = {
      status: 'faulty',
      remoteId: asRemoteId(id),
      code,
      detail: `${id}: ${detail}`,
    };
    faulty.push({ path, names: namesIn(path), fault });
    return null;
  };
  if (state.status === 'faulty') return setAside(state.code, state.detail);
  try {
    return { value: await file.read(state), changedAtMs: state.changedAtMs };
  } catch (thrown) {
    const { code, message } = toAppError(thrown);
    return setAside(code, message);
  }
}

/** The notes by name: each its own, else with its file's, else numbered. */
function named(
  found: readonly Found<Note>[],
  { faulty }: Findings,
  isDocument: (id: string) => boolean,
): Map<string, NamedNote> {
  const held = new Set(faulty.flatMap(({ names }) => names ?? []));
  const notes = new Map<string, NamedNote>();
  const isFree = (name: string): boolean =>
    !notes.has(name) && !held.has(name) && !isDocument(name);
  for (const { value: note, changedAtMs } of found) {
    const withFile = `${note.memory.name} (${note.path.replace(/\.md$/, '')})`;
    let name = isFree(note.memory.name) ? note.memory.name : withFile;
    for (let nth = 2; !isFree(name); nth += 1) name = `${withFile} (${nth})`;
    notes.set(name, { name, note, changedAtMs });
  }
  return notes;
}
