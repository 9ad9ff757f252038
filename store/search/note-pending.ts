/**
 * What search does not know yet of a large sync: noted in the transaction that writes it, so that no
 * crash can lose it, indexed by {@link ./drain-pending.ts} right after.
 */
import type { Statement } from '../send-together.ts';

/** Notes the keys of a text array, given as SQL, and has the relay tell those who index them; one statement. */
export const notePendingSql = (keys: string): string => `
pending AS (
  INSERT INTO search_pending (tenant_id, contexts, keys)
  SELECT current_setting('app.tenant'), cardinality(n.keys), n.keys FROM (SELECT ${keys} AS keys) n
  WHERE cardinality(n.keys) > 0 RETURNING 1
), told AS (
  INSERT INTO outbox (tenant_id, topic, payload)
  SELECT current_setting('app.tenant'), 'search.pending', '{}' FROM pending
)`;

const NOTE = `WITH ${notePendingSql('$1::text[]')} SELECT 1`;

/** Notes keys; to be sent with what writes them. */
export function noteStatement(keys: readonly string[]): Statement {
  return { sql: NOTE, values: [keys] };
}

/** Contexts of the tenant that search does not know yet. */
export const COUNT_PENDING = `
SELECT coalesce(sum(contexts), 0)::int AS pending FROM search_pending
WHERE tenant_id = current_setting('app.tenant')`;
