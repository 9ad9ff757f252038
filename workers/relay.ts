/**
 * The outbox relay: what was committed is told to those who must look. At least once, coalesced to
 * one wake per link and batch, woken by an announcement and, as the net, each second.
 */
import { messageOf } from '../domain/errors.ts';
import type { LinkRef, Outbox } from '../store/contract.ts';

const BATCH = 500;
const POLL_MS = 1_000;

export interface RelayDeps {
  readonly outbox: Outbox;
  readonly wake: (link: LinkRef, reason: string) => Promise<void>;
  /** Told that contexts or links changed, before anything is sent: long polls and watchers listen. */
  readonly onMessages?: (tenants: ReadonlySet<string>) => void;
  readonly log: { warn(fields: object, message: string): void };
}

export interface Relay {
  /** Looks now instead of at the next poll. */
  nudge(): void;
  stop(): Promise<void>;
}

export function startRelay(deps: RelayDeps): Relay {
  const state = { isStopped: false, isNudged: false };
  let wakeUp: () => void = () => undefined;

  async function loop(): Promise<void> {
    while (!state.isStopped) {
      state.isNudged = false;
      const sent = await relayOnce(deps).catch((error: unknown) => {
        deps.log.warn(
          { error: messageOf(error) },
          'the outbox relay could not send; it tries again',
        );
        return 0;
      });
      if (sent < BATCH && !hasReasonToGoOn()) await pause();
    }
  }

  // Both may have changed while the batch was under way.
  const hasReasonToGoOn = (): boolean => state.isNudged || state.isStopped;

  function pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, POLL_MS);
      wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  const running = loop();
  return {
    nudge() {
      state.isNudged = true;
      wakeUp();
    },
    async stop() {
      state.isStopped = true;
      wakeUp();
      await running;
    },
  };
}

/** Sends one batch; rows are done only after everything they ask for was sent. */
export async function relayOnce(deps: RelayDeps): Promise<number> {
  const messages = await deps.outbox.claim(BATCH);
  if (messages.length === 0) return 0;
  deps.onMessages?.(new Set(messages.map((message) => message.tenant)));
  const links = await deps.outbox.listeners(messages);
  await Promise.all(links.map((link) => deps.wake(link, 'hub change')));
  await deps.outbox.done(messages.map((message) => message.id));
  return messages.length;
}
