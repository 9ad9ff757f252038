/**
 * Looking at another hub. First everything under the prefix, from a list; then its change feed,
 * from the position the feed had before the list began, so that nothing falls between. A feed that
 * no longer reaches back that far means: everything again.
 */
import type { RemoteId } from '../../domain/ids.ts';
import { asRemoteId } from '../../domain/item.ts';
import type { Json } from '../../domain/json.ts';
import type { ObservePage, ObserveRequest, RemoteEntry, RemoteItem } from '../connector.ts';
import type { HubApi, HubChange, HubContext } from './hub-api.ts';
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
  return listPage(side, { head: head.cursor, cursor: null }, signal);
}

interface Listing {
  /** Where the feed stood before the list began. */
  readonly head: string;
  readonly cursor: string | null;
}

async function listPage(side: HubSide, listing: Listing, signal?: AbortSignal): Promise<Page> {
  const { api, prefix } = side;
  const query = { prefix, limit: LIST_LIMIT, cursor: listing.cursor };
  const { items, nextCursor } = await api.list(query, signal);
  const entries = await readKeys(
    side,
    items.map(({ key }) => key),
    signal,
  );
  const isLast = nextCursor === null;
  return {
    mode: 'scan',
    // Gone between list and read: the feed will tell.
    entries: entries.filter(({ status }) => status === 'present'),
    nextPage: isLast ? null : `list ${listing.head} ${nextCursor}`,
    cursor: isLast ? listing.head : null,
    isComplete: isLast,
  };
}

/** Null: the feed does not reach back that far any more. */
async function feedPage(
  side: HubSide,
  { from, isFirst }: { from: string; isFirst: boolean },
  signal?: AbortSignal,
): Promise<Page | null> {
  const seen = await side.api.changes({ since: from, limit: FEED_LIMIT }, signal);
  if (seen === 'expired') return null;
  const isLast = seen.changes.length < FEED_LIMIT;
  return {
    mode: isFirst && seen.changes.length === 0 ? 'unchanged' : 'changes',
    entries: await entriesOf(side, seen.changes, signal),
    nextPage: isLast ? null : `feed ${seen.cursor}`,
    cursor: isLast ? seen.cursor : null,
    isComplete: isLast,
  };
}

async function entriesOf(
  side: HubSide,
  changes: readonly HubChange[],
  signal?: AbortSignal,
): Promise<Entry[]> {
  const latest = new Map<RemoteId, HubChange>();
  for (const change of changes) {
    const id = idUnder(side.prefix, change.key);
    if (id !== null) latest.set(id, change);
  }
  const told = await sideBySide([...latest], READS_AT_ONCE, ([id, change]) =>
    entryOf(side, { id, change, signal }),
  );
  return told.filter((entry) => entry !== null);
}

async function entryOf(
  { api, own }: HubSide,
  { id, change, signal }: { id: RemoteId; change: HubChange; signal: AbortSignal | undefined },
): Promise<Entry | null> {
  if (change.deleted) {
    return NOT_CARRIED.has(change.reason ?? '') ? null : { status: 'absent', remoteId: id };
  }
  const write = own.find(id, change.version);
  if (write?.kind) {
    return { status: 'present', remoteId: id, kind: write.kind, version: String(write.version) };
  }
  const context = await api.get(change.key, signal);
  // Gone since: a later row of the feed says so, and why.
  return context && itemOf(id, context);
}

/** The named items now, in order. */
export async function readItems(
  side: HubSide,
  ids: readonly RemoteId[],
  signal?: AbortSignal,
): Promise<Entry[]> {
  return readKeys(
    side,
    ids.map((id) => side.prefix + id),
    signal,
  );
}

async function readKeys(
  { api, prefix }: HubSide,
  keys: readonly string[],
  signal?: AbortSignal,
): Promise<Entry[]> {
  return sideBySide(keys, READS_AT_ONCE, async (key) => {
    const id = asRemoteId(key.slice(prefix.length));
    const context = await api.get(key, signal);
    return context ? itemOf(id, context) : { status: 'absent', remoteId: id };
  });
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
  const [what, head = '', cursor = ''] = page.split(' ');
  return what === 'list' ? { head, cursor } : null;
}

function feedPositionOf(page: string): string {
  return page.slice('feed '.length);
}
