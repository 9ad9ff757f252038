/** Settling and claiming on real Postgres: what the pure decisions say is what the rows become. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createFakeType } from '../../../connectors/fake/fake-type.ts';
import { hashText, type Hash } from '../../../domain/hash.ts';
import type { ContextKey, OpId, RemoteId, RunId } from '../../../domain/ids.ts';
import type { Memory } from '../../../domain/item.ts';
import type { ItemNow, OpFacts } from '../../../domain/op.ts';
import type { DirtyItem, PassRef, PlannedOp } from '../../../store/contract.ts';
import { isStillFresh } from '../../../sync/settle.ts';
import { CALLER, createTestEngine, TENANT, type TestEngine } from '../../support/engine.ts';

const memory = (type: string): Memory => ({ name: 'Style', type, observations: [], relations: [] });

describe('settling', () => {
  const remotes = new Map<string, FakeRemote>();
  let engine: TestEngine;

  beforeAll(async () => {
    remotes.set('latest', createFakeRemote({ grade: 'A' }));
    remotes.set('unused', createFakeRemote({ grade: 'A' }));
    engine = await createTestEngine({ types: [createFakeType(remotes)] });
  });
  afterAll(() => engine.close());

  it('keeps in history what `latest` overwrote on the remote, even when the hub moved meanwhile', async () => {
    const remote = remotes.get('latest')!;
    const key = 'p/style' as ContextKey;
    const link = await engine.addLink('fake', { remote: 'latest' }, { strategy: 'latest' });
    const put = (type: string) =>
      engine.store.contexts.store(CALLER, {
        key,
        data: memory(type),
        options: { kind: 'memory', ttl: null },
      });
    remote.put(memory('first'));
    await engine.drain(link);

    // The fake tells no times: the hub's edit is the later one.
    remote.put(memory('from the remote'));
    await put('from the hub');
    let isFirst = true;
    remote.hooks.afterCall = async ({ method }) => {
      if (method !== 'apply' || !isFirst) return;
      isFirst = false;
      await put('from the hub, while the write was on its way');
    };
    await engine.drain(link);
    remote.hooks.afterCall = undefined;
    expect(isFirst).toBe(false);
    // The edit that came in between is the next pass's.
    await engine.drain(link);

    const rows = (await engine.store.contexts.versions(CALLER, { key, limit: 100 })).items;
    const bodies = await Promise.all(
      rows.map(({ version }) => engine.store.contexts.get(CALLER, key, version)),
    );
    const types = bodies.map((context) => (context?.data as Memory | undefined)?.type);
    expect(types).toContain('from the remote');
    expect(types[0]).toBe('from the hub, while the write was on its way');
    expect(remote.get('Style')).toMatchObject({ type: types[0] });
  });

  it('claims exactly the ops that the pure re-check calls fresh', async () => {
    const link = await engine.addLink(
      'fake',
      { remote: 'unused' },
      { scope: { prefix: 'fresh/' } },
    );
    const runId = randomUUID() as RunId;
    const begun = await engine.store.sync.beginPass({
      tenant: TENANT,
      linkId: link.id,
      trigger: 'test',
      newRunId: runId,
    });
    if (begun.status !== 'begun') throw new Error(begun.why);
    const { ref } = begun.pass;
    const cases = fc.sample(freshCase, { numRuns: 300, seed: 4 });
    await insertItems(engine, ref, cases);
    const ops = cases.map(({ op }, at) => plannedOp(op, at));
    const page = {
      adopted: [],
      forgotten: [],
      rested: [],
      conflicts: [],
      quarantined: [],
      ops,
      bodies: [],
    };
    await engine.store.sync.recordPlan(ref, { page, trigger: 'test' });

    const claimed = await engine.store.sync.claimOps(ref, { after: 0, limit: 1_000 });
    const fresh = cases.flatMap(({ op, now }, at) => (isStillFresh(op, now) ? [keyOf(at)] : []));
    expect(claimed.ops.map((op) => op.key)).toEqual(fresh);
    expect(claimed.stale).toBe(cases.length - fresh.length);
    expect(fresh.length).toBeGreaterThan(10);
    expect(claimed.stale).toBeGreaterThan(10);
    const states = await engine.database.withTenant(TENANT, (tx) =>
      tx.query<{ key: ContextKey }>(
        `SELECT key FROM sync_ops WHERE run_id = $1 AND state = 'stale' ORDER BY seq`,
        [ref.runId],
      ),
    );
    const stale = cases.flatMap(({ op, now }, at) => (isStillFresh(op, now) ? [] : [keyOf(at)]));
    expect(states.map((row) => row.key)).toEqual(stale);
  });
});

interface FreshCase {
  readonly op: OpFacts;
  readonly now: ItemNow;
}

const hash = fc.constantFrom<Hash | null>(null, hashText('a'), hashText('b'));
const version = fc.constantFrom<string | null>(null, '1', '2');
const name = fc.constantFrom('n', 'm');

/** Half of the cases differ nowhere but in a name that may be lost; the rest wherever chance has it. */
const freshCase: fc.Arbitrary<FreshCase> = fc
  .record({
    isSame: fc.boolean(),
    isNameless: fc.boolean(),
    side: fc.constantFrom('hub', 'remote', 'both'),
    op: fc.record({
      hubVersion: fc.nat(2),
      remoteId: name,
      remoteVersion: version,
      remoteHash: hash,
    }),
    now: fc.record({
      hubVersion: fc.nat(2),
      remoteId: name,
      remoteVersion: version,
      remoteHash: hash,
    }),
  })
  .map(({ isSame, isNameless, side, op, now }) => ({
    op: {
      ...op,
      remoteId: op.remoteId as RemoteId,
      action: 'update',
      side,
      hubHash: hashText('h'),
      hubAfter: null,
      remoteAfter: null,
      baseRemoteHash: null,
    },
    now: {
      ...(isSame ? op : now),
      remoteId: isNameless ? null : ((isSame ? op : now).remoteId as RemoteId),
    },
  }));

