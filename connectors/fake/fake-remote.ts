/**
 * A remote in memory, for tests and benches: any grade, edits behind our back, and faults on
 * demand. Keeps what its grade promises and nothing more. A: compare-and-set, op ids remembered with
 * their answers, refusals included, and a feed that tells deletes. B: compare-and-set and scans. C: scans; a write that lands between its
 * check and its write (`hooks.inWindow`) is overwritten, as with a plain file.
 */
import { AppError, type ErrorCode } from '../../domain/errors.ts';
import type { RemoteId } from '../../domain/ids.ts';
import { itemName, type ItemKind } from '../../domain/item.ts';
import type { JsonObject } from '../../domain/json.ts';
import {
  holdsKind,
  type ApplyOutcome,
  type Connector,
  type ConnectorCapabilities,
  type Grade,
  type ObservePage,
  type ObserveRequest,
  type RemoteItem,
  type RemoteOp,
} from '../connector.ts';
import { checkOp, failure, writeOp, type FakeWriting } from './fake-apply.ts';
import {
  createFaultScript,
  lost,
  mischiefOf,
  sufferBefore,
  type FakeFault,
  type FakeMethod,
  type FakeMischief,
} from './fake-faults.ts';
import { createFakeListing, type FakeListing } from './fake-listing.ts';
import { createFakeStore, type FakeIds, type FakeVersions } from './fake-store.ts';

export interface FakeRemoteOptions {
  readonly grade: Grade;
  /** What ids are; `name` unless told. */
  readonly ids?: FakeIds;
  /** What versions are; hashes for grade C, counted otherwise, unless told. */
  readonly versions?: FakeVersions;
  /** Kinds it holds; both unless told. */
  readonly kinds?: readonly ItemKind[];
  /** Entries per page; 1,000 unless told. */
  readonly pageSize?: number;
  /** Most ops per apply; 500 unless told. */
  readonly maxBatch?: number;
  /** Whether it gives hints; true unless told. */
  readonly canWatch?: boolean;
  /** What it makes of values sent through the connector; nothing unless told. */
  readonly normalise?: (value: JsonObject) => JsonObject;
}

/** A call a hook is told of. */
export interface FakeCall {
  readonly method: FakeMethod;
  readonly ops: readonly RemoteOp[];
  readonly page: string | null;
}

/** Run at each call, also to edit behind the connector's back between any two steps. */
export interface FakeHooks {
  beforeCall?: ((call: FakeCall) => void | Promise<void>) | undefined;
  afterCall?: ((call: FakeCall) => void | Promise<void>) | undefined;
  /** Grade C only: between the version check and the write of one op. */
  inWindow?: ((op: RemoteOp) => void | Promise<void>) | undefined;
}

export interface FakeCounters {
  /** Calls of any method. */
  calls: number;
  /** Ops that changed something. */
  writes: number;
}

export interface FakeRemote {
  readonly capabilities: ConnectorCapabilities;
  /** Settable at any time. */
  readonly hooks: FakeHooks;
  readonly counters: FakeCounters;
  /** Opens a connector; several share the remote. */
  connect(): Connector;
  inject(fault: FakeFault): void;
  clearFaults(): void;
  /** Grade A: forgets the feed up to now; older cursors answer CURSOR_EXPIRED. */
  forgetFeed(): void;
  /** A user writes an item under its name (`name` of a memory, `path` of a document). */
  put(value: JsonObject, kind?: ItemKind): RemoteId;
  /** A user adds another item with a name that is taken; needs ids that are not names. */
  putTwin(value: JsonObject, kind?: ItemKind): RemoteId;
  /** A user deletes an item; none there is fine. */
  remove(remoteId: string): void;
  /** A user renames an item; returns its id afterwards. */
  rename(remoteId: string, name: string): RemoteId;
  /** The item becomes unreadable, until it is put again. */
  spoil(remoteId: string, code: ErrorCode): void;
  /** Changes or (null) loses an item behind its version and feed: a remote that lies. */
  tamper(remoteId: string, value: JsonObject | null): void;
  get(remoteId: string): JsonObject | null;
  /** Readable items, in the order they were first written. */
  all(): RemoteItem[];
}

