/** Items set aside: what is known of each, and an operator's word that the cause is gone. */
import type { ContextKey, LinkId } from '../domain/ids.ts';
import type { Transaction } from './database.ts';

/** An item set aside because it fails. */
export interface QuarantinedItem {
  readonly key: string;
  readonly remoteId: string | null;
  readonly code: string;
  readonly detail: string;
  /** Tries in a row that failed; 0: the remote cannot show it, which is not a try of ours. */
  readonly attempts: number;
  /** When it is tried again by itself; null: when it changes. */
  readonly retryAt: string | null;
}

/** Which items of a link are meant: these keys, or (null) all that are set aside. */
export type QuarantineChoice = readonly ContextKey[] | null;

export interface QuarantineChange {
  readonly count: number;
  /** Keys that were named and are not set aside. */
  readonly skipped: readonly string[];
}

interface Row extends Omit<QuarantinedItem, 'code' | 'detail' | 'retryAt'> {
  readonly fault: { readonly code: string; readonly detail: string } | null;
  readonly retry_at: Date | null;
}

const SELECT_QUARANTINED = `
SELECT key, remote_id AS "remoteId", fault, attempts, retry_at FROM sync_items
WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND state = 'quarantined'
ORDER BY key LIMIT 1000`;

/** The items of a link that are set aside, by key, at most 1,000. */
export async function readQuarantined(tx: Transaction, id: LinkId): Promise<QuarantinedItem[]> {
  const rows = await tx.query<Row>(SELECT_QUARANTINED, [id]);
  return rows.map(({ fault, retry_at, ...row }) => ({
    ...row,
    code: fault?.code ?? 'INTERNAL',
    detail: fault?.detail ?? '',
    retryAt: retry_at?.toISOString() ?? null,
  }));
}

const IS_CHOSEN = `tenant_id = current_setting('app.tenant') AND link_id = $1 AND state = 'quarantined'
  AND ($2::text[] IS NULL OR key = ANY($2))`;

// What the remote cannot show is not ours to plan: only a new look at it can tell.
const RETRY = `
UPDATE sync_items SET
  retry_at = CASE WHEN remote_status = 'faulty' THEN retry_at ELSE now() END,
  remote_version = CASE WHEN remote_status = 'faulty' THEN NULL ELSE remote_version END
WHERE ${IS_CHOSEN} RETURNING key, remote_status = 'faulty' AS "isFaulty"`;

const RELEASE = `
UPDATE sync_items SET attempts = 0, retry_at = NULL,
  state = CASE WHEN remote_status = 'faulty' THEN state ELSE 'pending' END,
  fault = CASE WHEN remote_status = 'faulty' THEN fault END,
  dirty = dirty OR remote_status <> 'faulty',
  dirty_since = CASE WHEN remote_status = 'faulty' THEN dirty_since ELSE now() END,
  remote_version = CASE WHEN remote_status = 'faulty' THEN NULL ELSE remote_version END
WHERE ${IS_CHOSEN} RETURNING key, remote_status = 'faulty' AS "isFaulty"`;

// The next pass reads the remote whole. One under way would take the mark for its own.
const LOOK_ANEW = `
UPDATE sync_links SET look_whole = true, fence = fence + 1
WHERE tenant_id = current_setting('app.tenant') AND id = $1`;

/** Their back-off is over now; the count of tries goes on. */
export function retryQuarantined(
  tx: Transaction,
  id: LinkId,
  choice: QuarantineChoice,
): Promise<QuarantineChange> {
  return change(tx, id, { sql: RETRY, choice });
}

/** They are ordinary items again: what failed is forgotten, and so is the count of tries. */
export function releaseQuarantined(
  tx: Transaction,
  id: LinkId,
  choice: QuarantineChoice,
): Promise<QuarantineChange> {
  return change(tx, id, { sql: RELEASE, choice });
}

async function change(
  tx: Transaction,
  id: LinkId,
  { sql, choice }: { sql: string; choice: QuarantineChoice },
): Promise<QuarantineChange> {
  const rows = await tx.query<{ key: string; isFaulty: boolean }>(sql, [id, choice]);
  if (rows.some((row) => row.isFaulty)) await tx.query(LOOK_ANEW, [id]);
  const got = new Set(rows.map((row) => row.key));
  return { count: rows.length, skipped: (choice ?? []).filter((key) => !got.has(key)) };
}
