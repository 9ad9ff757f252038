/** PouchDB: two databases on leveldb in a folder of their own, `PouchDB.sync` between them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '../domain/errors.ts';
import type { Memory } from '../domain/item.ts';
import type { Pair, ReplicationBatch } from './peer.ts';
import { importPeer } from './peer-packages.ts';

/** Documents written at a time, which is not timed. */
const BATCH = 500;

interface Row extends Memory {
  readonly _id: string;
  readonly _rev?: string;
}
interface Pouch {
  bulkDocs(docs: readonly Row[]): Promise<readonly { readonly ok?: boolean }[]>;
  allDocs(query: { keys: readonly string[] }): Promise<{
    rows: readonly { readonly key: string; readonly value?: { readonly rev: string } }[];
  }>;
  get(id: string): Promise<Row>;
  info(): Promise<{ readonly doc_count: number }>;
  close(): Promise<void>;
}
interface PouchClass {
  new (path: string, options: { adapter: 'leveldb' }): Pouch;
  plugin(plugin: unknown): PouchClass;
  sync(
    a: Pouch,
    b: Pouch,
    options: { batch_size?: number },
  ): Promise<Record<'push' | 'pull', { readonly ok: boolean }>>;
}

export async function openPouchPair(replicated: ReplicationBatch): Promise<Pair> {
  const [core, leveldb, replication] = await Promise.all([
    importPeer('pouchdb-core'),
    importPeer('pouchdb-adapter-leveldb'),
    importPeer('pouchdb-replication'),
  ]);
  const pouch = core as PouchClass;
  // The class is one for the whole process, and takes each plugin only once.
  if (!('sync' in pouch)) (pouch as PouchClass).plugin(leveldb).plugin(replication);
  const options = replicated === null ? {} : { batch_size: replicated };
  const folder = mkdtempSync(join(tmpdir(), 'syncline-bench-pouch-'));
  const open = (name: string): Pouch => new pouch(join(folder, name), { adapter: 'leveldb' });
  const sides = { near: open('near'), far: open('far') };
  return {
    write: (side, items) => write(sides[side], items),
    async sync() {
      const { push, pull } = await pouch.sync(sides.near, sides.far, options);
      if (!push.ok || !pull.ok) throw new AppError('INTERNAL', 'PouchDB did not sync');
    },
    async read(side, name) {
      const { _id, _rev, ...item } = await sides[side].get(name);
      return item;
    },
    count: async (side) => (await sides[side].info()).doc_count,
    async close() {
      await sides.near.close();
      await sides.far.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function write(side: Pouch, items: readonly Memory[]): Promise<void> {
  for (let from = 0; from < items.length; from += BATCH) {
    const batch = items.slice(from, from + BATCH);
    const found = await side.allDocs({ keys: batch.map((item) => item.name) });
    const rows = batch.map((item, nth): Row => {
      const rev = found.rows[nth]?.value?.rev;
      return { ...item, _id: item.name, ...(rev !== undefined && { _rev: rev }) };
    });
    const results = await side.bulkDocs(rows);
    if (results.some(({ ok }) => !ok)) throw new AppError('INTERNAL', 'PouchDB refused a document');
  }
}
