/** One write to a fake remote, as its grade keeps it. */
import type { ErrorCode } from '../../domain/errors.ts';
import { itemName, type ItemKind } from '../../domain/item.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { ApplyOutcome, RemoteOp } from '../connector.ts';
import type { FakeStore } from './fake-store.ts';

export interface FakeWriting {
  readonly store: FakeStore;
  readonly holds: (kind: ItemKind) => boolean;
  /** What the remote makes of a value it is sent. */
  readonly normalise: (value: JsonObject) => JsonObject;
}

/** Tells whether an op may be written: null, or the outcome that says why not. */
export function checkOp({ store, holds }: FakeWriting, op: RemoteOp): ApplyOutcome | null {
  const name = op.value ? itemName(op.kind, op.value) : null;
  if (!holds(op.kind)) return failure(op, 'ITEM_INVALID');
  if (op.action !== 'delete' && name === null) return failure(op, 'ITEM_INVALID');
  const holder = name === null ? null : store.idOfName(name);
  const at = op.action === 'create' && holder !== null ? holder : op.remoteId;
  const current = store.entry(at);
  const version = current.status === 'absent' ? null : versionOf(current);
  if (version !== op.expectedVersion) return { status: 'moved', opId: op.opId, current };
  if (holder !== null && holder !== at) return failure(op, 'ITEM_NAME_TAKEN');
  return null;
}

/** Writes an op that was checked. */
export function writeOp({ store, normalise }: FakeWriting, op: RemoteOp): ApplyOutcome {
  const { opId, remoteId } = op;
  if (op.value === null) {
    if (store.items.has(remoteId)) store.remove(remoteId);
    return { status: 'applied', opId, remoteId, version: null, written: null };
  }
  const id = store.items.has(remoteId) ? remoteId : null;
  const item = store.write(id, op.kind, normalise(op.value));
  const { version, value } = item;
  return { status: 'applied', opId, remoteId: item.remoteId, version, written: value ?? null };
}

/** An op the remote refuses. */
export function failure(op: RemoteOp, code: ErrorCode, isRetryable = false): ApplyOutcome {
  const detail = `The fake remote refuses this op (${code}).`;
  return { status: 'failed', opId: op.opId, code, detail, isRetryable };
}

// A faulty item has no version anybody could expect.
function versionOf(entry: { status: string; version?: string }): string | undefined {
  return entry.status === 'present' ? entry.version : undefined;
}
