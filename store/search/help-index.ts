/** What a search does about contexts it would miss: it indexes them itself, as long as they are few. */
import type { Clock } from '../../domain/clock.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { SearchIndex } from './search-index.ts';

/** Most contexts a search indexes before it looks; of more it tells how many there are. */
export const MAX_HELPED = 2_000;
/** How long it does, ms; it ends with the part that is under way then. */
const HELP_MS = 100;

/** Indexes what is pending of a tenant for as long as a caller may wait. Never fails. */
export type HelpIndex = (tenant: TenantId) => Promise<void>;

/** Searches of one tenant that come together help once. */
export function createHelpIndex(deps: {
  readonly index: Pick<SearchIndex, 'drain'>;
  readonly clock: Clock;
}): HelpIndex {
  const { index, clock } = deps;
  const helping = new Map<TenantId, Promise<void>>();

  async function drain(tenant: TenantId): Promise<void> {
    const untilMs = clock.now() + HELP_MS;
    for (let hasMore = true; hasMore && clock.now() < untilMs;) {
      const part = await index.drain(tenant, HELP_MS);
      hasMore = part !== null && part.left > 0;
    }
  }

  return (tenant) => {
    const under = helping.get(tenant);
    if (under) return under;
    // What fails here fails for the indexer too, which tells of it; the search says what it lacks.
    const helped = drain(tenant)
      .catch(() => undefined)
      .finally(() => helping.delete(tenant));
    helping.set(tenant, helped);
    return helped;
  };
}
