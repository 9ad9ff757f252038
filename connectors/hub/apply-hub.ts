/**
 * Writing to another hub: one request per op, its version as the condition and its op id as the
 * Idempotency-Key, so that a write whose answer got lost is simply sent again.
 */
import { AppError, type ErrorCode } from '../../domain/errors.ts';
import type { Json } from '../../domain/json.ts';
import type { ApplyOutcome, RemoteOp } from '../connector.ts';
import type { Refusal, WriteRequest } from './hub-api.ts';
import { readItems, type HubSide } from './observe-hub.ts';
import { sideBySide } from '../../domain/side-by-side.ts';

type Outcome = ApplyOutcome<Json>;
type Op = RemoteOp<Json>;

/** Writes at a time; a batch has one op per item, so they do not meet. */
const WRITES_AT_ONCE = 8;

/** Applies ops, in whatever order. @throws AppError CONNECTOR_UNREACHABLE, RATE_LIMITED */
export function applyToHub(
  side: HubSide,
  ops: readonly Op[],
  signal?: AbortSignal,
): Promise<Outcome[]> {
  return sideBySide(ops, WRITES_AT_ONCE, (op) => applyOne(side, op, signal));
}

async function applyOne(side: HubSide, op: Op, signal?: AbortSignal): Promise<Outcome> {
  const { api, own } = side;
  const ifVersion = op.expectedVersion === null ? 0 : Number(op.expectedVersion);
  // Not a version any hub ever gave, so it cannot be the current one.
  if (!Number.isSafeInteger(ifVersion)) return moved(side, op, signal);
  const answer = await api.write(requestOf(side, op, ifVersion), signal);
  if (answer.status === 'refused') return refused(side, { op, refusal: answer, signal });
  const isDelete = op.action === 'delete';
  own.add(op.remoteId, { version: answer.version, kind: isDelete ? null : op.kind });
  return {
    status: 'applied',
    opId: op.opId,
    remoteId: op.remoteId,
    version: isDelete ? null : String(answer.version),
    // A hub keeps what it is sent, value for value.
    written: isDelete ? null : op.value,
  };
}

function requestOf({ prefix }: HubSide, op: Op, ifVersion: number): WriteRequest {
  const key = prefix + op.remoteId;
  const path = encodeURIComponent(key);
  const idempotencyKey = op.opId;
  switch (op.action) {
    case 'create': {
      // Like everything a link creates, it does not run out by itself, and is not encrypted: a hub that
      // encrypts by default would at once set aside what it has just been given.
      const options = { kind: op.kind, ttl: null, encrypt: false, ifVersion };
      const body = { key, data: op.value, options };
      return { method: 'POST', path: '/api/context/store', body, idempotencyKey };
    }
    case 'update': {
      const body = { data: op.value, options: { kind: op.kind, ifVersion } };
      return { method: 'PUT', path: `/api/context/update/${path}`, body, idempotencyKey };
    }
    case 'delete': {
      const target = `/api/context/delete/${path}?ifVersion=${ifVersion}`;
      return { method: 'DELETE', path: target, body: null, idempotencyKey };
    }
  }
}

async function refused(
  side: HubSide,
  { op, refusal, signal }: { op: Op; refusal: Refusal; signal: AbortSignal | undefined },
): Promise<Outcome> {
  if (refusal.code === 'VERSION_CONFLICT' || refusal.code === 'CONTEXT_NOT_FOUND') {
    return moved(side, op, signal);
  }
  if (refusal.code === 'IDEMPOTENCY_MISMATCH') {
    throw new AppError('INTERNAL', `op ${op.opId} was sent before with another value`);
  }
  return {
    status: 'failed',
    opId: op.opId,
    code: KEPT_CODES.has(refusal.code) ? (refusal.code as ErrorCode) : 'ITEM_INVALID',
    detail: `the other hub refuses it (${refusal.code}): ${refusal.detail}`,
    isRetryable: false,
  };
}

/** Codes of the other hub that mean the same here. */
const KEPT_CODES = new Set<string>(['CONTEXT_TOO_LARGE', 'PAYLOAD_TOO_LARGE']);

async function moved(side: HubSide, op: Op, signal?: AbortSignal): Promise<Outcome> {
  const [current] = await readItems(side, [op.remoteId], signal);
  if (!current) throw new AppError('INTERNAL', 'a read gave no answer');
  return { status: 'moved', opId: op.opId, current };
}
