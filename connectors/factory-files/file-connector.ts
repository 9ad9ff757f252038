/** An open conversation with a Factory project's files: observe, read, apply, watch. */
import { messageOf } from '../../domain/errors.ts';
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
import { applyToDocument, documentEntry, moveDocument, type DocumentPlace } from './documents.ts';
import { failed, remoteEntriesOf, remoteEntryOf } from './edit-memories.ts';
import type { FactoryFilesConfig } from './factory-files-config.ts';
import { createLateWrites, type LateWrite } from './late-writes.ts';
import { isDocumentPath, listDocuments } from './list-documents.ts';
import { createMemoryFiles } from './memory-files.ts';
import { mergeLateDocument, mergeLateMemories } from './merge-late.ts';
import { checkReachable, MEMORY_PATH, type Place } from './places.ts';
import { readTextFile } from './read-file.ts';
import { createSafeWrite, unlessRaced, type FileDecision } from './safe-write.ts';
import { createSerialQueue } from './serial-queue.ts';
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

/** What an observation found: entries, and each file's mark for the cursor. */
interface Findings {
  readonly entries: RemoteEntry[];
  readonly marks: [path: string, mark: string][];
}

/** Opens nothing yet; every call looks at the folders anew. */
export function createFileConnector(deps: FileConnectorDeps): Connector {
  const { config, places, log, permissions } = deps;
  const { include } = config;
  const serially = createSerialQueue();
  const memories = createMemoryFiles({ config, places, isDocument: (id) => targetOf(id) !== null });
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
    const isPersonal = id.startsWith('~/');
    const place = places.find(({ idPrefix }) => idPrefix === (isPersonal ? '~/' : ''));
    const path = isPersonal ? id.slice(2) : id;
    return place && isDocumentPath(place, path, include) ? { place, path } : null;
  }

  async function observe({ since, signal }: ObserveRequest): Promise<ObservePage> {
    await ready();
    const findings: Findings = { entries: [], marks: [] };
    await findMemories(findings);
    await findDocuments(findings, signal);
    const { entries, marks } = findings;
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

  async function findMemories({ entries, marks }: Findings): Promise<void> {
    for (const { place, file, state } of await memories.read()) {
      marks.push([place.idPrefix + MEMORY_PATH, state?.hash ?? 'missing']);
      entries.push(...remoteEntriesOf(file, state?.changedAtMs ?? 0));
    }
  }

  async function findDocuments(findings: Findings, signal?: AbortSignal): Promise<void> {
    for (const place of places) {
      for (const path of await listDocuments(place, include)) {
        signal?.throwIfAborted();
        const state = await readTextFile(place, path);
        // Deleted since the listing: then it is absent, which is what it says.
        if (state.status === 'missing') continue;
        const id = place.idPrefix + path;
        findings.marks.push([id, state.status === 'text' ? state.hash : state.code]);
        findings.entries.push(documentEntry(id, state));
      }
    }
  }

  async function readItems(ids: readonly RemoteId[]): Promise<readonly RemoteEntry[]> {
    await ready();
    const isMemoryAsked = ids.some((id) => targetOf(id) === null);
    const snapshots = isMemoryAsked ? await memories.read() : [];
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
    const outcomes: ApplyOutcome[] = [];
    const memoryOps = ops.filter((op) => op.kind === 'memory');
    if (memoryOps.length > 0) outcomes.push(...(await memories.apply(memoryOps, write)));
    for (const op of ops.filter(({ kind }) => kind === 'document')) {
      outcomes.push(...(await unlessRaced([op], async () => [await applyDocument(op)])));
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
    await write(place, path, (now): FileDecision<null> => {
      const texts = { before: before.text, after: after.text, now: now?.text ?? null };
      const text =
        path === MEMORY_PATH
          ? mergeLateMemories(texts, memories.mappingOf(place))
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
        places,
        include,
        onHint,
        onError: (thrown) => log.warn({ error: messageOf(thrown) }, 'watching files failed'),
        debounceMs: DEBOUNCE_MS,
      }),
    close: () => serially(() => lateWrites.close()),
  };
}
