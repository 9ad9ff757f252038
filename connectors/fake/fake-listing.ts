/**
 * How a fake remote lists itself: feed (grade A, once it has a cursor) or scan, page by page.
 * The ids of a listing are fixed at its first page, the items are read at theirs. A feed's cursor is
 * the revision the listing started from: what changes meanwhile belongs to the next one. Without a
 * feed there are no revisions, as with a plain file: the cursor is a hash of what was shown.
 */
import { AppError } from '../../domain/errors.ts';
import { hashText } from '../../domain/hash.ts';
import type { RemoteId } from '../../domain/ids.ts';
import type {
  Grade,
  ObservePage,
  ObserveRequest,
  RemoteEntry,
  RemoteFault,
  RemoteItem,
} from '../connector.ts';
import type { FakeStore } from './fake-store.ts';

/** Listings begun and not finished that are remembered. */
const MAX_OPEN_LISTINGS = 32;

interface Listing {
  readonly mode: 'changes' | 'scan';
  readonly ids: readonly RemoteId[];
  /** Revision it started from. */
  readonly head: number;
  /** What was shown so far: id → version. */
  readonly shown: Map<RemoteId, string>;
}

export interface FakeListing {
  /** @throws AppError INVALID_CURSOR, CURSOR_EXPIRED */
  page(request: ObserveRequest, isReversed: boolean): ObservePage;
  /** Cursors given until now expire. */
  forgetFeed(): void;
}

/** Lists a store. */
export function createFakeListing(of: {
  readonly store: FakeStore;
  readonly grade: Grade;
  readonly pageSize: number;
}): FakeListing {
  const { store, grade, pageSize } = of;
  const open = new Map<string, Listing>();
  let begun = 0;
  let oldestCursor = 0;
  let state = { head: -1, cursor: '' };

  /** The cursor that would be given now. */
  function cursorNow(): string {
    if (grade === 'A') return cursorOf(store.head());
    if (state.head !== store.head()) {
      const shown = [...store.items.values()].map(
        (entry) => [entry.remoteId, markOf(entry)] as const,
      );
      state = { head: store.head(), cursor: stateOf(shown) };
    }
    return state.cursor;
  }

  function begin(since: string | null, isReversed: boolean): Listing {
    const revision = since === null || grade !== 'A' ? null : revisionOf(since);
    const isFeed = revision !== null;
    if (isFeed && revision < oldestCursor) {
      throw new AppError('CURSOR_EXPIRED', 'The fake remote no longer has that part of its feed.');
    }
    const ids = isFeed ? store.changedSince(revision) : [...store.items.keys()];
    if (isReversed) ids.reverse();
    return { mode: isFeed ? 'changes' : 'scan', ids, head: store.head(), shown: new Map() };
  }

  function entries(listing: Listing, from: number): RemoteEntry[] {
    const ids = listing.ids.slice(from, from + pageSize).map((id) => store.entry(id));
    if (listing.mode === 'changes') return ids;
    // A scan shows what is there; only a feed tells what is not.
    const there = ids.filter((entry) => entry.status !== 'absent');
    for (const entry of there) listing.shown.set(entry.remoteId, markOf(entry));
    return there;
  }

  function cursorAfter({ head, shown }: Listing): string {
    return grade === 'A' ? cursorOf(head) : stateOf([...shown]);
  }

  return {
    page({ since: given, page, isDoubted, isWhole }, isReversed) {
      const since = isWhole ? null : given;
      const mayBeUnchanged = page === null && (grade === 'A' || !isDoubted);
      if (mayBeUnchanged && since === cursorNow()) return unchanged(since);
      const [id, from] = page === null ? [`${(begun += 1)}`, 0] : parsePage(page);
      const listing = page === null ? begin(since, isReversed) : open.get(id);
      if (!listing) throw new AppError('INVALID_CURSOR', 'The fake remote knows no such page.');
      const next = from + pageSize;
      const isLast = next >= listing.ids.length;
      if (!isLast) open.set(id, listing);
      if (open.size > MAX_OPEN_LISTINGS) open.delete(open.keys().next().value!);
      return {
        mode: listing.mode,
        entries: entries(listing, from),
        nextPage: isLast ? null : `${id}:${next}`,
        cursor: isLast ? cursorAfter(listing) : null,
        isComplete: isLast,
      };
    },
    forgetFeed: () => void (oldestCursor = store.head() + 1),
  };
}

function unchanged(cursor: string): ObservePage {
  return { mode: 'unchanged', entries: [], nextPage: null, cursor, isComplete: true };
}

const cursorOf = (revision: number): string => `c${revision}`;

function markOf(entry: RemoteItem | RemoteFault): string {
  return entry.status === 'present' ? entry.version : entry.code;
}

function stateOf(shown: readonly (readonly [id: RemoteId, mark: string])[]): string {
  return hashText(JSON.stringify(shown.toSorted(([a], [b]) => (a < b ? -1 : 1))));
}

function revisionOf(cursor: string): number {
  const digits = /^c(\d+)$/.exec(cursor)?.[1];
  if (digits) return Number(digits);
  throw new AppError('INVALID_CURSOR', 'The fake remote gave no such cursor.');
}

function parsePage(page: string): [id: string, from: number] {
  const [id = '', from = ''] = page.split(':');
  return [id, Number(from)];
}
