/**
 * Looking at another hub. First everything under the prefix, from a list; then its change feed,
 * from the position the feed had before the list began, so that nothing falls between. A feed that
 * no longer reaches back that far means: everything again.
 */
import type { RemoteId } from '../../domain/ids.ts';
import { asRemoteId } from '../../domain/item.ts';
import type { Json } from '../../domain/json.ts';
import type { ObservePage, ObserveRequest, RemoteEntry, RemoteItem } from '../connector.ts';
import type { HubApi, HubChange, HubChanges, HubContext } from './hub-api.ts';
import type { OwnWrites } from './own-writes.ts';
import { sideBySide } from '../side-by-side.ts';

export interface HubSide {
  readonly api: HubApi;
  /** Start of the keys on the other side. */
  readonly prefix: string;
  readonly own: OwnWrites;
}

type Page = ObservePage<Json>;
type Entry = RemoteEntry<Json>;

const LIST_LIMIT = 200;
const FEED_LIMIT = 1000;
/** Reads at a time. */
export const READS_AT_ONCE = 8;
/** About as much is held at once of the values of a page; with reads under way some more. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
/** Deletes nobody meant for the other side: what ran out there has not run out here. */
const NOT_CARRIED = new Set(['ttl', 'retention']);

/** One page, as the port asks for it. @throws AppError CONNECTOR_UNREACHABLE, RATE_LIMITED */
export async function observeHub(side: HubSide, request: ObserveRequest): Promise<Page> {
  const { since, page, signal } = request;
  const listing = page === null ? null : listingOf(page);
  if (listing) return listPage(side, listing, signal);
  const from = page === null ? since : feedPositionOf(page);
  if (from !== null) {
    const seen = await feedPage(side, { from, isFirst: page === null }, signal);
    if (seen) return seen;
  }
  const head = await side.api.changes({ since: 'now', limit: 1 }, signal);
  if (head === 'expired') throw new TypeError('a head cannot be expired');
  return listPage(side, { head: head.cursor, cursor: null, after: null }, signal);
}

interface Listing {
  /** Where the feed stood before the list began. */
  readonly head: string;
  readonly cursor: string | null;
  /** Last key that was read of the page at `cursor`; null: none. */
  readonly after: string | null;
}

async function listPage(side: HubSide, listing: Listing, signal?: AbortSignal): Promise<Page> {
  const { api, prefix } = side;
  const { head, cursor, after } = listing;
  const { items, nextCursor } = await api.list({ prefix, limit: LIST_LIMIT, cursor }, signal);
  const left = items.map(({ key }) => key).filter((key) => after === null || isAfter(key, after));
  const read = await readUntilFull(left, (key) => readKey(side, key, signal));
  const isWhole = read.length === left.length;
  const isLast = isWhole && nextCursor === null;
  const next = isWhole
    ? { head, cursor: nextCursor, after: null }
    : { head, cursor, after: left[read.length - 1]! };
  return {
    mode: 'scan',
    // Gone between list and read: the feed will tell.
    entries: read.flatMap(({ entry }) => (entry?.status === 'present' ? [entry] : [])),
    nextPage: isLast ? null : pageOfListing(next),
    cursor: isLast ? head : null,
    isComplete: isLast,
  };
}

/** Hubs list keys in the order of their bytes. */
function isAfter(key: string, other: string): boolean {
  return Buffer.compare(Buffer.from(key), Buffer.from(other)) > 0;
}

interface Read {
  /** Null: nothing to tell. */
  readonly entry: Entry | null;
  /** What it holds of memory, about. */
  readonly bytes: number;
}

/** Reads a few at a time, in order, until enough is held; the answers are of the first so many. */
async function readUntilFull<From>(
  items: readonly From[],
  read: (item: From) => Promise<Read>,
): Promise<Read[]> {
  let bytes = 0;
  const done = await sideBySide(items, READS_AT_ONCE, async (item) => {
    // They are begun in order, so what is not read is the end.
    if (bytes >= MAX_PAGE_BYTES) return null;
    const one = await read(item);
    bytes += one.bytes;
    return one;
  });
  return done.filter((one) => one !== null);
}

/** Null: the feed does not reach back that far any more. */
async function feedPage(
  side: HubSide,
  { from, isFirst }: { from: string; isFirst: boolean },
  signal?: AbortSignal,
): Promise<Page | null> {
  const seen = await side.api.changes({ since: from, limit: FEED_LIMIT }, signal);
  if (seen === 'expired') return null;
  const { entries, cursor } = await entriesOf(side, seen, signal);
  const isLast = cursor === seen.cursor && seen.changes.length < FEED_LIMIT;
  return {
    mode: isFirst && seen.changes.length === 0 ? 'unchanged' : 'changes',
    entries,
    nextPage: isLast ? null : `feed ${cursor}`,
    cursor: isLast ? cursor : null,
    isComplete: isLast,
  };
}

