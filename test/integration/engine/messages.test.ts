/** What the engine sends in one message happens as a whole or not at all, and nothing waits in vain. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import { toAppError } from '../../../domain/errors.ts';
import type { ContextKey, RunId } from '../../../domain/ids.ts';
import { itemKey, type Memory } from '../../../domain/item.ts';
import { NO_COUNTS, type Link } from '../../../domain/link.ts';
import type { PassRef } from '../../../store/contract.ts';
import { settleOp } from '../../../sync/settle.ts';
import { CALLER, createTestEngine, TENANT, type TestEngine } from '../../support/engine.ts';

const memory = (name: string, fact: string): Memory => {
  return { name, type: 'note', observations: [fact], relations: [] };
};

/** Another test file's transaction may hold the newest change back for a moment. */
const SHOWN_SOON = { timeout: 20_000, interval: 1 };

describe('what a pass sends', () => {
  const remotes = new Map<string, FakeRemote>();
  let engine: TestEngine;

  beforeAll(async () => {
    for (const name of ['fenced', 'paged', 'mixed']) {
      remotes.set(name, createFakeRemote({ grade: 'A' }));
    }
    engine = await createTestEngine({ types: [createFakeType(remotes)] });
  });
  afterAll(() => engine.close());

  async function storeInHub(prefix: string, name: string, fact: string): Promise<ContextKey> {
    const key = itemKey(prefix, 'memory', name);
    const data = memory(name, fact);
    await engine.store.contexts.store(CALLER, {
      key,
      data,
      options: { kind: 'memory', ttl: null },
    });
    return key;
  }

  async function begin(link: Link): Promise<PassRef> {
    const newRunId = randomUUID() as RunId;
    const begun = await engine.store.sync.beginPass({
      tenant: TENANT,
      linkId: link.id,
      trigger: 'test',
      newRunId,
    });
    if (begun.status !== 'begun') throw new Error(begun.why);
    return begun.pass.ref;
  }

  it('leaves nothing behind once another pass has taken over the link', async () => {
    const { sync } = engine.store;
    const link = await engine.addLink('fake', { remote: 'fenced' }, { scope: { prefix: 'f/' } });
    remotes.get('fenced')!.put(memory('Both', 'first'));
    await engine.drain(link);
    const key = await storeInHub('f/', 'Both', 'second');
    const old = await begin(link);
    await vi.waitFor(
      async () => expect((await sync.observeHub(old, 10)).changed).toBe(1),
      SHOWN_SOON,
    );
    const items = await sync.dirtyItems(old, { after: '', limit: 10 });
    expect(items.map((item) => item.key)).toEqual([key]);
    const op = {
      opId: randomUUID() as never,
      action: 'update' as const,
      side: 'remote' as const,
      reason: 'edited',
      item: items[0]!,
      hubAfter: null,
      remoteAfter: items[0]!.hubHash,
    };
    const nothing = { adopted: [], forgotten: [], rested: [], conflicts: [], quarantined: [] };
    const page = { ...nothing, ops: [op], bodies: [] };
    await sync.recordPlan(old, { page, trigger: 'test' });
    const { ops } = await sync.claimOps(old, { after: 0, limit: 10 });
    expect(ops).toHaveLength(1);
    await storeInHub('f/', 'Other', 'unseen');

    await begin(link);
    const before = await rowsOf(link);
    const sighting = {
      remoteId: ops[0]!.remoteId,
      isKnown: true,
      key,
      spareKey: key,
      kind: 'memory' as const,
      status: 'absent' as const,
      version: null,
      body: null,
      changedAtMs: null,
      fault: null,
    };
    const [results, at] = [[{ status: 'applied' as const, op: ops[0]!, remote: null }], new Date()];
    const calls: Record<string, () => Promise<unknown>> = {
      observeHub: () => sync.observeHub(old, 10),
      recordSightings: () => sync.recordSightings(old, [sighting]),
      completeObservation: () =>
        sync.completeObservation(old, {
          sightings: [sighting],
          cursor: 'elsewhere',
          seenIds: null,
          scansNeeded: 1,
        }),
      completeScan: () =>
        sync.completeObservation(old, {
          sightings: [],
          cursor: 'elsewhere',
          seenIds: [],
          scansNeeded: 1,
        }),
      dirtyItems: () => sync.dirtyItems(old, { after: '', limit: 10 }),
      recordPlan: () =>
        sync.recordPlan(old, { page: { ...page, adopted: items }, trigger: 'test' }),
      claimOps: () => sync.claimOps(old, { after: 0, limit: 10 }),
      settleOps: () => sync.settleOps(old, { results, settleOp, linkName: link.name, at }),
      finishPass: () =>
        sync.finishPass(old, {
          status: 'settled',
          mode: 'look',
          trigger: 'test',
          counters: NO_COUNTS,
          phases: {},
          guard: null,
          error: null,
          isNotable: true,
        }),
    };
    for (const [name, call] of Object.entries(calls)) {
      const code = await call().then(
        () => 'done',
        (error: unknown) => toAppError(error).code,
      );
      expect({ name, code }).toEqual({ name, code: 'FENCED' });
    }
    expect(await rowsOf(link)).toEqual(before);
  });

  async function rowsOf(link: Link): Promise<unknown> {
    return engine.database.withTenant(TENANT, async (tx) => [
      await tx.query('SELECT * FROM sync_links WHERE id = $1', [link.id]),
      await tx.query('SELECT * FROM sync_items WHERE link_id = $1 ORDER BY key', [link.id]),
      await tx.query('SELECT * FROM sync_ops WHERE link_id = $1 ORDER BY run_id, seq', [link.id]),
      await tx.query('SELECT * FROM sync_runs WHERE link_id = $1 ORDER BY id', [link.id]),
    ]);
  }

  it('sees each change of the hub once, however few it looks at a time', async () => {
    const { sync } = engine.store;
    const link = await engine.addLink('fake', { remote: 'paged' }, { scope: { prefix: 'g/' } });
    await engine.drain(link);
    for (let nth = 0; nth < 5; nth += 1) await storeInHub('g/', `Item ${nth}`, 'first');
    await storeInHub('elsewhere/', 'Item', 'first');
    const ref = await begin(link);
    let seen = 0;
    await vi.waitFor(async () => {
      const { changed } = await sync.observeHub(ref, 2);
      expect(changed).toBeLessThanOrEqual(2);
      seen += changed;
      expect(seen).toBe(5);
    }, SHOWN_SOON);
    expect(await sync.observeHub(ref, 2)).toMatchObject({ changed: 0, hasMore: false });
  });

  it('settles what writes only the hub while the remote is being written', async () => {
    const remote = remotes.get('mixed')!;
    const link = await engine.addLink('fake', { remote: 'mixed' }, { scope: { prefix: 'm/' } });
    for (const name of ['Here', 'There']) remote.put(memory(name, 'first'));
    await engine.drain(link);
    await storeInHub('m/', 'Here', 'edited in the hub');
    remote.put(memory('There', 'edited there'));
    const key = itemKey('m/', 'memory', 'There');
    let isWritten = false;
    remote.hooks.beforeCall = async ({ method }) => {
      if (method !== 'apply') return;
      await vi.waitFor(
        async () => {
          const there = await engine.store.contexts.get(CALLER, key);
          expect(there?.data).toMatchObject({ observations: ['edited there'] });
        },
        { timeout: 20_000 },
      );
      isWritten = true;
    };
    const { counters } = await engine.drain(link);
    remote.hooks.beforeCall = undefined;
    expect(isWritten).toBe(true);
    expect(counters.applied).toBe(2);
    expect(remote.get('Here')).toMatchObject({ observations: ['edited in the hub'] });
  });
});
