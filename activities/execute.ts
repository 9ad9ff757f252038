/**
 * Executing: batch by batch, intents first, then the remote, then one settling transaction. When a
 * remote does not answer, the intents stay open and the next pass finds out what became of them.
 */
import type { ApplyOutcome, RemoteEntry, RemoteOp } from '../connectors/contract.ts';
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import type { JsonObject } from '../domain/json.ts';
import {
  encodeBody,
  type Body,
  type ClaimedOp,
  type OpResult,
  type Settled,
} from '../store/contract.ts';
import type { Executed } from './contract.ts';
import type { PassScope } from './pass-scope.ts';

/** Most ops of one batch (03-sync, Temporal limits: ≤ 500 items). */
const MAX_BATCH = 500;

export async function execute(scope: PassScope): Promise<Executed> {
  const totals = { applied: 0, stale: 0, failed: 0, deletedHub: 0, deletedRemote: 0 };
  const limit = Math.min(MAX_BATCH, scope.connector.capabilities.maxBatch);
  for (let after = 0, isLast = false; !isLast;) {
    const batch = await scope.sync.claimOps(scope.ref, { after, limit });
    const results = await applyBatch(scope, batch.ops);
    const settled = await settle(scope, results);
    totals.applied += settled.applied;
    totals.stale += settled.stale + batch.stale;
    totals.failed += settled.failed;
    totals.deletedHub += deletesDone(results, 'hub');
    totals.deletedRemote += deletesDone(results, 'remote');
    after = batch.last;
    isLast = batch.isLast;
    scope.heartbeat();
  }
  return { ...totals, fence: scope.ref.fence };
}

function deletesDone(results: readonly OpResult[], side: ClaimedOp['side']): number {
  return results.filter(
    (r) => r.status === 'applied' && r.op.action === 'delete' && r.op.side === side,
  ).length;
}

async function settle(scope: PassScope, results: readonly OpResult[]): Promise<Settled> {
  if (results.length === 0) return { applied: 0, stale: 0, failed: 0, wroteHub: false };
  return scope.sync.settleOps(scope.ref, {
    results,
    linkName: scope.link.name,
    at: new Date(scope.clock.now()),
  });
}

/** Writes the remote where an op asks for it. @throws whatever the connector throws: outcome unknown */
async function applyBatch(scope: PassScope, ops: readonly ClaimedOp[]): Promise<OpResult[]> {
  const hubOnly = ops.filter((op) => op.side === 'hub');
  const writing = ops.filter((op) => op.side !== 'hub');
  const local = hubOnly.map((op): OpResult => ({ status: 'applied', op, remote: null }));
  if (writing.length === 0) return local;
  const outcomes = await scope.connector.apply(writing.map(remoteOpOf), scope.signal);
  const byId = new Map(outcomes.map((outcome) => [outcome.opId, outcome]));
  const remote = await Promise.all(writing.map((op) => resultOf(scope, op, byId.get(op.opId))));
  return [...local, ...remote];
}

function remoteOpOf(op: ClaimedOp): RemoteOp {
  return {
    opId: op.opId,
    action: op.remoteAfter === null ? 'delete' : op.remoteHash === null ? 'create' : 'update',
    kind: op.kind,
    remoteId: op.remoteId,
    value: op.remoteValue as JsonObject | null,
    expectedVersion: op.remoteVersion,
    expectedValue: op.expectedValue as JsonObject | null,
  };
}

async function resultOf(
  scope: PassScope,
  op: ClaimedOp,
  outcome: ApplyOutcome | undefined,
): Promise<OpResult> {
  if (!outcome) throw new AppError('INTERNAL', `the connector did not answer for op ${op.opId}`);
  if (outcome.status === 'failed') {
    return { status: 'failed', op, fault: { code: outcome.code, detail: outcome.detail } };
  }
  if (outcome.status === 'moved') return movedResult(scope, op, outcome.current);
  const body = outcome.written ? await encodeBody(outcome.written) : null;
  return {
    status: 'applied',
    op,
    remote: { remoteId: outcome.remoteId, version: outcome.version, body },
  };
}

async function movedResult(scope: PassScope, op: ClaimedOp, entry: RemoteEntry): Promise<OpResult> {
  const current = await withValue(scope, entry);
  if (current.status === 'faulty') {
    return { status: 'failed', op, fault: { code: current.code, detail: current.detail } };
  }
  return {
    status: 'stale',
    op,
    seen: await seenOf(current),
    detail: 'the remote has changed since the plan',
  };
}

async function withValue(scope: PassScope, entry: RemoteEntry): Promise<RemoteEntry> {
  if (entry.status !== 'present' || entry.value !== undefined) return entry;
  const [read] = await scope.connector.read([entry.remoteId], scope.signal);
  return read ?? { status: 'absent', remoteId: entry.remoteId };
}

async function seenOf(entry: RemoteEntry): Promise<{ version: string | null; body: Body | null }> {
  if (entry.status !== 'present') return { version: null, body: null };
  return { version: entry.version, body: await encodeBody(entry.value ?? {}) };
}

/**
 * Finishes the intents a crashed pass left open. Grade A is simply asked again: the op id makes it
 * answer what it answered then. Elsewhere the remote is read: what we meant to write is taken as
 * written, anything else as not written, and the ordinary plan goes on from the old base.
 */
export async function finishIntents(scope: PassScope): Promise<number> {
  const ops = await scope.sync.openIntents(scope.ref);
  if (ops.length === 0) return 0;
  for (const runId of new Set(ops.map((op) => op.runId))) {
    const inRun = { ...scope, ref: { ...scope.ref, runId } };
    const results = await recover(
      inRun,
      ops.filter((op) => op.runId === runId),
    );
    await settle(inRun, results);
    scope.heartbeat();
  }
  return ops.length;
}

async function recover(scope: PassScope, ops: readonly ClaimedOp[]): Promise<OpResult[]> {
  if (scope.connector.capabilities.grade === 'A') return applyBatch(scope, ops);
  const ids = ops.flatMap((op) => [op.remoteId, renamedTo(op)]).filter((id) => id !== null);
  const entries = await scope.connector.read([...new Set(ids)], scope.signal);
  const byId = new Map(entries.map((entry) => [entry.remoteId, entry]));
  return Promise.all(
    ops.map(async (op): Promise<OpResult> => {
      const id = renamedTo(op) ?? op.remoteId;
      const entry = byId.get(id) ?? { status: 'absent' as const, remoteId: id };
      if (entry.status === 'faulty') {
        return { status: 'failed', op, fault: { code: entry.code, detail: entry.detail } };
      }
      const seen = await seenOf(entry);
      if (isWhatWeMeant(op, seen.body?.hash ?? null)) {
        return { status: 'applied', op, remote: { remoteId: id, ...seen } };
      }
      return {
        status: 'stale',
        op,
        seen: id === op.remoteId ? seen : null,
        detail: 'the write was interrupted',
      };
    }),
  );
}

function isWhatWeMeant(op: ClaimedOp, found: Hash | null): boolean {
  return op.remoteAfter === found;
}

/** The id an op's item has after a rename; null when the name stays. */
function renamedTo(op: ClaimedOp): ClaimedOp['remoteId'] | null {
  const value = op.remoteValue;
  const name = value && typeof value === 'object' && 'name' in value ? value['name'] : null;
  return op.kind === 'memory' && typeof name === 'string' && name !== op.remoteId
    ? (name as ClaimedOp['remoteId'])
    : null;
}
