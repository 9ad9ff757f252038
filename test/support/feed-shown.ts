/**
 * Waits until the change feed hides nothing. A transaction of any database of the server (another
 * test file's, say) holds the feed back; who reads on sees the rest later, but a test counts on what
 * one read shows, and on a cursor of `now` that nothing older comes after.
 */
import { randomUUID } from 'node:crypto';
import type { ContextClient } from '../../client/index.ts';
import { waitUntil } from '../../dev/wait-until.ts';

/** Tenants with hidden changes; to be asked past row-level security. */
const SELECT_HIDDEN = `
SELECT 1 FROM context_system.tenants WHERE EXISTS (
  SELECT 1 FROM context_system.changes WHERE tenant_id = tenants.id
    AND xid >= context_system.feed_position(pg_snapshot_xmin(pg_current_snapshot()))) LIMIT 1`;

/** @param ask runs a statement as the superuser and answers its rows */
export async function feedShown(ask: (sql: string) => Promise<readonly unknown[]>): Promise<void> {
  const look = async (): Promise<true | null> =>
    (await ask(SELECT_HIDDEN)).length === 0 ? true : null;
  await waitUntil(look, { timeoutMs: 20_000, everyMs: 5 });
}

/** The head of a feed that has shown whatever was written before, asked for over the API. */
export async function shownHead(client: ContextClient): Promise<string> {
  const mark = `shown-head/${randomUUID()}`;
  let { cursor } = await client.changes({ since: 'now' });
  await client.store(mark, 1, { ttl: 60 });
  for (;;) {
    const page = await client.changes({ since: cursor, limit: 1000, wait: 20 });
    const found = page.changes.find(({ key }) => key === mark);
    if (found) return found.cursor;
    cursor = page.cursor;
  }
}
