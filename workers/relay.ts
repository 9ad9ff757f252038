/**
 * The outbox relay: what was committed is told to those who must look. At least once, coalesced to
 * one wake per link and batch, woken by an announcement and, as the net, each second. A link whose
 * wake takes long holds up nobody else's.
 */
import { messageOf } from '../domain/errors.ts';
import type { TenantId } from '../domain/ids.ts';
import { conflictsTold, type Claimed, type LinkRef, type Outbox } from '../store/contract.ts';
import type { ConflictWatcher } from './conflict-watcher.ts';

const BATCH = 500;
const POLL_MS = 1_000;
/** Batches on their way at most; a wake may wait a second for a workflow that is being closed. */
const MAX_SENDING = 8;

export interface RelayDeps {
  readonly outbox: Outbox;
  readonly wake: (link: LinkRef, reason: string) => Promise<void>;
  /** Whom to tell of conflicts; without, they have no workflows. */
  readonly conflicts?: Pick<ConflictWatcher, 'opened' | 'ended'>;
  /** Told that a large sync wrote what search does not know yet. Must not throw, nor wait for it. */
  readonly onSearchPending?: (tenant: TenantId) => void;
  /** Told that contexts or links changed, before anything is sent: long polls and watchers listen. */
  readonly onMessages?: (tenants: ReadonlySet<string>) => void;
  /** Told of each batch that was sent, or could not be. Must not throw. */
  readonly onBatch?: (batch: {
    readonly messages: number;
    readonly seconds: number;
    readonly isSent: boolean;
  }) => void;
  readonly log: { warn(fields: object, message: string): void };
}

export interface Relay {
  /** Looks now instead of at the next poll. */
  nudge(): void;
  stop(): Promise<void>;
}

export function startRelay(deps: RelayDeps): Relay {
  const state = { isStopped: false, isNudged: false };
  const sending = new Set<Promise<void>>();
  let wakeUp: () => void = () => undefined;

  async function loop(): Promise<void> {
    while (!state.isStopped) {
      if (sending.size >= MAX_SENDING) await Promise.race(sending);
      state.isNudged = false;
      const claimed = await deps.outbox.claim(BATCH).catch(warn);
      const count = claimed?.messages.length ?? 0;
      if (claimed && count > 0) depart(claimed);
      if (count < BATCH && !hasReasonToGoOn()) await pause();
    }
    await Promise.all(sending);
  }

  function depart(claimed: Claimed): void {
    const began = performance.now();
    const tell = (isSent: boolean): void =>
      deps.onBatch?.({
        messages: claimed.messages.length,
        seconds: (performance.now() - began) / 1_000,
        isSent,
      });
    const sent: Promise<void> = send(deps, claimed)
      .then(
        () => tell(true),
        (error: unknown) => {
          tell(false);
          warn(error);
        },
      )
      .then(() => void sending.delete(sent));
    sending.add(sent);
  }

  function warn(error: unknown): null {
    deps.log.warn({ error: messageOf(error) }, 'the outbox relay could not send; it tries again');
    return null;
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

/** Claims and sends one batch; answers how many messages it had. */
export async function relayOnce(deps: RelayDeps): Promise<number> {
  const claimed = await deps.outbox.claim(BATCH);
  if (claimed.messages.length > 0) await send(deps, claimed);
  return claimed.messages.length;
}

/** Sends one batch; its rows are done only after everything they ask for was sent. */
async function send(deps: RelayDeps, { messages, links }: Claimed): Promise<void> {
  deps.onMessages?.(new Set(messages.map((message) => message.tenant)));
  const unindexed = messages.filter(({ topic }) => topic === 'search.pending');
  for (const tenant of new Set(unindexed.map(({ tenant }) => tenant)))
    deps.onSearchPending?.(tenant);
  await Promise.all([
    ...links.map((link) => deps.wake(link, 'hub change')),
    ...conflictsTold(messages).map(({ isOpen, ...ref }) =>
      isOpen ? deps.conflicts?.opened(ref) : deps.conflicts?.ended(ref),
    ),
  ]);
  await deps.outbox.done(messages.map((message) => message.id));
}
