/**
 * What the outcome of an op means, given the hub at this very moment. The store calls it inside the
 * settling transaction, with the hub's row locked, and only carries out what it says.
 * Promises: a base is never newer than what both sides are known to hold; what moved on meanwhile
 * stays dirty; what an op overwrote on the remote is kept in history.
 */
import type { Hash } from '../domain/hash.ts';
import {
  overwritesEdit,
  type ItemNow,
  type OpAnswer,
  type OpFacts,
  type RemoteState,
  type SettledItem,
  type Settlement,
} from '../domain/op.ts';
import { settleUndo } from './settle-undo.ts';

/** How the hub stands when an op is settled that the remote has carried out. */
type Course = 'plain' | 'loser-kept' | 'hub-moved';

/** Whether an op may still be carried out: both sides are what its plan saw. */
export function isStillFresh(op: OpFacts, now: ItemNow): boolean {
  return (
    now.hubVersion === op.hubVersion &&
    now.remoteHash === op.remoteHash &&
    now.remoteVersion === op.remoteVersion &&
    now.remoteId === op.remoteId
  );
}

/** @param hubVersion the hub's version now; 0 when it never had the key */
export function settleOp(op: OpFacts, answer: OpAnswer, hubVersion: number): Settlement {
  switch (answer.status) {
    case 'failed':
      return { ...NOTHING, state: 'failed', detail: answer.fault.detail, fault: answer.fault };
    case 'stale': {
      const item = answer.seen ? seenAgain(op, answer.seen) : null;
      return { ...NOTHING, state: 'stale', detail: answer.detail, item };
    }
    case 'applied':
      return settleApplied(op, answer.remote, hubVersion);
  }
}

const NOTHING = { detail: null, hubWrite: null, keepsLoser: false, item: null, fault: null };

type RemoteAfter = Extract<OpAnswer, { status: 'applied' }>['remote'];

function settleApplied(op: OpFacts, remote: RemoteAfter, hubVersion: number): Settlement {
  const isHubFresh = hubVersion === op.hubVersion;
  if (op.side === 'hub' && !isHubFresh) {
    return { ...NOTHING, state: 'stale', detail: 'the hub has changed since the plan' };
  }
  if (op.undo) return settleUndo(op, op.undo, { remote, isHubFresh });
  const keepsLoser = overwritesEdit(op);
  const writesPlan = op.side !== 'remote' && isHubFresh;
  // The remote was written and then the hub moved: what the remote now descends from is the hub
  // version the op was planned on, so that is the base; the hub's newer edit stays dirty.
  const course = !isHubFresh ? 'hub-moved' : keepsLoser ? 'loser-kept' : 'plain';
  return {
    ...NOTHING,
    state: 'done',
    hubWrite: writesPlan ? 'as-planned' : keepsLoser ? 'as-it-is' : null,
    keepsLoser,
    item: settledItem(op, remote, course),
  };
}

function settledItem(op: OpFacts, remote: RemoteAfter, course: Course): SettledItem {
  const now: RemoteState = remote ?? { version: op.remoteVersion, hash: op.remoteHash };
  const isHubWritten = op.side !== 'remote' && course !== 'hub-moved';
  const hubHash = isHubWritten ? op.hubAfter : op.hubHash;
  const isAgreed = hubHash !== null && now.hash !== null;
  return {
    keepsBase: false,
    remoteId: remote?.remoteId ?? op.remoteId,
    remote: { version: now.version, hash: now.hash },
    state: course === 'hub-moved' ? 'pending' : isAgreed ? 'synced' : 'tombstoned',
    base: isAgreed
      ? {
          version: versionAfter(op, course),
          hubHash,
          remoteHash: baseRemoteHash(op, { hubHash, remoteHash: now.hash }, course),
        }
      : null,
    isDirty: course === 'hub-moved',
  };
}

/** A merge that only the remote has is, against its base, still an edit of the remote. */
function baseRemoteHash(
  op: OpFacts,
  agreed: { hubHash: Hash; remoteHash: Hash },
  course: Course,
): Hash {
  return course === 'hub-moved' && op.side === 'both' ? agreed.hubHash : agreed.remoteHash;
}

function versionAfter(op: OpFacts, course: Course): number {
  if (course === 'hub-moved') return op.hubVersion;
  if (course === 'loser-kept') return op.hubVersion + 2;
  return op.side === 'remote' ? op.hubVersion : op.hubVersion + 1;
}

/** The remote as the connector found it when it refused to write. The base stays as it was. */
function seenAgain(op: OpFacts, seen: RemoteState): SettledItem {
  return { keepsBase: true, remoteId: op.remoteId, remote: seen, isDirty: true };
}
