/** Mends the search index of every tenant: after an upgrade or a restore, else it finds nothing to do. Safe to run twice at once. */
import { toAppError } from '../domain/errors.ts';
import type { IndexedCount, SearchIndex } from '../store/contract.ts';

/** Answers what was amiss, and for how many tenants it could not be mended. */
export async function mendSearch(
  index: Pick<SearchIndex, 'tenants' | 'mend'>,
  log: { warn(fields: object, message: string): void },
): Promise<IndexedCount & { failed: number }> {
  const total = { indexed: 0, dropped: 0, failed: 0 };
  for (const tenant of await index.tenants()) {
    try {
      const { indexed, dropped } = await index.mend(tenant);
      total.indexed += indexed;
      total.dropped += dropped;
    } catch (error) {
      // One tenant's broken body must not keep the others out of the index.
      total.failed += 1;
      log.warn({ tenant, code: toAppError(error).code }, 'a search index could not be mended');
    }
  }
  return total;
}
