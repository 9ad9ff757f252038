/**
 * A table's rows as lines of text: each a JSON array of its columns' values as Postgres writes them,
 * so that every type comes back as it was. Read in pieces of bounded size, however large a row is.
 */
import type { Transaction } from '../database.ts';
import { qualified, quoted, type BackupTable } from './backup-tables.ts';

/** Bytes of values read at once, but for a single row that is larger. */
const MAX_PIECE_BYTES = 2 * 1024 * 1024;
const MAX_PIECE_ROWS = 1_000;
const PLACES_AT_ONCE = 10_000;
const CURSOR = 'backup_places';

/** Pieces of a table's rows, in no certain order. Needs a transaction that sees one moment. */
export async function* tableRows(
  tx: Transaction,
  table: BackupTable,
): AsyncGenerator<readonly string[]> {
  const values = table.columns.map(({ name }) => `${quoted(name)}::text`).join(', ');
  const select = `SELECT json_build_array(${values})::text AS line FROM ${qualified(table.name)}
    WHERE ctid = ANY($1::tid[])`;
  for await (const places of piecesOf(tx, table)) {
    const rows = await tx.query<{ line: string }>(select, [places]);
    yield rows.map((row) => row.line);
  }
}

interface Place {
  readonly place: string;
  readonly bytes: number;
}

/** Where rows lie, in pieces that fit into memory together: their sizes are known before they are read. */
async function* piecesOf(tx: Transaction, table: BackupTable): AsyncGenerator<readonly string[]> {
  const sizes = table.columns.map(({ name, type }) => sizeOf(quoted(name), type)).join(' + ');
  await tx.query(
    `DECLARE ${CURSOR} NO SCROLL CURSOR FOR SELECT ctid::text AS place, (${sizes})::float8 AS bytes
     FROM ${qualified(table.name)}`,
  );
  let piece: string[] = [];
  let bytes = 0;
  for (;;) {
    const rows = await tx.query<Place>(`FETCH ${PLACES_AT_ONCE} FROM ${CURSOR}`);
    for (const row of rows) {
      const isFull = bytes + row.bytes > MAX_PIECE_BYTES || piece.length >= MAX_PIECE_ROWS;
      if (isFull && piece.length > 0) {
        yield piece;
        piece = [];
        bytes = 0;
      }
      piece.push(row.place);
      bytes += row.bytes;
    }
    if (rows.length < PLACES_AT_ONCE) break;
  }
  await tx.query(`CLOSE ${CURSOR}`);
  if (piece.length > 0) yield piece;
}

// What these say of a value that lies apart stands in its row: the value itself is not fetched.
function sizeOf(column: string, type: string): string {
  const measure = type === 'text' || type === 'bytea' ? 'octet_length' : 'pg_column_size';
  return `coalesce(${measure}(${column}), 0)`;
}
