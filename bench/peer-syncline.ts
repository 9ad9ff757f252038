/** Syncline: near is the hub on a real Postgres, far an in-process grade-A remote. */
import { createFakeRemote, type FakeRemote } from '../connectors/fake/fake-remote.ts';
import { createFakeType } from '../connectors/fake/fake-type.ts';
import { AppError } from '../domain/errors.ts';
import { itemKey, type Memory } from '../domain/item.ts';
import type { Link } from '../domain/link.ts';
import { CALLER, createTestEngine, type TestEngine } from '../test/support/engine.ts';
import type { Pair } from './peer.ts';

const PREFIX = 'p/';
/** A full hub is filled through a link of its own: one write at a time would take minutes. */
const BULK = 1_000;

export async function openSynclinePair(): Promise<Pair> {
  const [far, supply] = [createFakeRemote({ grade: 'A' }), createFakeRemote({ grade: 'A' })];
  const remotes = new Map([
    ['far', far],
    ['supply', supply],
  ]);
  const engine = await createTestEngine({ types: [createFakeType(remotes)] });
  const link = await engine.addLink('fake', { remote: 'far' });
  return {
    async write(side, items) {
      if (side === 'far') putAll(far, items);
      else if (items.length > BULK) {
        putAll(supply, items);
        await passAll(engine, await engine.addLink('fake', { remote: 'supply' }));
      } else await writeHub(engine, items);
    },
    sync: () => passAll(engine, link),
    catchUp: () => indexAll(engine),
    async read(side, name) {
      if (side === 'far') return far.get(name) as Memory | null;
      const found = await engine.store.contexts.get(CALLER, itemKey(PREFIX, 'memory', name));
      return (found?.data ?? null) as Memory | null;
    },
    async count(side) {
      if (side === 'far') return far.all().length;
      const [row] = await engine.database.withTenant(CALLER.tenant, (tx) =>
        tx.query<{ count: number }>(
          'SELECT count(*)::int AS count FROM contexts WHERE NOT deleted',
        ),
      );
      return row!.count;
    },
    close: () => engine.close(),
  };
}

function putAll(remote: FakeRemote, items: readonly Memory[]): void {
  for (const item of items) remote.put(item);
}

/** Through the store's own write, one context at a time, as the API does it. */
async function writeHub(engine: TestEngine, items: readonly Memory[]): Promise<void> {
  for (const data of items) {
    const key = itemKey(PREFIX, 'memory', data.name);
    await engine.store.contexts.store(CALLER, {
      key,
      data,
      options: { kind: 'memory', ttl: null },
    });
  }
}

/** What the job worker does as soon as a sync tells of it. */
async function indexAll({ store }: TestEngine): Promise<void> {
  for (let left = 1; left > 0;)
    left = (await store.searchIndex.drain(CALLER.tenant, 5_000))?.left ?? 0;
}

async function passAll(engine: TestEngine, link: Link): Promise<void> {
  for (;;) {
    const { status, stale, inDoubt, heldBack } = await engine.pass(link);
    if (status !== 'settled') throw new AppError('INTERNAL', `the pass was ${status}`);
    if (!heldBack && stale === 0 && inDoubt === 0) return;
  }
}
