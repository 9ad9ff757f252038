/** One tenant's subscriptions of this process: who gets which live change. */
import type { Logger } from 'pino';
import type { TenantId } from '../../domain/ids.ts';
import type { ContextStore, FeedWatch, WatchedChange } from '../../store/contract.ts';
import type { ApiDeps } from '../ports.ts';
import { createDetailLine } from './detail-line.ts';
import { createFeedTailer, type FeedTailer } from './feed-tailer.ts';
import { hold, isNews, type Consumer, type Subscription } from './subscription.ts';
import { createSubscriptionIndex, type SubscriptionIndex } from './subscription-index.ts';
import { createUpdateMessage, type UpdateMessage } from './update-message.ts';

export interface TenantFeedDeps {
  readonly tenant: TenantId;
  readonly feed: FeedWatch;
  readonly contexts: ContextStore;
  readonly waitForChange: ApiDeps['waitForChange'];
  readonly log: Logger;
}

export interface TenantFeed {
  readonly index: SubscriptionIndex<Subscription>;
  readonly tailer: FeedTailer;
  stop(): void;
}

/** Follows the feed from now on and delivers to whoever is in the index. */
export function createTenantFeed(deps: TenantFeedDeps): TenantFeed {
  const index = createSubscriptionIndex<Subscription>();

  function fallBehind(subscription: Subscription, before: string): void {
    if (subscription.isEnded) return;
    subscription.isEnded = true;
    index.remove(subscription);
    subscription.onBehind(before);
  }

  /** Once per connection, with all of its subscriptions that the change is for. */
  function send(message: UpdateMessage, to: readonly Subscription[], before: string): void {
    for (const [consumer, group] of byConsumer(to)) {
      if (consumer.offer(message.bytesFor(group.map((each) => each.id)))) continue;
      for (const each of group) fallBehind(each, before);
    }
  }

  const details = createDetailLine({ ...deps, send, fallBehind });

  function dispatch(watched: WatchedChange, before: string): void {
    const plain: Subscription[] = [];
    const detailed: Subscription[] = [];
    for (const each of index.wanting(watched)) {
      if (!isNews(each, watched.change.cursor)) continue;
      if (each.held !== null) hold(each, watched);
      else if (each.fields === null) plain.push(each);
      else detailed.push(each);
    }
    if (plain.length > 0) send(createUpdateMessage(watched.change), plain, before);
    if (detailed.length > 0) details.push({ watched, before, subscriptions: detailed });
  }

  const tailer = createFeedTailer({ ...deps, onChange: dispatch });
  return { index, tailer, stop: () => tailer.stop() };
}

function byConsumer(subscriptions: readonly Subscription[]): Map<Consumer, Subscription[]> {
  const groups = new Map<Consumer, Subscription[]>();
  for (const each of subscriptions) {
    const group = groups.get(each.consumer);
    if (group) group.push(each);
    else groups.set(each.consumer, [each]);
  }
  return groups;
}
