/** RxDB: two collections in memory, replicated by RxDB's own protocol; nothing reaches a disk. */
import { randomUUID } from 'node:crypto';
import { AppError } from '../domain/errors.ts';
import type { Memory } from '../domain/item.ts';
import type { Pair, ReplicationBatch } from './peer.ts';
import { importPeer } from './peer-packages.ts';

/** Documents written at a time, which is not timed. */
const BATCH = 500;

const SCHEMA = {
  version: 0,
  primaryKey: 'name',
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 100 },
    type: { type: 'string' },
    observations: { type: 'array', items: { type: 'string' } },
    relations: { type: 'array', items: { type: 'object' } },
  },
  required: ['name', 'type', 'observations', 'relations'],
};

interface Collection {
  readonly storageInstance: unknown;
  readonly conflictHandler: unknown;
  bulkUpsert(items: readonly Memory[]): Promise<{ readonly error: readonly unknown[] }>;
  findOne(name: string): { exec(): Promise<{ toJSON(): Memory } | null> };
  count(): { exec(): Promise<number> };
}
interface Db {
  readonly token: string;
  addCollections(made: object): Promise<{ readonly items: Collection }>;
  close(): Promise<unknown>;
}
type Row = Record<string, unknown>;
interface Master {
  masterChangesSince(checkpoint: unknown, batchSize: number): Promise<unknown>;
  masterWrite(rows: readonly Row[]): Promise<unknown>;
}
interface Core {
  createRxDatabase(of: object): Promise<Db>;
  rxStorageInstanceToReplicationHandler(
    instance: unknown,
    conflictHandler: unknown,
    token: string,
  ): Master;
}
interface Replication {
  replicateRxCollection(of: object): {
    readonly error$: { subscribe(onError: (error: unknown) => void): { unsubscribe(): void } };
    awaitInitialReplication(): Promise<void>;
    awaitInSync(): Promise<unknown>;
    cancel(): Promise<unknown>;
  };
}

export async function openRxPair(replicated: ReplicationBatch): Promise<Pair> {
  const [core, memory, replication] = (await Promise.all([
    importPeer('rxdb'),
    importPeer('rxdb/plugins/storage-memory'),
    importPeer('rxdb/plugins/replication'),
  ])) as [Core, { getRxStorageMemory(): unknown }, Replication];
  const open = async (side: string) => {
    const storage = memory.getRxStorageMemory();
    const name = `${side}-${randomUUID().slice(0, 8)}`;
    const db = await core.createRxDatabase({ name, storage, multiInstance: false });
    return { db, items: (await db.addCollections({ items: { schema: SCHEMA } })).items };
  };
  const sides = { near: await open('near'), far: await open('far') };
  const { db, items: far } = sides.far;
  const master = core.rxStorageInstanceToReplicationHandler(
    far.storageInstance,
    far.conflictHandler,
    db.token,
  );
  return {
    write: (side, items) => write(sides[side].items, items),
    sync: () => replicate(replication, { collection: sides.near.items, master, replicated }),
    async read(side, name) {
      return (await sides[side].items.findOne(name).exec())?.toJSON() ?? null;
    },
    count: (side) => sides[side].items.count().exec(),
    async close() {
      await sides.near.db.close();
      await db.close();
    },
  };
}

/** One replication from the last checkpoint on, as a program does that syncs now and then. */
async function replicate(
  replication: Replication,
  {
    collection,
    master,
    replicated,
  }: { collection: Collection; master: Master; replicated: ReplicationBatch },
): Promise<void> {
  const batch = replicated === null ? {} : { batchSize: replicated };
  const state = replication.replicateRxCollection({
    replicationIdentifier: 'bench',
    collection,
    live: false,
    waitForLeadership: false,
    pull: {
      ...batch,
      handler: (since: unknown, size: number) => master.masterChangesSince(since, size),
    },
    push: { ...batch, handler: (rows: readonly Row[]) => master.masterWrite(rows) },
  });
  const errors: unknown[] = [];
  const watch = state.error$.subscribe((error) => errors.push(error));
  await state.awaitInitialReplication();
  watch.unsubscribe();
  await state.cancel();
  if (errors.length > 0) throw new AppError('INTERNAL', 'RxDB did not sync', { cause: errors[0] });
}

async function write(collection: Collection, items: readonly Memory[]): Promise<void> {
  for (let from = 0; from < items.length; from += BATCH) {
    const { error } = await collection.bulkUpsert(items.slice(from, from + BATCH));
    if (error.length > 0) throw new AppError('INTERNAL', 'RxDB refused a document');
  }
}
