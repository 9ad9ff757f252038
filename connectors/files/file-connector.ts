/** An open conversation with a link's files: observe, read, apply, watch. */
import type { Clock } from '../../domain/clock.ts';
import { AppError, messageOf } from '../../domain/errors.ts';
import { hashJson } from '../../domain/hash.ts';
import { canonicalJson, isJsonObject, type Json, type JsonObject } from '../../domain/json.ts';
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
import { applyToDocument, documentEntry, moveDocument, type DocumentPlace } from './documents.ts';
import { failed } from './edit-memories.ts';
import { createFileReader } from './file-reader.ts';
import type { FileLayout } from './file-layout.ts';
import { createLateWrites, type LateWrite } from './late-writes.ts';
import type { MemoryFiles, MemoryReading } from './memory-files.ts';
import { mergeLateDocument } from './merge-late.ts';
import { checkReachable } from './places.ts';
import { readTextFile } from './read-file.ts';
import { createSafeWrite, unlessRaced, type FileDecision } from './safe-write.ts';
import { createSerialQueue } from '../serial-queue.ts';
import { watchPlaces } from './watch.ts';

export interface FileConnectorDeps {
  readonly layout: FileLayout;
  /** The memory items; a memory may not be called as a document: an id must mean one thing. */
  readonly memories: (isDocument: (id: string) => boolean) => MemoryFiles;
  /** Whatever of the configuration changes how the same bytes read; part of every cursor. */
  readonly mapping: Json;
  readonly permissions: ConnectorPermissions;
  readonly capabilities: ConnectorCapabilities;
  readonly log: ConnectorLog;
  readonly newId: IdSource;
  readonly clock: Clock;
  /** When replaced files are looked at once more, ms after the look before. */
  readonly lateLooksMs: readonly number[];
}

const DEBOUNCE_MS = 10;
/** Part of every cursor, so that another way of reading the same bytes is not "unchanged". */
const MAPPING_VERSION = 1;

/** What an observation found: entries, and each file's mark for the cursor. */
interface Findings {
  readonly entries: RemoteEntry[];
  readonly marks: (readonly [path: string, mark: string])[];
}

