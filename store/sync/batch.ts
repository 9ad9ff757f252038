/**
 * Batches of rows as SQL, to be joined with one of the engine's tables by its whole unique key.
 *
 * The link (or run) is a column of the batch and not a constant of the statement: where the planner
 * has no statistics (a first sync; PGlite always) it takes a constant tenant and link for a single
 * row, and would read the whole link for every batch, or for every row of it. `OFFSET 0` keeps it
 * from looking through. A first sync of 100,000 hub items took 137 s without it
 * and 58 s with it.
 */

/** Rows of JSON as a table; $1 is the `link_id` of all, `json` the number of the parameter. */
export function rowsOfLink(json: number, columns: string): string {
  return rowsOf('link_id', { id: 1, json, columns });
}

/** The same for a run, whose id is the parameter `id`. */
export function rowsOfRun(id: number, json: number, columns: string): string {
  return rowsOf('run_id', { id, json, columns });
}

function rowsOf(
  name: string,
  { id, json, columns }: { id: number; json: number; columns: string },
): string {
  return `(SELECT $${id}::uuid AS ${name}, r.* FROM json_to_recordset($${json}::json) AS r (${columns}) OFFSET 0)`;
}

/** A text array ($2) as a table with one column; $1 is the `link_id` of all. */
export function valuesOfLink(column: string): string {
  return `(SELECT $1::uuid AS link_id, unnest($2::text[]) AS ${column} OFFSET 0)`;
}
