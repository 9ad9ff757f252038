/** An open conversation with a Factory project's files: observe, read, apply, watch. */
import { stat } from 'node:fs/promises';
import { AppError, messageOf, toAppError } from '../../domain/errors.ts';
import { hashJson } from '../../domain/hash.ts';
import type { IdSource, RemoteId } from '../../domain/ids.ts';
import type {
  ApplyOutcome,
  Connector,
  ConnectorCapabilities,
  ConnectorLog,
  ConnectorPermissions,
  ObservePage,
  ObserveRequest,
  RemoteEntry,
  RemoteOp,
} from '../connector.ts';
import { applyToDocument, documentEntry } from './documents.ts';
import { editMemories, failed, remoteEntriesOf, remoteEntryOf } from './edit-memories.ts';
import { MAX_FILE_BYTES, type FactoryFilesConfig } from './factory-files-config.ts';
import { createLateWrites, type LateWrite } from './late-writes.ts';
import { isDocumentPath, listDocuments } from './list-documents.ts';
import { createBlockParser } from './markdown/parse-blocks.ts';
import { readMemories, type MemoryFile, type MemoryMapping } from './memories.ts';
import { mergeLateDocument, mergeLateMemories } from './merge-late.ts';
import { checkPlaces, isMissing, MEMORY_PATH, unreachable, type Place } from './places.ts';
import { readTextFile, requireText, type TextFile } from './read-file.ts';
import { createSafeWrite, type FileDecision } from './safe-write.ts';
import { watchPlaces } from './watch.ts';

export interface FileConnectorDeps {
  readonly config: FactoryFilesConfig;
  /** The project first, then the user's own folder if it is included. */
  readonly places: readonly Place[];
  readonly permissions: ConnectorPermissions;
  readonly capabilities: ConnectorCapabilities;
  readonly log: ConnectorLog;
  readonly newId: IdSource;
  /** When replaced files are looked at once more, ms after the look before. */
  readonly lateLooksMs: readonly number[];
}

const DEBOUNCE_MS = 10;
/** Part of every cursor, so that another way of reading the same bytes is not "unchanged". */
const MAPPING_VERSION = 1;

interface MemorySnapshot {
  readonly place: Place;
  readonly mapping: MemoryMapping;
  readonly file: MemoryFile;
  /** Null when the file does not exist. */
  readonly state: TextFile | null;
}

