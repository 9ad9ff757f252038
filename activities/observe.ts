/**
 * Observing: first finish what a crash left open, then record what each side has now. Pages of the
 * remote are recorded as they come; absence counts only after the last page of a complete scan.
 */
import {
  holdsKind,
  type Connector,
  type ObservePage,
  type RemoteEntry,
  type RemoteItem,
} from '../connectors/contract.ts';
import { AppError, type ErrorCode } from '../domain/errors.ts';
import { hashText } from '../domain/hash.ts';
import type { RemoteId } from '../domain/ids.ts';
import type { ItemKind } from '../domain/item.ts';
import type { Json } from '../domain/json.ts';
import { placeOfHalfPair, remoteIdFault } from '../domain/storable.ts';
import type { NamelessItem, Naming, Sighting } from '../store/contract.ts';
import { TOO_COMPLEX } from './compute/body-work.ts';
import { createBreather } from './compute/breather.ts';
import type { Observed } from './contract.ts';
import { ENCRYPTED } from './encrypted-item.ts';
import { isKeyed, keyedNaming, keysOfEntry } from './item-identity.ts';
import { overlapping, type Overlap } from './overlap.ts';
import type { PassScope } from './pass-scope.ts';
import { finishIntents } from './execute.ts';

/** Changes looked at by one statement; the rows stay in Postgres. */
const HUB_PAGE = 10_000;
const NAMING_PAGE = 1_000;
/** Missing items asked about at once. */
const LAPSED_BATCH = 500;
const MAX_KEY_CODE_POINTS = 512;
/** Pages of the remote recorded at once, while the next is read and encoded. */
const PAGES_RECORDED = 2;

/** Items that were looked at, and how many of them were set aside. */
interface Named {
  readonly count: number;
  readonly setAside: number;
}

const NOTHING: Named = { count: 0, setAside: 0 };

export async function observe(scope: PassScope): Promise<Observed> {
  const recovered = scope.mayHaveIntents ? await finishIntents(scope) : 0;
  const { hasNameless, baselineTo, ...hub } = await observeHub(scope);
  const taken = baselineTo === null ? NOTHING : await takeBaseline(scope, baselineTo);
  const named = hasNameless ? await nameNewItems(scope) : NOTHING;
  const remote = await observeRemote(scope);
  const quarantined = taken.setAside + named.setAside + remote.quarantined;
  const changedHub = hub.changedHub + taken.count;
  return { ...hub, ...remote, changedHub, quarantined, recovered };
}

async function observeHub({ sync, ref, heartbeat }: PassScope): Promise<
  Pick<Observed, 'changedHub' | 'echo' | 'heldBack'> & {
    hasNameless: boolean;
    baselineTo: string | null;
  }
> {
  const seen = { changedHub: 0, echo: 0, heldBack: false, hasNameless: false };
  let baselineTo: string | null = null;
  for (let hasMore = true; hasMore;) {
    const page = await sync.observeHub(ref, HUB_PAGE);
    seen.changedHub += page.changed;
    seen.echo += page.echo;
    seen.heldBack = page.heldBack;
    // Asked of all items, so the last page knows.
    seen.hasNameless = page.hasNameless;
    hasMore = page.hasMore;
    baselineTo = page.baselineTo ?? null;
    heartbeat();
  }
  return { ...seen, baselineTo };
}

/** A first look at many contexts: recorded and named page by page. */
async function takeBaseline(scope: PassScope, head: string): Promise<Named> {
  const { sync, ref } = scope;
  const named = await nameByPage(scope, {
    read: (page) => sync.contextsInScope(ref, page),
    name: async (item) => ({ ...(await namingOf(scope, item)), contextKind: item.kind! }),
    record: (namings) => sync.insertNamed(ref, namings),
  });
  await sync.endBaseline(ref, head);
  return named;
}

/** A hub item's name on the remote comes from its body; only items without one are read. */
function nameNewItems(scope: PassScope): Promise<Named> {
  const { sync, ref } = scope;
  return nameByPage(scope, {
    read: (page) => sync.namelessItems(ref, page),
    name: (item) => namingOf(scope, item),
    record: (namings) => sync.nameItems(ref, namings),
  });
}

