/**
 * Executing: batch by batch, intents first, then the remote, then one settling transaction. When a
 * remote does not answer, the intents stay open and the next pass finds out what became of them.
 */
import type { ApplyOutcome, RemoteEntry, RemoteOp } from '../connectors/contract.ts';
import { AppError } from '../domain/errors.ts';
import type { RemoteId } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import type { OpAnswer } from '../domain/op.ts';
import type { Body, ClaimedOp, OpResult, Settled } from '../store/contract.ts';
import { answerFromRead, recoveryOf, type Found } from '../sync/recover.ts';
import { settleOp } from '../sync/settle.ts';
import type { Executed } from './contract.ts';
import { inLanes, overlapping } from './overlap.ts';
import type { PassScope } from './pass-scope.ts';

/** Most ops of one batch (03-sync, Temporal limits: ≤ 500 items). */
const MAX_BATCH = 500;

/** Most plain creates settled by one statement; of bodies only beginnings are read, a few MiB at a time. */
const MAX_CREATES = 1_000;

/** Batches settled at once: the ops of a run are of items apart. */
const BATCHES_SETTLED = 2;

/** Statements of plain creates under way at once: what they write is apart, and this process idles. */
const CREATE_LANES = 2;

type Totals = { -readonly [Name in keyof Omit<Executed, 'fence'>]: number };

/**
 * Batches are settled while the next one is claimed and written to the remote; what writes only the hub
 * is settled while the remote is written.
 */
export async function execute(scope: PassScope): Promise<Executed> {
  const totals: Totals = { applied: 0, stale: 0, failed: 0, deletedHub: 0, deletedRemote: 0 };
  const limit = Math.min(MAX_BATCH, scope.connector.capabilities.maxBatch);
  await overlapping(async (overlap) => {
    for (let after = 0, isLast = false, isFirst = true; !isLast; isFirst = false) {
      const batch = await scope.sync.claimOps(scope.ref, { after, limit });
      totals.stale += batch.stale;
      // What writes only the hub need not wait for the remote.
      const local = batch.ops.filter((op) => op.side === 'hub').map(appliedHere);
      if (local.length > 0) await overlap.start(settling(scope, totals, local));
      const written = await applyBatch(
        scope,
        batch.ops.filter((op) => op.side !== 'hub'),
      );
      if (written.length > 0) await overlap.start(settling(scope, totals, written));
      ({ last: after, isLast } = batch);
      scope.heartbeat();
      // A large run is mostly creates, or has none: its first batch tells.
      if (isFirst && !isLast && batch.ops.some(isHubCreate)) {
        const created = await settleCreates(scope, after);
        totals.applied += created;
      }
    }
  }, BATCHES_SETTLED);
  return { ...totals, fence: scope.ref.fence };
}

function settling(scope: PassScope, totals: Totals, results: readonly OpResult[]) {
  return async (): Promise<void> => {
    const settled = await settle(scope, results);
    totals.applied += settled.applied;
    totals.stale += settled.stale;
    totals.failed += settled.failed;
    totals.deletedHub += deletesDone(results, 'hub');
    totals.deletedRemote += deletesDone(results, 'remote');
  };
}

function isHubCreate(op: ClaimedOp): boolean {
  return op.side === 'hub' && op.action === 'create' && op.hubVersion === 0;
}

/** Settles the plain creates among the ops that follow; the others stay for their turn. */
async function settleCreates(scope: PassScope, from: number): Promise<number> {
  let settled = 0;
  let next = from;
  await inLanes(CREATE_LANES, async () => {
    const after = next;
    next += MAX_CREATES;
    const batch = await scope.sync.settleCreates(scope.ref, {
      after,
      through: after + MAX_CREATES,
      linkName: scope.link.name,
      at: new Date(scope.clock.now()),
    });
    settled += batch.settled;
    scope.heartbeat();
    return { isLast: next >= batch.last };
  });
  return settled;
}

function deletesDone(results: readonly OpResult[], side: ClaimedOp['side']): number {
  return results.filter(
    (r) => r.status === 'applied' && r.op.action === 'delete' && r.op.side === side,
  ).length;
}

