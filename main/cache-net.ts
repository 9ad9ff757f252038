/**
 * The net under the cache: looks through the change feed each second for changes that nobody
 * announced here, and forgets what they made old. The feed is the truth; announcements only make it
 * fast. How far Redis' layer is known to be right is kept in Redis itself, so a process that starts,
 * or a Redis that comes back, goes on from there.
 */
import type { ContextCache } from '../cache/contract.ts';
import { messageOf } from '../domain/errors.ts';
import type { TenantId } from '../domain/ids.ts';
import type { ChangeSweep, Sweep, SweptChange } from '../store/change-sweep.ts';

const LOOK_EVERY_MS = 1_000;
/** A net that saw nothing for longer is no net: the cache is not asked then, ms. */
const BLIND_AFTER_MS = 5_000;

export interface CacheNetDeps {
  readonly sweep: ChangeSweep;
  readonly contexts: Pick<ContextCache, 'changed' | 'forgetTenant' | 'forgetAll'>;
  /** Whether a change was announced here, and all shared layers were right then. */
  readonly isHeard: (change: SweptChange) => boolean;
  readonly onUnheard: (changes: readonly SweptChange[]) => void;
  readonly shared: SharedLayer;
  readonly log: { debug(fields: object, message: string): void };
}

/** What processes share, as the net sees it. All may throw. */
export interface SharedLayer {
  /** Whether it is skipped now. */
  isOpen(): boolean;
  deleteAll(changes: readonly SweptChange[]): Promise<void>;
  /** Makes everything in it old. */
  forgetAll(): Promise<void>;
  /** Up to which mark it is known to be right; null: nobody knows. */
  loadMark(): Promise<string | null>;
  saveMark(mark: string): Promise<void>;
}

export interface CacheNet {
  /** Looks at once. */
  look(): void;
  /** Whether it sees: the cache may be asked. */
  isSeeing(): boolean;
  /** Makes the shared layer right again after it was out. @throws when it cannot */
  recover(hasForgotten: boolean): Promise<void>;
  stop(): Promise<void>;
}

/** A net that looks until it is stopped. */
export function createCacheNet(deps: CacheNetDeps): CacheNet {
  const { sweep, contexts, isHeard, onUnheard, shared, log } = deps;
  let mark: string | null = null;
  let seenAt = -Infinity;
  let removing: ReadonlySet<TenantId> = new Set();
  let isStopped = false;
  let isAsked = false;
  let wake: () => void = () => undefined;

  async function look(): Promise<void> {
    const began = performance.now();
    const seen = await sweep.look(mark);
    await forgetTenants(seen.removing);
    await forget(seen);
    mark = seen.mark;
    seenAt = began;
    // Everything up to here is deleted there, by whoever announced it or by us.
    if (!shared.isOpen()) await shared.saveMark(seen.mark).catch(() => undefined);
  }

  async function forget({ changes }: Sweep): Promise<void> {
    if (changes === null) return contexts.forgetAll();
    const unheard = changes.filter((change) => !isHeard(change));
    if (unheard.length === 0) return;
    for (const [tenant, some] of byTenant(unheard)) {
      await contexts.changed(
        tenant,
        some.map(({ key }) => key),
      );
    }
    onUnheard(unheard);
  }

  /** One that begins or ends to be removed: what is under its name is another's then. */
  async function forgetTenants(now: readonly TenantId[]): Promise<void> {
    const before = removing;
    const gone = [...before].filter((tenant) => !now.includes(tenant));
    for (const tenant of [...now.filter((each) => !before.has(each)), ...gone])
      await contexts.forgetTenant(tenant);
    removing = new Set(now);
  }

  async function run(): Promise<void> {
    while (!stopped()) {
      isAsked = false;
      try {
        await look();
      } catch (error) {
        log.debug({ error: messageOf(error) }, 'the cache’s net cannot look');
      }
      await rest();
    }
  }

  function rest(): Promise<void> {
    if (isAsked || stopped()) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LOOK_EVERY_MS);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  // TypeScript would take the flag for what it was when the loop began.
  const stopped = (): boolean => isStopped;

  const running = run();
  return {
    look() {
      isAsked = true;
      wake();
    },
    isSeeing: () => performance.now() - seenAt < BLIND_AFTER_MS,
    async recover(hasForgotten) {
      const saved = hasForgotten ? null : await shared.loadMark();
      const seen = await sweep.look(saved);
      if (saved === null || seen.changes === null) await shared.forgetAll();
      else await shared.deleteAll(seen.changes);
      await shared.saveMark(seen.mark);
    },
    async stop() {
      isStopped = true;
      wake();
      await running;
    },
  };
}

function byTenant(changes: readonly SweptChange[]): Map<TenantId, SweptChange[]> {
  const groups = new Map<TenantId, SweptChange[]>();
  for (const change of changes) {
    const group = groups.get(change.tenant);
    if (group) group.push(change);
    else groups.set(change.tenant, [change]);
  }
  return groups;
}
