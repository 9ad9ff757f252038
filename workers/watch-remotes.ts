/**
 * Listens to the remotes of live links, so that an edit is noticed at once and not at the next
 * interval. Hints only wake; losing one costs time, never data. Bounded: a watch keeps its
 * connection or process open, so beyond the bound links are polled only.
 */
import type { ConnectorPool } from '../connectors/contract.ts';
import { messageOf } from '../domain/errors.ts';
import type { Link } from '../domain/link.ts';
import { sideBySide } from '../domain/side-by-side.ts';
import type { LinkRef, Sweeps } from '../store/contract.ts';

const REFRESH_MS = 5_000;
/** Watches begun at once; opening one may mean starting a process. */
const AT_ONCE = 8;
/** A remote that could not be watched is tried again after so many refreshes. */
const TRY_AGAIN_AFTER = 3;

export interface WatchDeps {
  readonly sweeps: Pick<Sweeps, 'liveLinks'>;
  readonly linkOf: (ref: LinkRef) => Promise<Link | null>;
  readonly pool: Pick<ConnectorPool, 'get' | 'peek' | 'typeOf'>;
  readonly wake: (link: LinkRef, reason: string) => Promise<void>;
  /** Remotes watched at once at most; 150 unless told. */
  readonly maxWatched?: number;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
    debug(fields: object, message: string): void;
  };
}

export interface RemoteWatcher {
  /** Looks for new and gone links now. */
  refresh(): void;
  /** Whether the link's remote is listened to. */
  isWatched(ref: LinkRef): boolean;
  stop(): Promise<void>;
}

interface Watch {
  readonly connector: unknown;
  readonly end: () => Promise<void>;
}

export function startRemoteWatcher(deps: WatchDeps): RemoteWatcher {
  const { maxWatched = 150 } = deps;
  const watches = new Map<string, Watch>();
  /** Remotes that cannot be watched, or not now: refreshes until they are tried again. */
  const passedOver = new Map<string, number>();
  const state = { isStopped: false, polled: 0 };
  let running: Promise<void> = Promise.resolve();

  const refresh = (): void => {
    running = running.then(async () => {
      if (!state.isStopped) await reconcile();
    });
  };
  const timer = setInterval(refresh, REFRESH_MS);
  refresh();

  async function reconcile(): Promise<void> {
    try {
      const live = new Map((await deps.sweeps.liveLinks()).map((ref) => [nameOf(ref), ref]));
      for (const name of passedOver.keys()) if (!live.has(name)) passedOver.delete(name);
      const ended = [...watches.keys()].filter((name) => !isStanding(name, live.get(name)));
      await Promise.all(ended.map(unwatch));
      const wanted = [...live].filter(([name]) => !watches.has(name) && !isPassedOver(name));
      await watchAll(wanted.slice(0, Math.max(0, maxWatched - watches.size)));
      tellBound(wanted.filter(([name]) => !watches.has(name) && !passedOver.has(name)).length);
    } catch (error) {
      deps.log.warn({ error: messageOf(error) }, 'watching remotes failed; it is tried again');
    }
  }

  /** The pool opens a new conversation after a failure; the old one's watch is worth nothing. */
  function isStanding(name: string, ref: LinkRef | undefined): boolean {
    const watch = watches.get(name);
    return ref !== undefined && watch?.connector === deps.pool.peek(ref.tenant, ref.linkId);
  }

  function isPassedOver(name: string): boolean {
    const left = passedOver.get(name) ?? 0;
    if (left > 1) passedOver.set(name, left - 1);
    else passedOver.delete(name);
    return left > 1;
  }

  async function watchAll(wanted: readonly (readonly [string, LinkRef])[]): Promise<void> {
    await sideBySide(wanted, AT_ONCE, async (next) => {
      if (!state.isStopped) await watch(...next);
    });
  }

  async function watch(name: string, ref: LinkRef): Promise<void> {
    try {
      const link = await deps.linkOf(ref);
      if (!link) return;
      if (!deps.pool.typeOf(link.connector).capabilities.canWatch) {
        passedOver.set(name, Infinity);
        return;
      }
      const connector = await deps.pool.get(ref.tenant, link);
      if (!connector.watch) return void passedOver.set(name, Infinity);
      const named = { ...ref, name: link.name };
      const end = await connector.watch(() => void hint(named));
      watches.set(name, { connector, end });
      // What changed between the last look and now, nobody has told of and nobody will.
      void hint(named);
    } catch (error) {
      passedOver.set(name, TRY_AGAIN_AFTER);
      deps.log.debug(
        { linkId: ref.linkId, error: messageOf(error) },
        'cannot watch this remote now',
      );
    }
  }

  /** Once per change of the number, not once per refresh. */
  function tellBound(polled: number): void {
    if (polled === state.polled) return;
    state.polled = polled;
    deps.log.info(
      { watched: watches.size, polled, maxWatched },
      polled === 0
        ? 'every remote that can be watched is'
        : 'more remotes than are watched at once (connectors.max_watched): the others are polled',
    );
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
    isWatched: (ref) => watches.has(nameOf(ref)),
    async stop() {
      state.isStopped = true;
      clearInterval(timer);
      await running;
      await Promise.all([...watches.keys()].map(unwatch));
    },
  };
}

const nameOf = (ref: LinkRef): string => `${ref.tenant}/${ref.linkId}`;
