/** How much room the tables take on disk, by kind; asks the catalogue, so it reads no row of ours. */
import type { Database } from './database.ts';

/** Whose bytes they are; `other` is everything not named. */
export const STORAGE_KINDS = [
  'bodies',
  'contexts',
  'versions',
  'changes',
  'sync',
  'other',
] as const;
export type StorageKind = (typeof STORAGE_KINDS)[number];

export interface StorageSizes {
  /** Bytes, indexes and out-of-line values included; freed room counts until Postgres gives it back. */
  byKind(): Promise<Readonly<Record<StorageKind, number>>>;
}

const KIND_OF_TABLE: Readonly<Record<string, StorageKind>> = {
  blobs: 'bodies',
  contexts: 'contexts',
  context_versions: 'versions',
  changes: 'changes',
};

const SELECT_SIZES = `
SELECT c.relname AS name, pg_total_relation_size(c.oid)::float8 AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'context_system' AND c.relkind IN ('r', 'm')`;

export function createStorageSizes(database: Database): StorageSizes {
  return {
    async byKind() {
      const rows = await database.withSystem((tx) =>
        tx.query<{ name: string; bytes: number }>(SELECT_SIZES),
      );
      const sizes = Object.fromEntries(STORAGE_KINDS.map((kind) => [kind, 0]));
      for (const { name, bytes } of rows) sizes[kindOf(name)]! += bytes;
      return sizes as Record<StorageKind, number>;
    },
  };
}

function kindOf(table: string): StorageKind {
  return KIND_OF_TABLE[table] ?? (table.startsWith('sync_') ? 'sync' : 'other');
}
