/**
 * What the outcome of an op that undoes another means. The side it wrote is what it was before; the
 * side it left alone keeps its agreed state, so that an edit made there since still counts as one.
 * Promises: an item whose undo left its sides apart rests as `held` until a new edit; an undo that is
 * undone gives back the agreement.
 */
import type { Hash } from '../domain/hash.ts';
import type { OpFacts, OpUndo, RemoteState, SettledItem, Settlement } from '../domain/op.ts';
import type { RemoteId } from '../domain/ids.ts';

type RemoteAfter = (RemoteState & { readonly remoteId: RemoteId }) | null;

/** @param outcome what the remote answered (null: not written), and whether the hub is as planned */
export function settleUndo(
  op: OpFacts,
  undo: OpUndo,
  outcome: { readonly remote: RemoteAfter; readonly isHubFresh: boolean },
): Settlement {
  const { remote, isHubFresh } = outcome;
  const writesHub = op.side !== 'remote' && isHubFresh;
  const now: RemoteState = remote ?? { version: op.remoteVersion, hash: op.remoteHash };
  const hubHash = writesHub ? op.hubAfter : undo.otherBase;
  const remoteHash = op.side === 'hub' ? undo.otherBase : now.hash;
  const left = op.side === 'hub' ? op.remoteHash : op.hubHash;
  const isLeftMoved = op.side !== 'both' && left !== undo.otherBase;
  const item: SettledItem = {
    keepsBase: false,
    remoteId: remote?.remoteId ?? op.remoteId,
    remote: { version: now.version, hash: now.hash },
    state: stateOf({ hubHash, remoteHash }, undo),
    base:
      hubHash && remoteHash
        ? { version: op.hubVersion + (writesHub ? 1 : 0), hubHash, remoteHash }
        : null,
    isDirty: isLeftMoved || !isHubFresh,
  };
  const hubWrite = writesHub ? 'as-planned' : null;
  return { state: 'done', detail: null, hubWrite, keepsLoser: false, item, fault: null };
}

function stateOf(
  { hubHash, remoteHash }: { hubHash: Hash | null; remoteHash: Hash | null },
  undo: OpUndo,
): 'held' | 'synced' | 'tombstoned' {
  if (hubHash === null && remoteHash === null) return 'tombstoned';
  return undo.to === 'agreed' && hubHash !== null && remoteHash !== null ? 'synced' : 'held';
}
