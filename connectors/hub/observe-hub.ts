/**
 * Looking at another hub. First everything under the prefix, from a list; then its change feed,
 * from the position the feed had before the list began, so that nothing falls between. A feed that
 * no longer reaches back that far means: everything again.
 */
import type { RemoteId } from '../../domain/ids.ts';
import { asRemoteId } from '../../domain/item.ts';
import type { Json } from '../../domain/json.ts';
import type { ObservePage, ObserveRequest, RemoteEntry } from '../connector.ts';
import {
  MAX_GETS,
  type HubApi,
  type HubChange,
  type HubChanges,
  type HubContext,
  type HubFault,
  type HubRow,
} from './hub-api.ts';
import type { CheckFarSide } from './not-itself.ts';
import type { OwnWrites } from './own-writes.ts';
import { sideBySide } from '../../domain/side-by-side.ts';

export interface HubSide {
  readonly api: HubApi;
  /** Start of the keys on the other side. */
  readonly prefix: string;
  readonly own: OwnWrites;
  readonly checkFarSide: CheckFarSide;
}

type Page = ObservePage<Json>;
type Entry = RemoteEntry<Json>;
/** Null: there is none, or it was not asked for. */
type Found = HubContext | HubFault | null;

const LIST_LIMIT = 200;
const FEED_LIMIT = 1000;
/** Questions about what became of a key, at a time. */
const ASKED_AT_ONCE = 8;
/** About as much is held at once of the values of a page; with the last answer some more. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
/** Deletes nobody meant for the other side: what ran out there has not run out here. */
const NOT_CARRIED = new Set(['ttl', 'retention']);

/** One page, as the port asks for it. @throws AppError CONNECTOR_UNREACHABLE, RATE_LIMITED */
export async function observeHub(side: HubSide, request: ObserveRequest): Promise<Page> {
  const { page, signal } = request;
  const since = request.isWhole ? null : request.since;
  const listing = page === null ? null : listingOf(page);
  if (listing) return listPage(side, listing, signal);
  const from = page === null ? since : feedPositionOf(page);
  if (from !== null) {
    const seen = await feedPage(side, { from, isFirst: page === null }, signal);
    if (seen) return seen;
  }
  const head = await side.api.changes({ since: 'now', limit: 1 }, signal);
  if (head === 'expired') throw new TypeError('a head cannot be expired');
  // The address may lead elsewhere by now.
  await side.checkFarSide(head.hubId);
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
  const left = items.filter(({ key }) => after === null || isAfter(key, after));
  // What is set aside anyway is not read: the other hub might have no key for it any more.
  const keyOf = ({ key, encrypted }: HubRow): string | null => (encrypted ? null : key);
  const read = await readUntilFull(api, left, { keyOf, signal });
  const isWhole = read.length === left.length;
  const isLast = isWhole && nextCursor === null;
  const next = isWhole
    ? { head, cursor: nextCursor, after: null }
    : { head, cursor, after: left[read.length - 1]!.key };
  return {
    mode: 'scan',
    // Gone between list and read: the feed will tell.
    entries: read.flatMap((context, nth) => {
      const { key, encrypted } = left[nth]!;
      const id = idOf(prefix, key);
      if (encrypted) return [setAside(id, KEPT_ENCRYPTED)];
      return context ? [itemOf(id, context)] : [];
    }),
    nextPage: isLast ? null : pageOfListing(next),
    cursor: isLast ? head : null,
    isComplete: isLast,
  };
}

/** Hubs list keys in the order of their bytes. */
function isAfter(key: string, other: string): boolean {
  return Buffer.compare(Buffer.from(key), Buffer.from(other)) > 0;
}

interface Reading<From> {
  /** The key to read; null: this one needs no reading. */
  readonly keyOf: (item: From) => string | null;
  readonly signal: AbortSignal | undefined;
}

