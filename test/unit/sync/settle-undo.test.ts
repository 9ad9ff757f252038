import { describe, expect, it } from 'vitest';
import { hashText, type Hash } from '../../../domain/hash.ts';
import { asRemoteId } from '../../../domain/item.ts';
import type { OpFacts, OpUndo } from '../../../domain/op.ts';
import { settleOp } from '../../../sync/settle.ts';

const hash = (text: string): Hash => hashText(text);
const [OLD, NEW, OTHER] = [hash('old'), hash('new'), hash('other')];
const ID = asRemoteId('Alice');

/** An undo of an update of the remote: it had OLD, the run wrote NEW, the hub agreed on NEW. */
function undoing(change: Partial<OpFacts>, undo: Partial<OpUndo> = {}): OpFacts {
  return {
    action: 'update',
    side: 'remote',
    remoteId: ID,
    hubVersion: 3,
    hubHash: NEW,
    remoteVersion: 'r2',
    remoteHash: NEW,
    hubAfter: null,
    remoteAfter: OLD,
    baseRemoteHash: NEW,
    undo: { to: 'held', otherBase: NEW, ...undo },
    ...change,
  };
}

const wrote = (written: Hash | null) => ({
  status: 'applied' as const,
  remote: { remoteId: ID, version: written && 'r3', hash: written },
});
const HUB_ONLY = { status: 'applied', remote: null } as const;

describe('an undone op', () => {
  it('leaves the two sides apart on purpose, and at rest', () => {
    expect(settleOp(undoing({}), wrote(OLD), 3)).toMatchObject({
      state: 'done',
      hubWrite: null,
      keepsLoser: false,
      item: {
        state: 'held',
        base: { version: 3, hubHash: NEW, remoteHash: OLD },
        isDirty: false,
      },
    });
  });

  it('keeps what the other side agreed on, so that its newer edit is one', () => {
    const op = undoing({ hubHash: OTHER, hubVersion: 4 });
    expect(settleOp(op, wrote(OLD), 4).item).toMatchObject({
      base: { hubHash: NEW, remoteHash: OLD },
      isDirty: true,
    });
    const onHub = undoing({ side: 'hub', hubAfter: OLD, remoteAfter: null, remoteHash: OTHER });
    expect(settleOp(onHub, HUB_ONLY, 3)).toMatchObject({
      hubWrite: 'as-planned',
      item: { base: { version: 4, hubHash: OLD, remoteHash: NEW }, isDirty: true },
    });
  });

  it('of both sides writes only the remote where the hub moved on meanwhile', () => {
    const op = undoing({ side: 'both', hubAfter: OTHER });
    expect(settleOp(op, wrote(OLD), 3)).toMatchObject({
      hubWrite: 'as-planned',
      item: { base: { version: 4, hubHash: OTHER, remoteHash: OLD }, isDirty: false },
    });
    expect(settleOp(op, wrote(OLD), 4)).toMatchObject({
      hubWrite: null,
      item: { base: { hubHash: NEW, remoteHash: OLD }, isDirty: true },
    });
  });

  it('of the hub is not forced where the hub moved on meanwhile', () => {
    const op = undoing({ side: 'hub', hubAfter: OLD, remoteAfter: null });
    expect(settleOp(op, HUB_ONLY, 4)).toMatchObject({ state: 'stale', item: null });
  });

  it('that created an item leaves it on one side, without a base', () => {
    const op = undoing({ action: 'delete', remoteAfter: null });
    expect(settleOp(op, wrote(null), 3).item).toMatchObject({ state: 'held', base: null });
  });

  it('gives the agreement back when it undoes an undo', () => {
    const again = { to: 'agreed' } as const;
    const op = undoing({ remoteHash: OLD, remoteAfter: NEW }, again);
    expect(settleOp(op, wrote(NEW), 3).item).toMatchObject({ state: 'synced', isDirty: false });
    const gone = undoing({ action: 'delete', hubHash: null, remoteAfter: null }, again);
    const deleted = { ...gone, undo: { to: 'agreed', otherBase: null } as const };
    expect(settleOp(deleted, wrote(null), 3).item).toMatchObject({
      state: 'tombstoned',
      base: null,
      isDirty: false,
    });
    const alone = { ...op, undo: { to: 'agreed', otherBase: null } as const };
    expect(settleOp(alone, wrote(NEW), 3).item).toMatchObject({ state: 'held', base: null });
  });

  it('that the remote refused, or that failed, changes nothing but what was seen', () => {
    const seen = { version: 'r9', hash: OTHER };
    const stale = settleOp(undoing({}), { status: 'stale', seen, detail: 'moved' }, 3);
    expect(stale).toMatchObject({ state: 'stale', item: { keepsBase: true, isDirty: true } });
  });
});
