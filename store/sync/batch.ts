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
  return `(SELECT $1::uuid AS link_id, r.* FROM json_to_recordset($${json}::json) AS r (${columns}) OFFSET 0)`;
}

/** Columns of a batch that is sent as arrays, with their SQL types, in order. */
export type BatchColumns = Readonly<
  Record<string, 'text' | 'int' | 'boolean' | 'uuid' | 'float8' | 'json'>
>;

/**
 * Rows sent as one array per column: what Postgres reads in half the time it takes for JSON. $1 is the
 * `link_id` of all, `first` the number of the first column's parameter.
 */
export function columnsOfLink(first: number, columns: BatchColumns): string {
  return columnsUnder('link_id', { id: 1, first, columns });
}

/** The same for a run, whose id is the parameter `id`. */
export function columnsOfRun(id: number, first: number, columns: BatchColumns): string {
  return columnsUnder('run_id', { id, first, columns });
}

function columnsUnder(
  name: string,
  { id, first, columns }: { id: number; first: number; columns: BatchColumns },
): string {
  return `(SELECT $${id}::uuid AS ${name}, r.* FROM ${unnested(first, columns)} AS r (${Object.keys(columns).join(', ')}) OFFSET 0)`;
}

/**
 * The arrays as a set of rows. Behind a SELECT the planner cannot count them, takes them for ten and
 * looks each up by key; it would rather read the whole table for 1,000 of them.
 */
export function unnested(first: number, columns: BatchColumns): string {
  const arrays = Object.values(columns).map((type, nth) => `(SELECT $${first + nth}::${type}[])`);
  return `unnest(${arrays.join(', ')})`;
}

/** The values of rows by column, each as the text of an array; what a row lacks is null. */
export function valuesByColumn<Columns extends BatchColumns>(
  columns: Columns,
  rows: readonly Readonly<Partial<Record<keyof Columns, string | number | boolean | null>>>[],
): string[] {
  return Object.keys(columns).map((name) => arrayText(rows.map((row) => row[name] ?? null)));
}

/** An array as Postgres reads it. */
export function arrayText(values: readonly (string | number | boolean | null)[]): string {
  let text = '';
  for (const value of values) {
    if (text !== '') text += ',';
    if (value === null) text += 'NULL';
    else if (typeof value !== 'string') text += String(value);
    else text += NEEDS_ESCAPE.test(value) ? quoted(value) : `"${value}"`;
  }
  return `{${text}}`;
}

const NEEDS_ESCAPE = /["\\]/;

function quoted(value: string): string {
  return `"${value.replace(/["\\]/g, '\\$&')}"`;
}

/** A text array ($2) as a table with one column; $1 is the `link_id` of all. */
export function valuesOfLink(column: string): string {
  return `(SELECT $1::uuid AS link_id, unnest($2::text[]) AS ${column} OFFSET 0)`;
}
