/**
 * Listens to the remotes of all live links, so that an edit is noticed at once and not at the next
 * interval. Hints only wake; losing one costs time, never data.
 */
import type { ConnectorPool } from '../connectors/contract.ts';
import { messageOf } from '../domain/errors.ts';
import type { Link } from '../domain/link.ts';
import type { LinkRef, Sweeps } from '../store/contract.ts';

const REFRESH_MS = 5_000;

export interface WatchDeps {
  readonly sweeps: Sweeps;
  readonly linkOf: (ref: LinkRef) => Promise<Link | null>;
  readonly pool: ConnectorPool;
  readonly wake: (link: LinkRef, reason: string) => Promise<void>;
  readonly log: {
    warn(fields: object, message: string): void;
    debug(fields: object, message: string): void;
  };
}

export interface RemoteWatcher {
  /** Looks for new and gone links now. */
  refresh(): void;
  stop(): Promise<void>;
}

interface Watch {
  readonly connector: unknown;
  readonly end: () => Promise<void>;
}

export function startRemoteWatcher(deps: WatchDeps): RemoteWatcher {
  const watches = new Map<string, Watch>();
  let isStopped = false;
  let running: Promise<void> = Promise.resolve();

  const refresh = (): void => {
    running = running.then(async () => {
      if (!isStopped) await reconcile();
    });
  };
  const timer = setInterval(refresh, REFRESH_MS);
  refresh();

  async function reconcile(): Promise<void> {
    try {
      const live = new Map((await deps.sweeps.liveLinks()).map((ref) => [nameOf(ref), ref]));
      const gone = [...watches.keys()].filter((name) => !live.has(name));
      await Promise.all(gone.map(unwatch));
      for (const [name, ref] of live) await watch(name, ref);
    } catch (error) {
      deps.log.warn({ error: messageOf(error) }, 'watching remotes failed; it is tried again');
    }
  }

  async function watch(name: string, ref: LinkRef): Promise<void> {
    try {
      const link = await deps.linkOf(ref);
      if (!link) return;
      const connector = await deps.pool.get(ref.tenant, link);
      // The pool opens a new conversation after a failure; the old one's watch is worth nothing.
      if (watches.get(name)?.connector === connector || !connector.watch) return;
      await unwatch(name);
      const end = await connector.watch(() => void hint(ref));
      watches.set(name, { connector, end });
    } catch (error) {
      deps.log.debug(
        { linkId: ref.linkId, error: messageOf(error) },
        'cannot watch this remote now',
      );
    }
  }

  async function hint(ref: LinkRef): Promise<void> {
    try {
      await deps.wake(ref, 'remote change');
    } catch (error) {
      deps.log.warn(
        { linkId: ref.linkId, error: messageOf(error) },
        'a hint was lost; the interval makes up for it',
      );
    }
  }

  async function unwatch(name: string): Promise<void> {
    const known = watches.get(name);
    watches.delete(name);
    await known?.end().catch(() => undefined);
  }

  return {
    refresh,
    async stop() {
      isStopped = true;
      clearInterval(timer);
      await running;
      await Promise.all([...watches.keys()].map(unwatch));
    },
  };
}

const nameOf = (ref: LinkRef): string => `${ref.tenant}/${ref.linkId}`;