/** A remote with nothing in it. */
export function createFakeRemote(options: FakeRemoteOptions): FakeRemote {
  const { grade, ids = 'name', pageSize = 1000 } = options;
  const { versions = grade === 'C' ? 'hashed' : 'counted' } = options;
  const capabilities = capabilitiesOf(options);
  const store = createFakeStore(ids, versions);
  const listing = createFakeListing({ store, grade, pageSize });
  const script = createFaultScript();
  const hooks: FakeHooks = {};
  const counters: FakeCounters = { calls: 0, writes: 0 };
  const hints = new Set<() => void>();
  const hint = () => {
    for (const onHint of hints) queueMicrotask(onHint);
  };
  const core: Core = {
    capabilities,
    listing,
    hooks,
    counters,
    hints,
    hint,
    next: script.next,
    answered: new Map(),
    writing: {
      store,
      holds: (kind) => holdsKind(capabilities, kind),
      normalise: options.normalise ?? asIs,
    },
  };
  const written = ({ remoteId }: RemoteItem): RemoteId => {
    hint();
    return remoteId;
  };
  return {
    capabilities,
    hooks,
    counters,
    connect: () => connect(core),
    inject: script.add,
    clearFaults: script.clear,
    forgetFeed: listing.forgetFeed,
    put(value, kind = 'memory') {
      const holder = store.idOfName(nameOf(kind, value));
      return written(store.write(holder, kind, value));
    },
    putTwin: (value, kind = 'memory') => written(store.write(null, kind, value)),
    remove: (id) => {
      if (store.items.has(id as RemoteId)) store.remove(id as RemoteId);
      hint();
    },
    rename(id, name) {
      const item = presentItem(store.items.get(id as RemoteId), id);
      const value = { ...item.value, [nameMember(item.kind)]: name };
      return written(store.write(item.remoteId, item.kind, value));
    },
    spoil(id, code) {
      store.setFault({ status: 'faulty', remoteId: id as RemoteId, code, detail: 'Spoiled.' });
      hint();
    },
    tamper: (id, value) => store.tamper(id as RemoteId, value),
    get(id) {
      const entry = store.items.get(id as RemoteId);
      return entry?.status === 'present' ? (entry.value ?? null) : null;
    },
    all: () => [...store.items.values()].filter((entry) => entry.status === 'present'),
  };
}

interface Core {
  readonly capabilities: ConnectorCapabilities;
  readonly listing: FakeListing;
  readonly hooks: FakeHooks;
  readonly counters: FakeCounters;
  readonly hints: Set<() => void>;
  readonly hint: () => void;
  readonly next: (method: FakeMethod) => readonly FakeMischief[];
  /** Grade A's memory of op ids. */
  readonly answered: Map<string, ApplyOutcome>;
  readonly writing: FakeWriting;
}

type CallDetail = Partial<Omit<FakeCall, 'method'>>;

function connect(core: Core): Connector {
  let isClosed = false;

  async function call<Answer>(
    method: FakeMethod,
    detail: CallDetail,
    work: (mischiefs: readonly FakeMischief[]) => Answer | Promise<Answer>,
  ): Promise<Answer> {
    if (isClosed) throw lost('The fake connector is closed.');
    const told: FakeCall = { method, ops: [], page: null, ...detail };
    core.counters.calls += 1;
    await core.hooks.beforeCall?.(told);
    const mischiefs = core.next(method);
    await sufferBefore(mischiefs);
    const answer = await work(mischiefs);
    await core.hooks.afterCall?.(told);
    return answer;
  }

  const connector: Connector = {
    capabilities: core.capabilities,
    probe: () => call('probe', {}, () => undefined),
    observe: (request) => call('observe', { page: request.page }, (m) => observe(core, request, m)),
    read: (ids) => call('read', {}, () => ids.map((id) => core.writing.store.entry(id))),
    apply: (ops) => call('apply', { ops }, (mischiefs) => applyAll(core, ops, mischiefs)),
    close: async () => void (isClosed = true),
  };
  if (!core.capabilities.canWatch) return connector;
  return {
    ...connector,
    watch: async (onHint) => {
      core.hints.add(onHint);
      return async () => void core.hints.delete(onHint);
    },
  };
}

