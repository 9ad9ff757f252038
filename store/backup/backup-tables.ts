/**
 * The tables a backup holds: whatever the catalogue says our schema has, so that a new table can
 * never be forgotten. Those that refer to others come after them.
 */
import { AppError } from '../../domain/errors.ts';
import type { Transaction } from '../database.ts';

export const SCHEMA = 'context_system';
/** TypeORM's own table of what has run, in the connection's default schema. */
export const MIGRATIONS_TABLE = 'syncline_migrations';

export interface BackupColumn {
  readonly name: string;
  /** As SQL: `text[]`, `vector(384)`. */
  readonly type: string;
  readonly isIdentity: boolean;
}

export interface BackupTable {
  readonly name: string;
  /** What can be inserted: generated columns are worked out again. */
  readonly columns: readonly BackupColumn[];
}

const SELECT_COLUMNS = `
SELECT c.relname AS "table", a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
  a.attidentity <> '' AS "isIdentity"
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY c.relname COLLATE "C", a.attnum`;

const SELECT_REFERENCES = `
SELECT DISTINCT f.relname AS "from", t.relname AS "to"
FROM pg_constraint k JOIN pg_class f ON f.oid = k.conrelid JOIN pg_class t ON t.oid = k.confrelid
WHERE k.contype = 'f' AND f.relnamespace = $1::regnamespace AND f.oid <> t.oid`;

/** Every table of the schema, those referred to first. @throws AppError UNAVAILABLE without a schema */
export async function listTables(tx: Transaction): Promise<readonly BackupTable[]> {
  const [schema] = await tx.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [SCHEMA]);
  if (!schema) {
    throw new AppError('UNAVAILABLE', 'the database holds no Syncline store yet');
  }
  const rows = await tx.query<BackupColumn & { table: string }>(SELECT_COLUMNS, [SCHEMA]);
  const references = await tx.query<Reference>(SELECT_REFERENCES, [SCHEMA]);
  const names = [...new Set(rows.map((row) => row.table))];
  return inOrder(names, references).map((name) => ({
    name,
    columns: rows
      .filter((row) => row.table === name)
      .map(({ name, type, isIdentity }) => ({ name, type, isIdentity })),
  }));
}

interface Reference {
  readonly from: string;
  readonly to: string;
}

/** Names so that none comes before what it refers to. @throws AppError INTERNAL for a circle */
export function inOrder(
  names: readonly string[],
  references: readonly Reference[],
): readonly string[] {
  const ordered: string[] = [];
  let left = [...names];
  while (left.length > 0) {
    const free = left.filter(
      (name) => !references.some(({ from, to }) => from === name && left.includes(to)),
    );
    if (free.length === 0)
      throw new AppError('INTERNAL', `tables refer to each other: ${left.join(', ')}`);
    ordered.push(...free);
    left = left.filter((name) => !free.includes(name));
  }
  return ordered;
}

/** Names of the migrations the store has had, oldest first. */
export async function listMigrations(tx: Transaction): Promise<readonly string[]> {
  const rows = await tx.query<{ name: string }>(`SELECT name FROM ${MIGRATIONS_TABLE} ORDER BY id`);
  return rows.map((row) => row.name);
}

/** A name as an SQL identifier. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A table's full name as SQL. */
export function qualified(table: string): string {
  return `${SCHEMA}.${quoted(table)}`;
}
