/** One subscription, from `subscribed` to its end; and who gets what it delivers. */
import type { TenantId } from '../../domain/ids.ts';
import type { WatchedChange } from '../../store/contract.ts';
import { isAfter, isIn, isPast, type Snapshot } from './feed-position.ts';
import type { Selector } from './selector.ts';
import type { Turns } from './turns.ts';

/** The other end of subscriptions: a connection. Nothing here ever waits for it. */
export interface Consumer {
  /** Takes a message, or refuses it because too much is still on its way to a slow reader. */
  offer(message: Buffer): boolean;
  /** Resolves when little is on its way, or the connection is gone. */
  calm(): Promise<void>;
  /** Replays to it at once: what they have read waits in memory until the client takes it. */
  readonly replays: Turns;
}

export interface Subscription {
  /** Unique within its consumer. */
  readonly id: string;
  readonly tenant: TenantId;
  readonly selector: Selector;
  /** Comma-separated; null: only the change itself. */
  readonly fields: string | null;
  /** Where the client wants to go on; null: now. */
  readonly since: string | null;
  readonly consumer: Consumer;
  /** Told when the server ends it because its consumer has fallen behind: go on after `since`. */
  readonly onBehind: (since: string) => void;
  /** Live changes up to this position are not wanted; null: all are. */
  after: string | null;
  /** What was committed before it began is not wanted, even if the feed shows it later. */
  before: Snapshot | null;
  /** Live changes set aside while older ones are replayed; null: it is live. */
  held: WatchedChange[] | null;
  /** It could not hold them all, listens no more, and reads them from the feed instead. */
  hasOverflowed: boolean;
  isEnded: boolean;
}

/** Changes held for one subscription. */
const MAX_HELD = 1000;

/** Whether a live change at this position is news to the subscription. Asked in feed order. */
export function isNews(subscription: Subscription, position: string): boolean {
  const { after, before } = subscription;
  if (after !== null) {
    if (!isAfter(position, after)) return false;
    subscription.after = null;
  }
  if (before === null) return true;
  if (isPast(before, position)) subscription.before = null;
  return !isIn(before, position);
}

/** Sets a live change aside while older ones are replayed. */
export function hold(subscription: Subscription, watched: WatchedChange): void {
  const { held } = subscription;
  if (held === null || subscription.hasOverflowed) return;
  if (held.length < MAX_HELD) {
    held.push(watched);
    return;
  }
  subscription.hasOverflowed = true;
  subscription.held = [];
}