/**
 * Names items in key order; a page is recorded while the next is read. `record` answers how many it set
 * aside.
 */
async function nameByPage<Decided>(
  { heartbeat }: PassScope,
  steps: {
    readonly read: (page: { after: string; limit: number }) => Promise<readonly NamelessItem[]>;
    readonly name: (item: NamelessItem) => Promise<Decided>;
    readonly record: (named: readonly Decided[]) => Promise<number>;
  },
): Promise<Named> {
  const { read, name, record } = steps;
  let count = 0;
  let setAside = 0;
  const keep = async (named: readonly Decided[]): Promise<void> => {
    const unfit = await record(named);
    setAside += unfit;
  };
  await overlapping(async (overlap) => {
    for (let after = '', isDone = false; !isDone;) {
      const items = await read({ after, limit: NAMING_PAGE });
      const named = await Promise.all(items.map(name));
      if (items.length > 0) await overlap.start(() => keep(named));
      count += items.length;
      after = items.at(-1)?.key ?? after;
      isDone = items.length < NAMING_PAGE;
      heartbeat();
    }
  });
  return { count, setAside };
}

async function namingOf(
  { connector, link, work }: PassScope,
  { key, kind: given, isEncrypted, body }: NamelessItem,
): Promise<Naming> {
  if (isKeyed(connector.capabilities)) return keyedNaming(link, { key, kind: given });
  if (given === null) return { key, status: 'gone' };
  const kind: ItemKind = given === 'document' ? 'document' : 'memory';
  if (!holdsKind(connector.capabilities, kind)) return { key, status: 'excluded' };
  const unfit = (code: ErrorCode, detail: string): Naming => ({
    key,
    status: 'quarantined',
    fault: { code, detail },
  });
  if (isEncrypted) return unfit(ENCRYPTED.code, ENCRYPTED.detail);
  if (!body) return unfit('ITEM_INVALID', 'the body of the context is gone');
  const judged = await work.judge({ kind, body });
  if (judged.status === 'refused') return unfit('ITEM_TOO_COMPLEX', judged.detail);
  const { result } = judged;
  if (result.status === 'too-complex') return unfit('ITEM_TOO_COMPLEX', TOO_COMPLEX);
  if (result.status === 'fit') {
    const fault = remoteIdFault(result.name);
    if (fault !== null) return unfit('ITEM_INVALID', fault);
    return { key, status: 'named', kind, remoteId: result.name as RemoteId };
  }
  return unfit('ITEM_INVALID', `the context is not a ${kind} item (${result.where})`);
}

async function observeRemote(
  scope: PassScope,
): Promise<
  Omit<Observed, 'changedHub' | 'echo' | 'heldBack' | 'recovered'> & { quarantined: number }
> {
  const { sync, ref } = scope;
  const { last, sightings, seenIds, ...seen } = await overlapping(
    (overlap) => readRemote(scope, overlap),
    PAGES_RECORDED,
  );
  if (!last.isComplete) {
    await sync.recordSightings(ref, sightings);
    // Without its certificate a listing proves nothing about what it does not show (P15).
    throw new AppError('SCAN_INCOMPLETE', 'the remote gave an incomplete listing', {
      retryable: true,
    });
  }
  const isScan = last.mode === 'scan' && seenIds !== null;
  const { inDoubt, gone, hasWork } = await sync.completeObservation(ref, {
    sightings,
    cursor: last.cursor,
    seenIds: isScan ? seenIds : null,
    lapsedIds: isScan && scope.connector.lapsed ? await lapsedBeside(scope, seenIds) : [],
    scansNeeded: scope.scansNeeded,
  });
  const { observed, quarantined } = seen;
  return { observed, changedRemote: seen.changed + gone, inDoubt, hasWork, quarantined };
}

async function lapsedBeside(
  scope: PassScope,
  seenIds: readonly RemoteId[],
): Promise<readonly RemoteId[]> {
  return lapsedAmong(scope, await scope.sync.missingIds(scope.ref, seenIds));
}

