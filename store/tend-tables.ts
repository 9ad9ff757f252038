/**
 * Keeps tables and indexes small, and the planner informed, where the server does not do so by itself:
 * the embedded Postgres has no autovacuum (measured: a table is three times as large after six updates
 * of its rows, and the planner knows no row counts). A server that has it is left alone.
 */
import pg from 'pg';

export type TendedTables =
  | { readonly status: 'left to the server' }
  | { readonly status: 'tended'; readonly tables: readonly string[] };

// Counts of changes are noted a second late unless asked for; on the embedded Postgres all are our own.
const TENDS_ITSELF = `
SELECT current_setting('autovacuum')::boolean AND version() NOT LIKE '%PGlite%' AS "tendsItself",
  pg_stat_force_next_flush()`;

// The bounds of autovacuum's own defaults.
const SELECT_WORN = `
SELECT relname AS name, format('%I.%I', schemaname, relname) AS sql FROM pg_stat_user_tables
WHERE schemaname = 'context_system'
  AND (n_dead_tup > 50 + 0.2 * n_live_tup OR n_mod_since_analyze > 50 + 0.1 * n_live_tup)
ORDER BY relname`;

/** Vacuums and analyses what has changed much since it was last done. Needs the owner of the tables. */
export async function tendTables(url: string): Promise<TendedTables> {
  // VACUUM runs in no transaction, so the pool's are of no use.
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows: kind } = await client.query<{ tendsItself: boolean }>(TENDS_ITSELF);
    if (kind[0]?.tendsItself) return { status: 'left to the server' };
    const { rows } = await client.query<{ name: string; sql: string }>(SELECT_WORN);
    // One by one: on the embedded Postgres everybody waits for each.
    for (const { sql } of rows) await client.query(`VACUUM (ANALYZE) ${sql}`);
    return { status: 'tended', tables: rows.map(({ name }) => name) };
  } finally {
    await client.end().catch(() => undefined);
  }
}