/** Opens nothing yet; every call looks at the folders anew. */
export function createFileConnector(deps: FileConnectorDeps): Connector {
  const { layout, log, permissions } = deps;
  const { places } = layout;
  const serially = createSerialQueue();
  const reader = createFileReader(deps);
  const memories = deps.memories((id) => targetOf(id) !== null);
  const lateWrites = createLateWrites({
    merge: mergeLate,
    serially,
    onError: (thrown) => log.warn({ error: messageOf(thrown) }, 'a late write was not merged'),
    delaysMs: deps.lateLooksMs,
  });
  const write = createSafeWrite({
    onReplaced: (replaced) => lateWrites.keep(replaced),
    newId: deps.newId,
  });

  /** Where a document's id points; null when it is none of the link's documents. */
  function targetOf(id: string): DocumentPlace | null {
    const named = places.find(({ idPrefix }) => idPrefix !== '' && id.startsWith(idPrefix));
    const place = named ?? places.find(({ idPrefix }) => idPrefix === '');
    const path = id.slice(named?.idPrefix.length ?? 0);
    // `~` is nobody's folder in the project: such an id means the personal place or nothing.
    if (!place || (!named && id.startsWith('~/'))) return null;
    return layout.isDocument(place, path) ? { place, path } : null;
  }

  async function observe(request: ObserveRequest): Promise<ObservePage> {
    const { since, signal } = request;
    await ready();
    const reading = await memories.read(since === null ? null : trailOf(since));
    if (reading.unknown) throw new AppError(reading.unknown.code, reading.unknown.detail);
    const findings: Findings = { entries: [...reading.entries], marks: [...reading.marks] };
    await findDocuments(findings, signal);
    const { entries, marks } = findings;
    const hash = hashJson([MAPPING_VERSION, deps.mapping, marks.map((mark) => [...mark])]);
    const cursor = cursorOf(hash, reading.trail);
    const isUnchanged = since === cursor && !request.isDoubted && !request.isWhole;
    return {
      mode: isUnchanged ? 'unchanged' : 'scan',
      entries: isUnchanged ? [] : entries,
      nextPage: null,
      cursor,
      isComplete: true,
    };
  }

  async function findDocuments(findings: Findings, signal?: AbortSignal): Promise<void> {
    for (const place of places) {
      const paths = await layout.listDocuments(place);
      const states = await reader.readAll(place, paths, signal);
      for (const [at, state] of states.entries()) {
        // Deleted since the listing: then it is absent, which is what it says.
        if (state.status === 'missing') continue;
        const id = place.idPrefix + paths[at]!;
        findings.marks.push([id, state.status === 'text' ? state.hash : state.code]);
        findings.entries.push(documentEntry(id, state));
      }
    }
  }

  async function readItems(ids: readonly RemoteId[]): Promise<readonly RemoteEntry[]> {
    await ready();
    const isMemoryAsked = ids.some((id) => targetOf(id) === null);
    const reading = isMemoryAsked ? await memories.read() : null;
    const known = new Map(reading?.entries.map((entry) => [entry.remoteId, entry]));
    const entries: RemoteEntry[] = [];
    for (const id of ids) {
      const target = targetOf(id);
      if (target) entries.push(documentEntry(id, await readTextFile(target.place, target.path)));
      else entries.push(known.get(id) ?? missing(id, reading));
    }
    return entries;
  }

  async function apply(ops: readonly RemoteOp[]): Promise<readonly ApplyOutcome[]> {
    await ready();
    const outcomes: ApplyOutcome[] = [];
    const memoryOps = ops.filter((op) => op.kind === 'memory');
    if (memoryOps.length > 0) outcomes.push(...(await memories.apply(memoryOps, write)));
    for (const op of ops.filter(({ kind }) => kind !== 'memory')) {
      if (op.kind !== 'document')
        outcomes.push(failed(op, 'ITEM_INVALID', 'files hold memories and documents'));
      else outcomes.push(...(await unlessRaced([op], async () => [await applyDocument(op)])));
    }
    const byOp = new Map(outcomes.map((outcome) => [outcome.opId, outcome]));
    return ops.map((op) => byOp.get(op.opId)!);
  }

  async function applyDocument(op: RemoteOp): Promise<ApplyOutcome> {
    const path = op.value?.['path'];
    const isMove = typeof path === 'string' && path !== op.remoteId;
    const from = targetOf(op.remoteId);
    const to = isMove ? targetOf(path) : from;
    if (!from || !to) {
      const wrong = from && isMove ? path : op.remoteId;
      return failed(op, 'ITEM_INVALID', `"${wrong}" is not included in this link`);
    }
    return isMove ? moveDocument(op, { from, to }, write) : applyToDocument(op, from, write);
  }

  async function mergeLate({ place, path, before, after, written }: LateWrite): Promise<void> {
    log.info({ path }, 'a write to a file we had replaced is merged');
    await write(place, path, async (now): Promise<FileDecision<null>> => {
      const texts = { before: before.text, after: after.text, now: now?.text ?? null };
      const text = memories.owns(place, path)
        ? await memories.mergeLate(place, path, texts)
        : mergeLateDocument(texts, written);
      if (text === null || text === now?.text) return { action: 'keep', result: null };
      return { action: 'replace', text, result: null };
    });
  }

  /** Before every call: the folders are there and allowed, and no late write is waiting. */
  async function ready(): Promise<void> {
    await checkReachable(places, permissions);
    await lateWrites.look();
  }

  return {
    capabilities: deps.capabilities,
    probe: () => checkReachable(places, permissions),
    observe: (request) => serially(() => observe(request)),
    read: (ids) => serially(() => readItems(ids)),
    apply: (ops) => serially(() => apply(ops)),
    watch: (onHint) =>
      watchPlaces({
        layout,
        onHint,
        onError: (thrown) => log.warn({ error: messageOf(thrown) }, 'watching files failed'),
        debounceMs: DEBOUNCE_MS,
      }),
    close: () => serially(() => lateWrites.close()),
  };
}

/** An id nothing was found under; where a file is unreadable, it may stand in there. */
function missing(id: RemoteId, reading: MemoryReading | null): RemoteEntry {
  const fault = reading?.unknown;
  return fault ? { ...fault, remoteId: id } : { status: 'absent', remoteId: id };
}

function cursorOf(hash: string, trail: JsonObject): string {
  return Object.keys(trail).length === 0 ? hash : `${hash} ${canonicalJson(trail)}`;
}

/** The trail in a cursor of {@link cursorOf}; empty where there is none. */
function trailOf(cursor: string): JsonObject {
  const at = cursor.indexOf(' ');
  const trail = at < 0 ? {} : (JSON.parse(cursor.slice(at)) as Json);
  return isJsonObject(trail) ? trail : {};
}