/** Those of the missing items that nobody is known to have deleted. */
export async function lapsedAmong(
  { connector, signal, heartbeat }: PassScope,
  missing: readonly RemoteId[],
): Promise<readonly RemoteId[]> {
  const lapsed: RemoteId[] = [];
  if (!connector.lapsed) return lapsed;
  for (let from = 0; from < missing.length; from += LAPSED_BATCH) {
    lapsed.push(...(await connector.lapsed(missing.slice(from, from + LAPSED_BATCH), signal)));
    heartbeat();
  }
  return lapsed;
}

interface RemoteRead {
  readonly last: ObservePage<Json>;
  /** Of the last page, not recorded yet. */
  readonly sightings: readonly Sighting[];
  /** Null: nothing was recorded before, so nothing can be missing. */
  readonly seenIds: readonly RemoteId[] | null;
  readonly observed: number;
  readonly changed: number;
  /** Set aside now, and not before. */
  readonly quarantined: number;
}

/** Reads page after page; some are recorded while the next is read and encoded. */
async function readRemote(scope: PassScope, overlap: Overlap): Promise<RemoteRead> {
  const { sync, ref, heartbeat } = scope;
  // A first look at a million items need not remember them.
  const mayMiss = scope.remoteCursor !== null || (await sync.hasRemoteItems(ref));
  const seenIds: RemoteId[] | null = mayMiss ? [] : null;
  let [observed, changed, quarantined] = [0, 0, 0];
  const recording: Set<RemoteId>[] = [];
  for (let next: string | null = null; ;) {
    const page = await observePage(scope, next);
    // Recorded before the listing has proved complete, or for no cursor at all.
    const isPart = next === null && (page.nextPage !== null || !page.isComplete);
    if (isPart && page.mode === 'scan') await sync.doubtCursor(ref);
    observed += page.entries.length;
    for (const entry of page.entries) if (entry.status !== 'absent') seenIds?.push(entry.remoteId);
    // What is recorded of an id is known only once the page that showed it before is recorded.
    const isShownAgain = ({ remoteId }: { readonly remoteId: RemoteId }): boolean =>
      recording.some((ids) => ids.has(remoteId));
    if (page.entries.some(isShownAgain)) await overlap.rest();
    const { sightings, setAside } = await sight(scope, page.entries);
    changed += sightings.length;
    quarantined += setAside;
    next = page.nextPage;
    heartbeat();
    if (next === null) return { last: page, sightings, seenIds, observed, changed, quarantined };
    recording.push(new Set(page.entries.map(({ remoteId }) => remoteId)));
    if (recording.length > PAGES_RECORDED) recording.shift();
    await overlap.start(() => sync.recordSightings(ref, sightings));
  }
}

/** A remote that no longer knows our cursor is read whole instead: a scan shows all a feed would. */
async function observePage(scope: PassScope, page: string | null): Promise<ObservePage<Json>> {
  const { connector, remoteCursor: since, isCursorDoubted: isDoubted, signal } = scope;
  const isWhole = scope.mustLookWhole;
  try {
    return await connector.observe({ since, isDoubted, isWhole, page, signal });
  } catch (error) {
    const isExpired = error instanceof AppError && error.code === 'CURSOR_EXPIRED';
    if (!isExpired || since === null || isWhole || page !== null) throw error;
    return connector.observe({ since, isWhole: true, page: null, signal });
  }
}

/**
 * The entries of a page that differ from what is recorded, with their bodies, and how many of them
 * are to be set aside that were not.
 */
