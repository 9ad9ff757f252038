/** All subscriptions of this process: one follower of the change feed per tenant that has any. */
import type { Logger } from 'pino';
import { AppError, messageOf } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { ContextStore, FeedWatch } from '../../store/contract.ts';
import type { ApiDeps, SocketMeasures } from '../ports.ts';
import { replay, type Progress } from './replay.ts';
import type { Subscription } from './subscription.ts';
import { createTenantFeed, type TenantFeed } from './tenant-feed.ts';
import { createTurns } from './turns.ts';

/** Replays that read from Postgres at once; requests need connections, too. */
const MAX_REPLAYS = 4;

export interface ChangeHubDeps {
  readonly feed: FeedWatch;
  readonly contexts: ContextStore;
  readonly waitForChange: ApiDeps['waitForChange'];
  readonly maxSubscriptions: number;
  readonly measures: SocketMeasures;
  readonly log: Logger;
}

export interface ChangeHub {
  /**
   * Begins to deliver; `onReady` gets the position updates come after. What goes wrong before that
   * is thrown, what goes wrong later ends the subscription with its `onBehind`.
   *
   * @throws AppError TOO_MANY_SUBSCRIPTIONS, INVALID_CURSOR, CURSOR_EXPIRED, UNAVAILABLE
   */
  open(subscription: Subscription, onReady: (cursor: string) => void): Promise<void>;
  /** Ends it; to be called once for every subscription that was opened, however it ended. */
  close(subscription: Subscription): void;
  count(): number;
}

/** A hub without subscriptions; it reads nothing until there is one. */
export function createChangeHub(deps: ChangeHubDeps): ChangeHub {
  const feeds = new Map<TenantId, { readonly feed: TenantFeed; users: Set<Subscription> }>();
  const turns = createTurns(MAX_REPLAYS);
  let count = 0;

  function enter(subscription: Subscription): TenantFeed {
    if (count >= deps.maxSubscriptions) {
      const detail = `This server has ${count} subscriptions already.`;
      throw new AppError('TOO_MANY_SUBSCRIPTIONS', detail);
    }
    const { tenant } = subscription;
    const known = feeds.get(tenant);
    const entry = known ?? { feed: createTenantFeed({ ...deps, tenant }), users: new Set() };
    feeds.set(tenant, entry);
    entry.users.add(subscription);
    count += 1;
    deps.measures.subscriptions(1);
    return entry.feed;
  }

  async function openSince(
    subscription: Subscription,
    {
      live,
      since,
      onReady,
    }: { live: TenantFeed; since: string; onReady: (cursor: string) => void },
  ): Promise<void> {
    // Once it has looked, the follower has a position to hand over at.
    await new Promise<void>((resolve) => live.tailer.settled(() => resolve()));
    const progress: Progress = { cursor: since, hasBegun: false };
    try {
      await replay({ ...deps, turns }, { subscription, live, progress }, () => onReady(since));
    } catch (error) {
      if (!progress.hasBegun) throw error;
      deps.log.warn({ error: messageOf(error) }, 'a replay was broken off');
      if (subscription.isEnded) return;
      subscription.isEnded = true;
      subscription.onBehind(progress.cursor);
    }
  }

  return {
    async open(subscription, onReady) {
      const live = enter(subscription);
      const { since } = subscription;
      if (since !== null) return openSince(subscription, { live, since, onReady });
      live.tailer.settled(({ position, snapshot }) => {
        if (subscription.isEnded) return;
        subscription.after = position;
        subscription.before = snapshot;
        live.index.add(subscription);
        onReady(position);
      });
    },
    close(subscription) {
      subscription.isEnded = true;
      const entry = feeds.get(subscription.tenant);
      if (!entry?.users.delete(subscription)) return;
      count -= 1;
      deps.measures.subscriptions(-1);
      entry.feed.index.remove(subscription);
      if (entry.users.size > 0) return;
      feeds.delete(subscription.tenant);
      entry.feed.stop();
    },
    count: () => count,
  };
}