function observe(
  core: Core,
  request: ObserveRequest,
  mischiefs: readonly FakeMischief[],
): ObservePage {
  const isReversed = mischiefOf(mischiefs, 'reordered') !== undefined;
  const page = core.listing.page(request, isReversed);
  if (mischiefOf(mischiefs, 'truncated')) {
    const entries = page.entries.slice(0, Math.ceil(page.entries.length / 2));
    return { ...page, entries, nextPage: null, cursor: null, isComplete: false };
  }
  if (!mischiefOf(mischiefs, 'doubled')) return page;
  return { ...page, entries: page.entries.flatMap((entry) => [entry, entry]) };
}

async function applyAll(
  core: Core,
  ops: readonly RemoteOp[],
  mischiefs: readonly FakeMischief[],
): Promise<ApplyOutcome[]> {
  const cut = mischiefOf(mischiefs, 'lost-answer');
  const refusal = mischiefOf(mischiefs, 'refuse-op');
  const outcomes: ApplyOutcome[] = [];
  for (const [index, op] of ops.entries()) {
    if (index === cut?.afterOps) break;
    const refuses = refusal?.index === index ? refusal : undefined;
    const outcome = applyOne(core, op, refuses);
    // Awaiting only where there is something to wait for keeps 10,000 ops within milliseconds.
    outcomes.push(outcome instanceof Promise ? await outcome : outcome);
  }
  core.hint();
  if (cut) throw lost('The answer of the fake remote was lost.');
  return outcomes;
}

type Refusal = Extract<FakeMischief, { kind: 'refuse-op' }>;

function applyOne(
  core: Core,
  op: RemoteOp,
  refuses?: Refusal,
): ApplyOutcome | Promise<ApplyOutcome> {
  const known = core.answered.get(op.opId);
  if (known) return known;
  const refusal = refuses
    ? failure(op, refuses.code ?? 'ITEM_INVALID', refuses.isRetryable)
    : checkOp(core.writing, op);
  if (refusal) return remembered(core, refusal);
  const { inWindow } = core.hooks;
  if (core.capabilities.grade !== 'C' || !inWindow) return commit(core, op);
  return (async () => {
    await inWindow(op);
    return commit(core, op);
  })();
}

function commit(core: Core, op: RemoteOp): ApplyOutcome {
  const before = core.writing.store.head();
  const outcome = writeOp(core.writing, op);
  if (core.writing.store.head() !== before) core.counters.writes += 1;
  return remembered(core, outcome);
}

/**
 * Grade A: keeps an answer for whoever asks again. A refusal counts too: a late twin of a create that
 * was refused would else bring back what was deleted since. What may be tried again is not kept.
 */
function remembered(core: Core, outcome: ApplyOutcome): ApplyOutcome {
  const isPassing = outcome.status === 'failed' && outcome.isRetryable;
  if (core.capabilities.grade === 'A' && !isPassing) core.answered.set(outcome.opId, outcome);
  return outcome;
}

function capabilitiesOf(options: FakeRemoteOptions): ConnectorCapabilities {
  return {
    grade: options.grade,
    deletes: options.grade === 'A' ? 'feed' : 'scan',
    canWatch: options.canWatch ?? true,
    hasStableIds: options.ids === 'assigned',
    kinds: options.kinds ?? ['memory', 'document'],
    maxBatch: options.maxBatch ?? 500,
  };
}

function presentItem(entry: { status: string } | undefined, id: string): RemoteItem {
  if (entry?.status === 'present') return entry as RemoteItem;
  throw new AppError('NOT_FOUND', `The fake remote has no readable item "${id}".`);
}

function nameOf(kind: ItemKind, value: JsonObject): string {
  const name = itemName(kind, value);
  if (name !== null) return name;
  throw new AppError('ITEM_INVALID', `The ${kind} has no ${nameMember(kind)}.`);
}

const nameMember = (kind: ItemKind): string => (kind === 'memory' ? 'name' : 'path');
const asIs = (value: JsonObject): JsonObject => value;
