/**
 * Live updates for subscriptions with `fields`: the context is read once per change, in feed order,
 * beside the others, who need not wait for it. The line is bounded; who does not fit has fallen behind.
 */
import type { TenantId } from '../../domain/ids.ts';
import type { Logger } from 'pino';
import { messageOf } from '../../domain/errors.ts';
import type { ContextStore, WatchedChange } from '../../store/contract.ts';
import { loadChanged, withFields } from './load-fields.ts';
import type { Subscription } from './subscription.ts';
import { createUpdateMessage, type UpdateMessage } from './update-message.ts';

const MAX_WAITING = 1000;

interface Waiting {
  readonly watched: WatchedChange;
  /** Position before the change. */
  readonly before: string;
  readonly subscriptions: readonly Subscription[];
}

export interface DetailLine {
  push(waiting: Waiting): void;
}

export interface DetailLineDeps {
  readonly tenant: TenantId;
  readonly contexts: ContextStore;
  readonly log: Logger;
  readonly send: (message: UpdateMessage, to: readonly Subscription[], before: string) => void;
  /** Ends a subscription that missed the change after this position. */
  readonly fallBehind: (subscription: Subscription, before: string) => void;
}

/** An empty line. */
export function createDetailLine(deps: DetailLineDeps): DetailLine {
  const { tenant, contexts, log, send, fallBehind } = deps;
  const line: Waiting[] = [];
  let isBusy = false;

  async function serve({ watched, before, subscriptions }: Waiting): Promise<void> {
    const live = subscriptions.filter((each) => !each.isEnded);
    if (live.length === 0) return;
    try {
      const context = await loadChanged(contexts, tenant, watched);
      for (const [fields, group] of byFields(live)) {
        send(createUpdateMessage(withFields(watched, context, fields)), group, before);
      }
    } catch (error) {
      log.warn({ tenant, error: messageOf(error) }, 'a changed context cannot be read');
      for (const each of live) fallBehind(each, before);
    }
  }

  async function work(): Promise<void> {
    isBusy = true;
    for (let next = line.shift(); next; next = line.shift()) await serve(next);
    isBusy = false;
  }

  return {
    push(waiting) {
      if (line.length >= MAX_WAITING) {
        for (const each of waiting.subscriptions) fallBehind(each, waiting.before);
        return;
      }
      line.push(waiting);
      if (!isBusy) void work();
    },
  };
}

function byFields(subscriptions: readonly Subscription[]): Map<string, Subscription[]> {
  const groups = new Map<string, Subscription[]>();
  for (const each of subscriptions) {
    const fields = each.fields ?? '';
    const group = groups.get(fields);
    if (group) group.push(each);
    else groups.set(fields, [each]);
  }
  return groups;
}