function settle(scope: PassScope, results: readonly OpResult[]): Promise<Settled> {
  return scope.sync.settleOps(scope.ref, {
    results,
    settleOp,
    linkName: scope.link.name,
    at: new Date(scope.clock.now()),
  });
}

/** The result of an op that writes the hub alone: settling it is all there is to do. */
function appliedHere(op: ClaimedOp): OpResult {
  return { status: 'applied', op, remote: null };
}

/** Writes the remote where an op asks for it. @throws whatever the connector throws: outcome unknown */
async function applyBatch(scope: PassScope, ops: readonly ClaimedOp[]): Promise<OpResult[]> {
  if (ops.length === 0) return [];
  const outcomes = await applyOrRenew(scope, ops.map(remoteOpOf));
  const byId = new Map(outcomes.map((outcome) => [outcome.opId, outcome]));
  return Promise.all(ops.map((op) => resultOf(scope, op, byId.get(op.opId))));
}

/**
 * Applies ops; an update of what turns out to have run out on the remote makes it again, because
 * nobody's delete stands against the edit. If that answer is lost, the update itself is asked again,
 * and finds what was made.
 */
async function applyOrRenew(
  { connector, signal, newId }: PassScope,
  ops: readonly RemoteOp<Json>[],
): Promise<readonly ApplyOutcome<Json>[]> {
  const outcomes = await connector.apply(ops, signal);
  const gone = new Set(outcomes.filter(isGone).map((outcome) => outcome.opId));
  const updates = ops.filter((op) => op.action === 'update' && gone.has(op.opId));
  if (!connector.lapsed || updates.length === 0) return outcomes;
  const ids = updates.map((op) => op.remoteId);
  const lapsed = new Set(await connector.lapsed(ids, signal));
  const old = updates.filter((op) => lapsed.has(op.remoteId));
  if (old.length === 0) return outcomes;
  const renewed = await connector.apply(
    old.map((op) => ({
      ...op,
      opId: newId(),
      action: 'create',
      expectedVersion: null,
    })),
    signal,
  );
  const byId = new Map(old.map(({ opId }, nth) => [opId, { ...renewed[nth]!, opId }]));
  return outcomes.map((outcome) => byId.get(outcome.opId) ?? outcome);
}

function isGone(outcome: ApplyOutcome<Json>): boolean {
  return outcome.status === 'moved' && outcome.current.status === 'absent';
}

function remoteOpOf(op: ClaimedOp): RemoteOp<Json> {
  return {
    opId: op.opId,
    action: op.remoteAfter === null ? 'delete' : op.remoteHash === null ? 'create' : 'update',
    kind: op.kind,
    remoteId: op.remoteId,
    value: op.remoteValue,
    expectedVersion: op.remoteVersion,
  };
}

async function resultOf(
  scope: PassScope,
  op: ClaimedOp,
  outcome: ApplyOutcome<Json> | undefined,
): Promise<OpResult> {
  if (!outcome) throw new AppError('INTERNAL', `the connector did not answer for op ${op.opId}`);
  if (outcome.status === 'failed') {
    return { status: 'failed', op, fault: { code: outcome.code, detail: outcome.detail } };
  }
  if (outcome.status === 'moved') return movedResult(scope, op, outcome.current);
  const body = outcome.version === null ? null : await writtenBody(scope, op, outcome.written);
  return {
    status: 'applied',
    op,
    remote: { remoteId: outcome.remoteId, version: outcome.version, body },
  };
}

/** What the remote took over as it was given is the body the op was planned with: hashed once, at write. */
async function writtenBody(scope: PassScope, op: ClaimedOp, written: Json): Promise<Body> {
  if (written === null || written !== op.remoteValue || op.remoteAfter === null)
    return scope.work.encodeAnyway(written);
  return { hash: op.remoteAfter, codec: 'none', size: 0, bytes: null };
}