/** Opens nothing yet; every call looks at the folders anew. */
export function createFileConnector(deps: FileConnectorDeps): Connector {
  const { config, places, log } = deps;
  const { include } = config;
  const hasMemories = include.includes('memories');
  const parsers = new Map(places.map((place) => [place, createBlockParser()]));
  const serially = createQueue();
  const lateWrites = createLateWrites({
    merge: (late) => mergeLate(late),
    serially,
    onError: (thrown) => log.warn({ error: messageOf(thrown) }, 'a late write could not be merged'),
    delaysMs: deps.lateLooksMs,
  });
  const write = createSafeWrite({
    onReplaced: (replaced) => lateWrites.keep(replaced),
    newId: deps.newId,
  });

  const isDocument = (id: string): boolean => targetOf(id) !== null;

  /** Where a document's id points; null when it is none of the link's documents. */
  function targetOf(id: string): { readonly place: Place; readonly path: string } | null {
    const isPersonal = id.startsWith('~/');
    const place = places.find(({ idPrefix }) => idPrefix === (isPersonal ? '~/' : ''));
    const path = isPersonal ? id.slice(2) : id;
    return place && isDocumentPath(place, path, include) ? { place, path } : null;
  }

  function mappingOf(place: Place, isTaken: (name: string) => boolean): MemoryMapping {
    return {
      blocks: config.blocks,
      namePrefix: place.namePrefix,
      isTaken: (name) => isDocument(name) || isTaken(name),
      parse: parsers.get(place)!,
    };
  }

  /** The memory files now, the project's first: its names come first. @throws AppError for any fault */
  async function memorySnapshots(): Promise<readonly MemorySnapshot[]> {
    const snapshots: MemorySnapshot[] = [];
    for (const place of hasMemories ? places : []) {
      const taken = [...snapshots];
      const mapping = mappingOf(place, (name) => taken.some(({ file }) => file.entries.has(name)));
      const state = await requireText(place, MEMORY_PATH);
      const file = read(place, state?.text ?? '', mapping);
      snapshots.push({ place, mapping, file, state });
    }
    return snapshots;
  }

  async function observe({ since, signal }: ObserveRequest): Promise<ObservePage> {
    await ready();
    signal?.throwIfAborted();
    const snapshots: MemorySnapshot[] = [];
    const entries: RemoteEntry[] = [];
    const marks: [string, string][] = [];
    for (const snapshot of await memorySnapshots()) {
      snapshots.push(snapshot);
      marks.push([snapshot.place.idPrefix + MEMORY_PATH, snapshot.state?.hash ?? 'missing']);
      entries.push(...remoteEntriesOf(snapshot.file, snapshot.state?.changedAtMs ?? 0));
    }
    for (const place of places) {
      for (const path of await listDocuments(place, include)) {
        signal?.throwIfAborted();
        const state = await readTextFile(place, path);
        // Deleted since the listing: then it is absent, which is what it says.
        if (state.status === 'missing') continue;
        marks.push([place.idPrefix + path, state.status === 'text' ? state.hash : state.code]);
        entries.push(documentEntry(place.idPrefix + path, state));
      }
    }
    const cursor = hashJson([MAPPING_VERSION, config.blocks, [...include].sort(), marks]);
    const isUnchanged = since === cursor;
    return {
      mode: isUnchanged ? 'unchanged' : 'scan',
      entries: isUnchanged ? [] : entries,
      nextPage: null,
      cursor,
      isComplete: true,
    };
  }

  async function readItems(ids: readonly RemoteId[]): Promise<readonly RemoteEntry[]> {
    await ready();
    const isMemoryAsked = ids.some((id) => !isDocument(id));
    const snapshots = isMemoryAsked ? await memorySnapshots() : [];
    const entries: RemoteEntry[] = [];
    for (const id of ids) {
      const target = targetOf(id);
      const holder = snapshots.find(({ file }) => file.entries.has(id));
      if (target) entries.push(documentEntry(id, await readTextFile(target.place, target.path)));
      else if (holder) entries.push(remoteEntryOf(holder.file, id, holder.state?.changedAtMs));
      else entries.push({ status: 'absent', remoteId: id });
    }
    return entries;
  }

  async function apply(ops: readonly RemoteOp[]): Promise<readonly ApplyOutcome[]> {
    await ready();
    const outcomes = new Map<string, ApplyOutcome>();
    const keep = (done: readonly ApplyOutcome[]): void =>
      done.forEach((outcome) => outcomes.set(outcome.opId, outcome));
    const memoryOps = ops.filter((op) => op.kind === 'memory');
    if (memoryOps.length > 0) keep(await applyMemories(memoryOps));
    for (const op of ops.filter(({ kind }) => kind === 'document')) {
      keep([await unlessRaced([op], async () => [await applyDocument(op)]).then(([one]) => one!)]);
    }
    return ops.map((op) => outcomes.get(op.opId)!);
  }

  async function applyMemories(ops: readonly RemoteOp[]): Promise<readonly ApplyOutcome[]> {
    if (!hasMemories)
      return ops.map((op) => failed(op, 'ITEM_INVALID', 'this link includes no memories'));
    const snapshots = await memorySnapshots();
    const outcomes: ApplyOutcome[] = [];
    for (const { place, mapping } of snapshots) {
      const mine = ops.filter((op) => homeOf(op, snapshots) === place);
      if (mine.length === 0) continue;
      const decide = (now: TextFile | null): FileDecision<readonly ApplyOutcome[]> =>
        editedFile(now, mine, { mapping, place });
      outcomes.push(...(await unlessRaced(mine, () => write(place, MEMORY_PATH, decide))));
    }
    return outcomes;
  }

  async function applyDocument(op: RemoteOp): Promise<ApplyOutcome> {
    const target = targetOf(op.remoteId);
    if (!target) return failed(op, 'ITEM_INVALID', `"${op.remoteId}" is not included in this link`);
    const path = op.value?.['path'];
    if (typeof path !== 'string' || path === op.remoteId) return applyToDocument(op, target, write);
    const next = targetOf(path);
    if (!next) return failed(op, 'ITEM_INVALID', `"${path}" is not included in this link`);
    return moveDocument(op, { from: target, to: next });
  }

  /** A rename: the new file first, so that the document is never nowhere. */
  async function moveDocument(
    op: RemoteOp,
    way: {
      readonly from: NonNullable<ReturnType<typeof targetOf>>;
      readonly to: NonNullable<ReturnType<typeof targetOf>>;
    },
  ): Promise<ApplyOutcome> {
    const current = documentEntry(op.remoteId, await readTextFile(way.from.place, way.from.path));
    if (current.status !== 'present' || current.version !== op.expectedVersion) {
      return { status: 'moved', opId: op.opId, current };
    }
    const created = await applyToDocument(
      { ...op, action: 'create', expectedVersion: null },
      way.to,
      write,
    );
    if (created.status === 'moved') return failed(op, 'ITEM_NAME_TAKEN', `"${way.to.path}" exists`);
    if (created.status === 'applied') {
      await applyToDocument({ ...op, action: 'delete', value: null }, way.from, write);
    }
    return created;
  }

  async function mergeLate(late: LateWrite): Promise<void> {
    const { place, path, before, after, written } = late;
    log.info({ path }, 'a write to a file we had replaced is merged');
    await write(place, path, (now): FileDecision<null> => {
      const texts = { before: before.text, after: after.text, now: now?.text ?? null };
      const text =
        path === MEMORY_PATH
          ? mergeLateMemories(
              texts,
              mappingOf(place, () => false),
            )
          : mergeLateDocument(texts, written);
      if (text === null || text === now?.text) return { action: 'keep', result: null };
      return { action: 'replace', text, result: null };
    });
  }

  /** Before every call: the folders are there and allowed, and no late write is waiting. */
  async function ready(): Promise<void> {
    await checkRoot(places, deps.permissions);
    await lateWrites.look();
  }

  return {
    capabilities: deps.capabilities,
    probe: () => checkRoot(places, deps.permissions),
    observe: (request) => serially(() => observe(request)),
    read: (ids) => serially(() => readItems(ids)),
    apply: (ops) => serially(() => apply(ops)),
    watch: (onHint) =>
      watchPlaces({
        places,
        include,
        onHint,
        onError: (thrown) => log.warn({ error: messageOf(thrown) }, 'watching files failed'),
        debounceMs: DEBOUNCE_MS,
      }),
    close: () => serially(() => lateWrites.close()),
  };
}