const keyOf = (at: number): ContextKey => `fresh/${String(at).padStart(4, '0')}` as ContextKey;
/** Names are unique within a link. */
const nameOf = (remoteId: string, at: number): RemoteId => `${remoteId}${at}` as RemoteId;

async function insertItems(
  engine: TestEngine,
  ref: PassRef,
  cases: readonly FreshCase[],
): Promise<void> {
  const rows = cases.map(({ now }, at) => ({
    key: keyOf(at),
    remote_id: now.remoteId && nameOf(now.remoteId, at),
    status: now.remoteHash ? 'present' : 'absent',
    hash: now.remoteHash,
    version: now.remoteVersion,
    hub_version: now.hubVersion,
  }));
  await engine.database.withTenant(TENANT, async (tx) => {
    await tx.query(
      `INSERT INTO sync_items (tenant_id, link_id, key, remote_id, kind, state, remote_status, remote_hash, remote_version)
       SELECT $3, $1, key, remote_id, 'memory', 'pending', status, decode(hash, 'hex'), version
       FROM json_to_recordset($2::json) AS r (key text, remote_id text, status text, hash text, version text)`,
      [ref.linkId, JSON.stringify(rows), TENANT],
    );
    await tx.query(
      `INSERT INTO contexts (tenant_id, key, version, kind, size, created_at, updated_at, deleted, delete_reason)
       SELECT $2, key, hub_version, 'memory', 0, now(), now(), true, 'user'
       FROM json_to_recordset($1::json) AS r (key text, hub_version int) WHERE hub_version > 0`,
      [JSON.stringify(rows), TENANT],
    );
  });
}

function plannedOp(op: OpFacts, at: number): PlannedOp {
  const item: Partial<DirtyItem> = {
    key: keyOf(at),
    kind: 'memory',
    remoteId: nameOf(op.remoteId, at),
    hubVersion: op.hubVersion,
    hubHash: op.hubHash,
    remoteVersion: op.remoteVersion,
    remoteHash: op.remoteHash,
  };
  return {
    opId: randomUUID() as OpId,
    action: op.action,
    side: op.side,
    reason: 'test',
    item: item as DirtyItem,
    hubAfter: null,
    remoteAfter: null,
  };
}
