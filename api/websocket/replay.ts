/**
 * Replays the feed to one subscription from its `since` on and hands over to live delivery without
 * a gap: it listens before it reads a page, so whatever the page ends before is held already. It
 * reads no faster than the client does, and nothing for a client that is gone. Only the replay whose
 * turn it is holds a page or live changes, so that many of them take no more memory than few.
 */
import type { ContextStore, FeedWatch, WatchedChange } from '../../store/contract.ts';
import { isAfter, later } from './feed-position.ts';
import { loadChanged, withFields } from './load-fields.ts';
import { isSelected } from './selector.ts';
import type { Subscription } from './subscription.ts';
import type { TenantFeed } from './tenant-feed.ts';
import type { Turns } from './turns.ts';
import { createUpdateMessage } from './update-message.ts';

const PAGE = 500;

export interface ReplayDeps {
  readonly feed: FeedWatch;
  readonly contexts: ContextStore;
  /** Bounds how many replays read at once. */
  readonly turns: Turns;
}

/** How far a replay has come, for whoever must tell the client when it fails. */
export interface Progress {
  cursor: string;
  hasBegun: boolean;
}

/** What is replayed: to whom, beside which live feed, and how far it has come. */
export interface Replayed {
  readonly subscription: Subscription;
  readonly live: TenantFeed;
  readonly progress: Progress;
}

/**
 * Resolves when the subscription is live, or ended. `onBegin` is called once the feed is known to
 * hold everything since.
 *
 * @throws AppError INVALID_CURSOR, CURSOR_EXPIRED, UNAVAILABLE
 */
export async function replay(
  deps: ReplayDeps,
  replayed: Replayed,
  onBegin: () => void,
): Promise<void> {
  const { replays } = replayed.subscription.consumer;
  while (!(await replays.take(() => replayPage(deps, replayed, onBegin))));
}

/** Delivers the next page. Whether that was all: the subscription is live, or ended. */
async function replayPage(
  { feed, contexts, turns }: ReplayDeps,
  { subscription, live, progress }: Replayed,
  onBegin: () => void,
): Promise<boolean> {
  const { tenant, selector, consumer } = subscription;
  // A page that cannot be sent need not be read yet.
  await consumer.calm();
  if (subscription.isEnded) return true;
  const upTo = listen(subscription, live);
  const page = await turns.take(async () => {
    // It may have waited long for its turn.
    if (hasEnded(subscription)) return null;
    return feed.read(tenant, {
      after: progress.cursor,
      upTo,
      key: selector.kind === 'key' ? selector.value : undefined,
      prefix: selector.kind === 'prefix' ? selector.value : undefined,
      limit: PAGE,
      mustBeKept: !progress.hasBegun,
    });
  });
  if (page === null || hasEnded(subscription)) return true;
  if (!progress.hasBegun) onBegin();
  progress.hasBegun = true;
  for (const watched of page.changes) {
    if (hasEnded(subscription)) return true;
    await deliver(contexts, { subscription, watched, progress });
  }
  if (page.changes.length === PAGE) {
    // Until the next turn there is nothing to hold: the feed has it.
    live.index.remove(subscription);
    return false;
  }
  progress.cursor = later(progress.cursor, upTo);
  return deliverHeld(contexts, subscription, progress);
}

/** Holds live changes from now on; all before the answered position are in the feed already. */
function listen(subscription: Subscription, live: TenantFeed): string {
  subscription.held = [];
  subscription.hasOverflowed = false;
  live.index.add(subscription);
  return live.tailer.position() ?? '0.0';
}

/** Whether the subscription is live now; false: there was more than could be held. */
async function deliverHeld(
  contexts: ContextStore,
  subscription: Subscription,
  progress: Progress,
): Promise<boolean> {
  for (;;) {
    const watched = subscription.held?.shift();
    if (subscription.hasOverflowed || subscription.isEnded) return false;
    if (!watched) break;
    await deliver(contexts, { subscription, watched, progress });
  }
  subscription.held = null;
  subscription.after = progress.cursor;
  return true;
}

async function deliver(
  contexts: ContextStore,
  to: { subscription: Subscription; watched: WatchedChange; progress: Progress },
): Promise<void> {
  const { subscription, watched, progress } = to;
  const { fields, consumer, id, tenant } = subscription;
  const { cursor } = watched.change;
  const isNew = isAfter(cursor, progress.cursor);
  if (isNew && isSelected(subscription.selector, watched)) {
    const payload =
      fields === null
        ? watched.change
        : withFields(watched, await loadChanged(contexts, tenant, watched), fields);
    const bytes = createUpdateMessage(payload).bytesFor([id]);
    // Well before live updates would be refused: a replay must not push others behind.
    do await consumer.calm();
    while (!subscription.isEnded && !consumer.offer(bytes));
  }
  progress.cursor = later(progress.cursor, cursor);
}

// While something was awaited; TypeScript takes the flag for what it was before.
const hasEnded = (subscription: Subscription): boolean => subscription.isEnded;