/** The place an operation's item is in, or belongs to by its name. */
function homeOf(op: RemoteOp, snapshots: readonly MemorySnapshot[]): Place | undefined {
  const holder = snapshots.find(({ file }) => file.entries.has(op.remoteId));
  const named = snapshots.findLast(({ place }) => op.remoteId.startsWith(place.namePrefix));
  return (holder ?? named)?.place;
}

/** A text as items; what is wrong with it names the file. */
function read(place: Place, text: string, mapping: MemoryMapping): MemoryFile {
  try {
    return readMemories(text, mapping);
  } catch (thrown) {
    const { code, message } = toAppError(thrown);
    throw new AppError(code, `${place.idPrefix}${MEMORY_PATH}: ${message}`, { cause: thrown });
  }
}

/** Text a memory file is created with; what follows is the managed region. */
const NEW_FILE = '# Memories\n';

function editedFile(
  now: TextFile | null,
  ops: readonly RemoteOp[],
  where: { readonly mapping: MemoryMapping; readonly place: Place },
): FileDecision<readonly ApplyOutcome[]> {
  const { mapping, place } = where;
  const file = read(place, now?.text ?? NEW_FILE, mapping);
  const edit = editMemories(file, ops, mapping);
  const text = edit.file.source;
  if (text === file.source) return { action: 'keep', result: edit.outcomes };
  if (Buffer.byteLength(text) <= MAX_FILE_BYTES)
    return { action: 'replace', text, result: edit.outcomes };
  // A file we could not read again helps nobody: only what makes it smaller is done.
  const deletes = ops.filter(({ action }) => action === 'delete');
  const small = editMemories(file, deletes, mapping);
  const outcomes = ops.map(
    (op, at) =>
      small.outcomes[deletes.indexOf(op)] ??
      (edit.outcomes[at]?.status === 'applied'
        ? failed(op, 'REMOTE_TOO_LARGE', 'the file would become too large')
        : edit.outcomes[at]!),
  );
  const isKept = small.file.source === file.source;
  return isKept
    ? { action: 'keep', result: outcomes }
    : { action: 'replace', text: small.file.source, result: outcomes };
}

/** Losing a race is a result the engine retries, not an unknown state: nothing was written. */
async function unlessRaced(
  ops: readonly RemoteOp[],
  work: () => Promise<readonly ApplyOutcome[]>,
): Promise<readonly ApplyOutcome[]> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof AppError) || thrown.code !== 'REMOTE_WRITE_RACED') throw thrown;
    const { code, message } = thrown;
    return ops.map((op) => ({
      status: 'failed',
      opId: op.opId,
      code,
      detail: message,
      isRetryable: true,
    }));
  }
}

/** @throws AppError CONNECTOR_UNREACHABLE without the project folder, CONNECTOR_NOT_ALLOWED */
async function checkRoot(
  places: readonly Place[],
  permissions: ConnectorPermissions,
): Promise<void> {
  checkPlaces(places, permissions);
  const root = places[0]?.base ?? '';
  const found = await stat(root).catch((thrown: unknown) => {
    if (isMissing(thrown)) throw unreachable(root, new Error('the project folder does not exist'));
    throw unreachable(root, thrown);
  });
  if (!found.isDirectory()) throw unreachable(root, new Error('the project root is not a folder'));
}

/** Runs works one after the other; a failure is its caller's alone. */
function createQueue(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const next = last.then(work, work);
    last = next.catch(() => undefined);
    return next;
  };
}