async function movedResult(
  scope: PassScope,
  op: ClaimedOp,
  entry: RemoteEntry<Json>,
): Promise<OpResult> {
  if (entry.remoteId !== op.remoteId) return nameIsTaken(scope, op, entry.remoteId);
  const current = await withValue(scope, entry);
  if (current.status === 'faulty') {
    return { status: 'failed', op, fault: { code: current.code, detail: current.detail } };
  }
  return {
    status: 'stale',
    op,
    seen: await seenOf(scope, current),
    detail: 'the remote has changed since the plan',
  };
}

/**
 * The remote gave the name an id of its own. Nobody has met that item yet: the next look does, under
 * this item's key. Or it is another item of the link, and this one cannot have the name.
 */
async function nameIsTaken(scope: PassScope, op: ClaimedOp, holder: RemoteId): Promise<OpResult> {
  const known = await scope.sync.knownRemotes(scope.ref, [holder]);
  if (!known.has(holder)) {
    return { status: 'stale', op, seen: null, detail: 'the remote has changed since the plan' };
  }
  const detail = `another item has its name on the remote (${JSON.stringify(holder)})`;
  return { status: 'failed', op, fault: { code: 'ITEM_NAME_TAKEN', detail } };
}

async function withValue(scope: PassScope, entry: RemoteEntry<Json>): Promise<RemoteEntry<Json>> {
  if (entry.status !== 'present' || entry.value !== undefined) return entry;
  const [read] = await scope.connector.read([entry.remoteId], scope.signal);
  return read ?? { status: 'absent', remoteId: entry.remoteId };
}

async function seenOf(
  scope: PassScope,
  entry: RemoteEntry<Json>,
): Promise<{ version: string | null; body: Body | null }> {
  if (entry.status !== 'present') return { version: null, body: null };
  return {
    version: entry.version,
    body: await scope.work.encodeAnyway(entry.value === undefined ? {} : entry.value),
  };
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
  if (recoveryOf(scope.connector.capabilities.grade) === 'ask') return applyBatch(scope, ops);
  const ids = ops.flatMap((op) => [op.remoteId, renamedTo(op)]).filter((id) => id !== null);
  const entries = await scope.connector.read([...new Set(ids)], scope.signal);
  const byId = new Map(entries.map((entry) => [entry.remoteId, entry]));
  return Promise.all(
    ops.map((op) => {
      const remoteId = renamedTo(op) ?? op.remoteId;
      return recoveredResult(scope, op, byId.get(remoteId) ?? { status: 'absent', remoteId });
    }),
  );
}

/** What a read of the op's item tells about it. */
async function recoveredResult(
  scope: PassScope,
  op: ClaimedOp,
  entry: RemoteEntry<Json>,
): Promise<OpResult> {
  if (entry.status === 'faulty') {
    const fault = { code: entry.code, detail: entry.detail };
    return resultOfAnswer(op, answerFromRead(op, { status: 'faulty', fault }), null);
  }
  const { version, body } = await seenOf(scope, entry);
  const hash = body?.hash ?? null;
  const found: Found = { status: 'read', remoteId: entry.remoteId, version, hash };
  return resultOfAnswer(op, answerFromRead(op, found), body);
}

/** An answer with the body it speaks of. */
function resultOfAnswer(op: ClaimedOp, answer: OpAnswer, body: Body | null): OpResult {
  if (answer.status === 'failed') return { ...answer, op };
  if (answer.status === 'stale') {
    return { ...answer, op, seen: answer.seen && { version: answer.seen.version, body } };
  }
  const { remote } = answer;
  return {
    status: 'applied',
    op,
    remote: remote && { remoteId: remote.remoteId, version: remote.version, body },
  };
}

/** The id an op's item has after a rename; null when the name stays. */
function renamedTo(op: ClaimedOp): ClaimedOp['remoteId'] | null {
  const value = op.remoteValue;
  const name = value && typeof value === 'object' && 'name' in value ? value['name'] : null;
  return op.kind === 'memory' && typeof name === 'string' && name !== op.remoteId
    ? (name as ClaimedOp['remoteId'])
    : null;
}