/** Reads many at a time, in order, until enough is held; the answers are of the first so many. */
async function readUntilFull<From>(
  api: HubApi,
  items: readonly From[],
  { keyOf, signal }: Reading<From>,
): Promise<Found[]> {
  const done: Found[] = [];
  let bytes = 0;
  while (done.length < items.length && bytes < MAX_PAGE_BYTES) {
    const keys = items.slice(done.length, done.length + MAX_GETS).map(keyOf);
    const wanted = keys.filter((key) => key !== null);
    const found = wanted.length === 0 ? [] : await api.getMany(wanted, signal);
    bytes += found.reduce((sum, one) => sum + (one && 'size' in one ? one.size : 0), 0);
    let next = 0;
    for (const key of keys) {
      if (key !== null && next === found.length) break;
      done.push(key === null ? null : found[next++]!);
    }
  }
  return done;
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
  const seen = [...latest];
  const read = await readUntilFull(api, seen, {
    keyOf: ([id, change]) => (isRead(own, id, change) ? change.key : null),
    signal,
  });
  const entries = read.flatMap((context, nth) => {
    const [id, change] = seen[nth]!;
    return entryOf(own, { id, change, context }) ?? [];
  });
  const unread = seen[read.length]?.[1].key;
  if (unread === undefined) return { entries, cursor };
  const before = changes.findIndex(({ key }) => key === unread) - 1;
  return { entries, cursor: changes[before]!.cursor };
}

/** Whether a change says too little: what we wrote ourselves is known, what is deleted is gone. */
function isRead(own: OwnWrites, id: RemoteId, { deleted, version }: HubChange): boolean {
  return !deleted && !own.find(id, version)?.kind;
}

/** Null: nothing to tell. */
function entryOf(
  own: OwnWrites,
  of: { readonly id: RemoteId; readonly change: HubChange; readonly context: Found },
): Entry | null {
  const { id, change, context } = of;
  if (change.deleted) return isMeant(change.reason) ? { status: 'absent', remoteId: id } : null;
  const write = own.find(id, change.version);
  if (write?.kind) {
    const { kind, version } = write;
    return { status: 'present', remoteId: id, kind, version: String(version) };
  }
  // Gone since: a later row of the feed says so, and why.
  return context && itemOf(id, context);
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
  const deletions = await sideBySide(ids, ASKED_AT_ONCE, (id) => api.deletion(prefix + id, signal));
  return ids.filter((_, nth) => {
    const deletion = deletions[nth];
    return !deletion || !isMeant(deletion.reason);
  });
}

/** The named items now, in order. */
export async function readItems(
  { api, prefix }: HubSide,
  ids: readonly RemoteId[],
  signal?: AbortSignal,
): Promise<Entry[]> {
  const contexts: Found[] = [];
  while (contexts.length < ids.length) {
    const next = ids.slice(contexts.length, contexts.length + MAX_GETS);
    const keys = next.map((id) => prefix + id);
    contexts.push(...(await api.getMany(keys, signal)));
  }
  return ids.map((id, nth) => {
    const context = contexts[nth];
    return context ? itemOf(id, context) : { status: 'absent', remoteId: id };
  });
}

const idOf = (prefix: string, key: string): RemoteId => asRemoteId(key.slice(prefix.length));

const KEPT_ENCRYPTED =
  'the other hub keeps this context encrypted; links do not carry encrypted bodies';

function setAside(remoteId: RemoteId, detail: string): Entry {
  return { status: 'faulty', remoteId, code: 'ITEM_ENCRYPTED', detail };
}

function itemOf(remoteId: RemoteId, context: HubContext | HubFault): Entry {
  if ('fault' in context)
    return setAside(remoteId, `the other hub cannot open this context: ${context.fault}`);
  // It is shown to us in clear, and would be kept in clear here.
  if (context.encrypted) return setAside(remoteId, KEPT_ENCRYPTED);
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
  return key.startsWith(prefix) ? idOf(prefix, key) : null;
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
