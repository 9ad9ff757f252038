/**
 * Indexes what large syncs wrote for search, as soon as the relay tells of it, a part at a time and one
 * run per tenant. What nobody told of (a process that died, a Redis that was emptied) is found by the
 * job of the same name.
 */
import { toAppError } from '../domain/errors.ts';
import type { TenantId } from '../domain/ids.ts';
import type { SearchIndex } from '../store/contract.ts';

/** Longest wait for another process that indexes the same tenant's, ms. */
const WAIT_MS = 5_000;

export interface SearchIndexerDeps {
  readonly index: Pick<SearchIndex, 'pending' | 'drain'>;
  readonly log: { warn(fields: object, message: string): void };
}

export interface SearchIndexer {
  /** Begins with the tenant's, or goes on with it; waits for nothing. */
  nudge(tenant: TenantId): void;
  /** Looks for every tenant's; answers how many contexts were indexed. */
  all(): Promise<{ indexed: number }>;
  /** Ends after the parts under way. */
  stop(): Promise<void>;
}

export function createSearchIndexer({ index, log }: SearchIndexerDeps): SearchIndexer {
  const running = new Map<TenantId, Promise<number>>();
  const again = new Set<TenantId>();
  let isStopped = false;

  async function drain(tenant: TenantId): Promise<number> {
    let indexed = 0;
    for (let hasMore = true; hasMore && !isStopped;) {
      // What is committed after this line and told of meanwhile is another round.
      again.delete(tenant);
      const part = await index.drain(tenant, WAIT_MS);
      indexed += part?.indexed ?? 0;
      hasMore = (part?.left ?? 0) > 0 || again.has(tenant);
    }
    return indexed;
  }

  /** One at a time; a failure is told, and left to the next nudge or job. */
  function run(tenant: TenantId): Promise<number> {
    const under = running.get(tenant);
    if (under) {
      again.add(tenant);
      return under;
    }
    const begun = drain(tenant)
      .catch((error: unknown) => {
        const { code } = toAppError(error);
        log.warn({ tenant, code }, 'what a sync wrote could not be indexed yet');
        return 0;
      })
      .finally(() => running.delete(tenant));
    running.set(tenant, begun);
    return begun;
  }

  return {
    nudge: (tenant) => void run(tenant),
    async all() {
      let indexed = 0;
      for (const tenant of await index.pending()) indexed += await run(tenant);
      return { indexed };
    },
    async stop() {
      isStopped = true;
      await Promise.all(running.values());
    },
  };
}