/** What the changes come to, and the position up to which all of them are told. */
async function entriesOf(
  { api, own, prefix }: HubSide,
  { changes, cursor }: HubChanges,
  signal?: AbortSignal,
): Promise<{ entries: Entry[]; cursor: string }> {
  // In the order of each id's first change.
  const latest = new Map<RemoteId, HubChange>();
  for (const change of changes) {
    const id = idUnder(prefix, change.key);
    if (id !== null) latest.set(id, change);
  }
  const told = await readUntilFull([...latest], ([id, change]) =>
    readChange({ api, own }, { id, change, signal }),
  );
  const entries = told.flatMap(({ entry }) => (entry ? [entry] : []));
  const unread = [...latest.values()][told.length]?.key;
  if (unread === undefined) return { entries, cursor };
  const before = changes.findIndex(({ key }) => key === unread) - 1;
  return { entries, cursor: changes[before]!.cursor };
}

async function readChange(
  { api, own }: Pick<HubSide, 'api' | 'own'>,
  { id, change, signal }: { id: RemoteId; change: HubChange; signal: AbortSignal | undefined },
): Promise<Read> {
  if (change.deleted) {
    const entry = isMeant(change.reason) ? ({ status: 'absent', remoteId: id } as const) : null;
    return { entry, bytes: 0 };
  }
  const write = own.find(id, change.version);
  if (write?.kind) {
    const { kind, version } = write;
    const entry = { status: 'present', remoteId: id, kind, version: String(version) } as const;
    return { entry, bytes: 0 };
  }
  const context = await api.get(change.key, signal);
  // Gone since: a later row of the feed says so, and why.
  return context ? { entry: itemOf(id, context), bytes: context.bytes } : { entry: null, bytes: 0 };
}

/** Whether a delete for this reason is carried over. */
function isMeant(reason: string | null | undefined): boolean {
  return !NOT_CARRIED.has(reason ?? '');
}

/** Those of the named items, missing there, that nobody is known to have deleted. */
export async function lapsedItems(
  { api, prefix }: HubSide,
  ids: readonly RemoteId[],
  signal?: AbortSignal,
): Promise<RemoteId[]> {
  const deletions = await sideBySide(ids, READS_AT_ONCE, (id) => api.deletion(prefix + id, signal));
  return ids.filter((_, nth) => {
    const deletion = deletions[nth];
    return !deletion || !isMeant(deletion.reason);
  });
}

/** The named items now, in order. */
export async function readItems(
  side: HubSide,
  ids: readonly RemoteId[],
  signal?: AbortSignal,
): Promise<Entry[]> {
  return sideBySide(ids, READS_AT_ONCE, async (id) => {
    const { entry } = await readKey(side, side.prefix + id, signal);
    return entry;
  });
}

async function readKey(
  { api, prefix }: HubSide,
  key: string,
  signal?: AbortSignal,
): Promise<Read & { entry: Entry }> {
  const id = asRemoteId(key.slice(prefix.length));
  const context = await api.get(key, signal);
  return context
    ? { entry: itemOf(id, context), bytes: context.bytes }
    : { entry: { status: 'absent', remoteId: id }, bytes: 0 };
}

function itemOf(remoteId: RemoteId, context: HubContext): RemoteItem<Json> {
  return {
    status: 'present',
    remoteId,
    kind: context.kind,
    version: String(context.version),
    value: context.data,
    changedAtMs: Date.parse(context.updatedAt),
  };
}

/** The id of a key, or null for one outside the prefix. */
export function idUnder(prefix: string, key: string): RemoteId | null {
  return key.startsWith(prefix) ? asRemoteId(key.slice(prefix.length)) : null;
}

function listingOf(page: string): Listing | null {
  const [what, head = '', cursor = '', after = ''] = page.split(' ');
  if (what !== 'list') return null;
  const orNull = (text: string): string | null => (text === '' ? null : text);
  return { head, cursor: orNull(cursor), after: orNull(decodeURIComponent(after)) };
}

function pageOfListing({ head, cursor, after }: Listing): string {
  return `list ${head} ${cursor ?? ''} ${encodeURIComponent(after ?? '')}`;
}

function feedPositionOf(page: string): string {
  return page.slice('feed '.length);
}