async function sight(
  scope: PassScope,
  entries: readonly RemoteEntry<Json>[],
): Promise<{ sightings: readonly Sighting[]; setAside: number }> {
  const { sync, ref, connector, signal } = scope;
  if (entries.length === 0) return { sightings: [], setAside: 0 };
  // A page may hold an entry twice; the later one is the newer.
  const latest = new Map(entries.map((entry) => [entry.remoteId, entry]));
  const known = await sync.knownRemotes(ref, [...latest.keys()]);
  const differing = [...latest.values()].filter((entry) => {
    const recorded = known.get(entry.remoteId);
    if (entry.status === 'faulty') return recorded?.status !== 'faulty';
    if (entry.status === 'absent') return recorded !== undefined && recorded.status !== 'absent';
    const isKnownFaulty = recorded?.status === 'faulty' && recorded.version !== null;
    if (recorded?.status !== 'present' && !isKnownFaulty) return true;
    return recorded.version !== entry.version;
  });
  const complete = await withValues(connector, differing, signal);
  const breathe = createBreather(scope.clock);
  const sightings: Promise<Sighting>[] = [];
  for (const entry of complete) {
    await breathe();
    const isKnown = known.has(entry.remoteId);
    sightings.push(sightingOf(scope, entry).then((seen) => ({ ...seen, isKnown })));
  }
  const seen = await Promise.all(sightings);
  const isNewlyFaulty = ({ status, remoteId }: Sighting): boolean =>
    status === 'faulty' && known.get(remoteId)?.status !== 'faulty';
  return { sightings: seen, setAside: seen.filter(isNewlyFaulty).length };
}

/** Fills in the values a listing left out. */
export async function withValues(
  connector: Connector<Json>,
  entries: readonly RemoteEntry<Json>[],
  signal: AbortSignal,
): Promise<readonly RemoteEntry<Json>[]> {
  const bare = entries.filter((entry) => entry.status === 'present' && entry.value === undefined);
  if (bare.length === 0) return entries;
  const read = await connector.read(
    bare.map((entry) => entry.remoteId),
    signal,
  );
  const values = new Map(read.map((entry) => [entry.remoteId, entry]));
  return entries.map((entry) => values.get(entry.remoteId) ?? entry);
}

type Seen = Omit<Sighting, 'isKnown'>;

/** An entry of the remote as it is recorded. */
export async function sightingOf(scope: PassScope, entry: RemoteEntry<Json>): Promise<Seen> {
  if (entry.status === 'present') return presentSighting(scope, entry);
  const kind = (entry.status === 'faulty' ? entry.kind : null) ?? 'memory';
  const bare = { remoteId: entry.remoteId, kind, version: null, body: null, changedAtMs: null };
  const keys = keysFor(scope, { remoteId: entry.remoteId, kind });
  if (entry.status === 'absent') return { ...bare, ...keys, status: 'absent', fault: null };
  const fault = { code: entry.code, detail: entry.detail };
  return { ...bare, ...keys, status: 'faulty', fault };
}

async function presentSighting(scope: PassScope, entry: RemoteItem<Json>): Promise<Seen> {
  const { remoteId, kind, version, value = {} } = entry;
  const keys = keysFor(scope, { remoteId, kind, value });
  const common = { remoteId, ...keys, kind, changedAtMs: entry.changedAtMs ?? null };
  if ([...keys.spareKey].length > MAX_KEY_CODE_POINTS) {
    const fault = {
      code: 'INVALID_KEY',
      detail: 'the name is too long for a key under this prefix',
    };
    const short = keysFor(scope, { remoteId: hashText(remoteId) as string as RemoteId, kind });
    return { ...common, ...short, status: 'faulty', version: null, body: null, fault };
  }
  const encoded = await scope.work.encode(value);
  if (encoded.status === 'refused') {
    // The version is kept: while it stays the same, the item is not worked on again.
    const fault = { code: 'ITEM_TOO_COMPLEX', detail: encoded.detail };
    return { ...common, status: 'faulty', version, body: null, fault };
  }
  const place = placeOfHalfPair(value);
  if (place !== null) {
    const detail = `a text holds half of a surrogate pair, which is no Unicode (at ${place})`;
    return {
      ...common,
      status: 'faulty',
      version,
      body: null,
      fault: { code: 'ITEM_INVALID', detail },
    };
  }
  return { ...common, status: 'present', version, body: encoded.result, fault: null };
}

function keysFor(
  { link, connector }: PassScope,
  entry: Parameters<typeof keysOfEntry>[1],
): ReturnType<typeof keysOfEntry> {
  return keysOfEntry({ link, isByKey: isKeyed(connector.capabilities) }, entry);
}
