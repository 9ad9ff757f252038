import { describe, expect, it } from 'vitest';
import { hashText, type Hash } from '../../../domain/hash.ts';
import type { RemoteId } from '../../../domain/ids.ts';
import type { OpAnswer, OpFacts } from '../../../domain/op.ts';
import { answerFromRead, recoveryOf } from '../../../sync/recover.ts';
import { isStillFresh, settleOp } from '../../../sync/settle.ts';

const [base, hub, remote, after] = ['base', 'hub', 'remote', 'after'].map((text) =>
  hashText(text),
) as [Hash, Hash, Hash, Hash];
const remoteId = 'n' as RemoteId;

const OP: OpFacts = {
  action: 'merge',
  side: 'both',
  remoteId,
  hubVersion: 3,
  hubHash: hub,
  remoteVersion: 'r1',
  remoteHash: remote,
  hubAfter: after,
  remoteAfter: after,
  baseRemoteHash: base,
};
const applied = (hash: Hash | null): OpAnswer => ({
  status: 'applied',
  remote: { remoteId, version: hash && 'r2', hash },
});

describe('settling an op', () => {
  it('agrees on what both sides hold, and keeps what the remote lost', () => {
    const settlement = settleOp(OP, applied(after), 3);
    expect(settlement).toMatchObject({ state: 'done', hubWrite: 'as-planned', keepsLoser: true });
    expect(settlement.item).toMatchObject({
      state: 'synced',
      base: { version: 5, hubHash: after, remoteHash: after },
      isDirty: false,
    });
  });

  it('keeps what the remote lost even when the hub moved, and leaves the item dirty', () => {
    const settlement = settleOp(OP, applied(after), 4);
    expect(settlement).toMatchObject({ state: 'done', hubWrite: 'as-it-is', keepsLoser: true });
    expect(settlement.item).toMatchObject({
      state: 'pending',
      base: { version: 3, hubHash: hub, remoteHash: hub },
      isDirty: true,
    });
  });

  it('takes the version the op was planned on for the base of a copy when the hub moved', () => {
    const copy: OpFacts = {
      ...OP,
      action: 'update',
      side: 'remote',
      remoteAfter: hub,
      hubAfter: null,
      baseRemoteHash: remote,
    };
    const settlement = settleOp(copy, applied(hub), 4);
    expect(settlement).toMatchObject({ state: 'done', hubWrite: null, keepsLoser: false });
    expect(settlement.item).toMatchObject({ base: { version: 3, hubHash: hub, remoteHash: hub } });
  });

  it('does not write a hub that moved', () => {
    const copy: OpFacts = { ...OP, side: 'hub', remoteAfter: null };
    const settlement = settleOp(copy, { status: 'applied', remote: null }, 4);
    expect(settlement).toMatchObject({ state: 'stale', hubWrite: null, item: null });
  });

  it('makes a new base of an edit taken over by the hub alone', () => {
    const copy: OpFacts = { ...OP, action: 'update', side: 'hub', remoteAfter: null };
    const settlement = settleOp(copy, { status: 'applied', remote: null }, 3);
    expect(settlement).toMatchObject({ state: 'done', hubWrite: 'as-planned', keepsLoser: false });
    expect(settlement.item).toMatchObject({
      remoteId,
      remote: { version: 'r1', hash: remote },
      base: { version: 4, hubHash: after, remoteHash: remote },
      isDirty: false,
    });
  });

  it('goes on from the version of the hub when only the remote was written', () => {
    const copy: OpFacts = { ...OP, action: 'update', side: 'remote', baseRemoteHash: remote };
    const { item } = settleOp({ ...copy, hubAfter: null, remoteAfter: hub }, applied(hub), 3);
    expect(item).toMatchObject({ base: { version: 3, hubHash: hub, remoteHash: hub } });
  });

  it('goes on from one version later when both sides were written and nothing was lost', () => {
    const { item } = settleOp({ ...OP, baseRemoteHash: remote }, applied(after), 3);
    expect(item).toMatchObject({ base: { version: 4, hubHash: after, remoteHash: after } });
  });

  it('leaves a tombstone of what is gone on both sides', () => {
    const gone: OpFacts = {
      ...OP,
      action: 'delete',
      side: 'remote',
      hubHash: null,
      hubAfter: null,
      remoteAfter: null,
      baseRemoteHash: remote,
    };
    const { item } = settleOp(gone, applied(null), 3);
    expect(item).toMatchObject({ state: 'tombstoned', base: null, isDirty: false });
  });

  it('keeps the base when the remote refused, and records what it holds', () => {
    const answer: OpAnswer = {
      status: 'stale',
      seen: { version: 'r9', hash: base },
      detail: 'moved',
    };
    expect(settleOp(OP, answer, 3)).toMatchObject({
      state: 'stale',
      detail: 'moved',
      item: { keepsBase: true, remote: { version: 'r9', hash: base }, isDirty: true },
    });
    expect(settleOp(OP, { ...answer, seen: null }, 3).item).toBeNull();
  });

  it('passes a fault on', () => {
    const fault = { code: 'ITEM_INVALID', detail: 'no' };
    expect(settleOp(OP, { status: 'failed', fault }, 3)).toMatchObject({ state: 'failed', fault });
  });
});

describe('an op at its claim', () => {
  const now = { hubVersion: 3, remoteId, remoteVersion: 'r1', remoteHash: remote };

  it('is fresh as long as both sides are what the plan saw', () => {
    expect(isStillFresh(OP, now)).toBe(true);
    expect(isStillFresh(OP, { ...now, hubVersion: 4 })).toBe(false);
    expect(isStillFresh(OP, { ...now, remoteVersion: null })).toBe(false);
    expect(isStillFresh(OP, { ...now, remoteHash: null })).toBe(false);
    expect(isStillFresh(OP, { ...now, remoteId: 'm' as RemoteId })).toBe(false);
    expect(isStillFresh(OP, { ...now, remoteId: null })).toBe(false);
  });
});

describe('an intent nobody settled', () => {
  it('is asked again only where op ids are remembered', () => {
    expect([recoveryOf('A'), recoveryOf('B'), recoveryOf('C')]).toEqual(['ask', 'read', 'read']);
  });

  it('counts as written exactly when the remote holds what was meant', () => {
    const read = (hash: Hash | null, id = remoteId) =>
      answerFromRead(OP, { status: 'read', remoteId: id, version: 'r2', hash });
    expect(read(after)).toEqual(applied(after));
    expect(read(remote)).toMatchObject({ status: 'stale', seen: { version: 'r2', hash: remote } });
    expect(read(remote, 'renamed' as RemoteId)).toMatchObject({ status: 'stale', seen: null });
    const fault = { code: 'ITEM_INVALID', detail: 'no' };
    expect(answerFromRead(OP, { status: 'faulty', fault })).toEqual({ status: 'failed', fault });
  });
});
