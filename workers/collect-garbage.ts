/** Collects what nobody needs any more, tenant by tenant, in bounded batches. Safe to run twice at once. */
import type { Collected, Retention, RetentionPolicy } from '../store/contract.ts';

/** Answers how many rows of each kind went, over all tenants. */
export async function collectGarbage(
  retention: Retention,
  policy: RetentionPolicy,
): Promise<Readonly<Record<keyof Collected, number>>> {
  const total = { ...NOTHING };
  for (const tenant of await retention.tenants()) {
    const gone = await retention.collect(tenant, policy);
    for (const kind of KINDS) total[kind] += gone[kind];
  }
  return total;
}

const NOTHING = {
  runs: 0,
  conflicts: 0,
  audit: 0,
  changes: 0,
  items: 0,
  contexts: 0,
  versions: 0,
  blobs: 0,
};
const KINDS = Object.keys(NOTHING) as (keyof Collected)[];
