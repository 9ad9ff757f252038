/**
 * Execution and settling. Before a remote is written its op is recorded as `intended`; after, one
 * transaction records everything the write led to: hub version, history, base, op. A crash in
 * between leaves an open intent, which the next pass finishes before it does anything else.
 */
import type { Hash } from '../../domain/hash.ts';
import type { ContextKey, OpId, RemoteId } from '../../domain/ids.ts';
import type { ItemKind } from '../../domain/item.ts';
import type { Json } from '../../domain/json.ts';
import {
  overwritesEdit,
  type OpAnswer,
  type OpFacts,
  type OpFault,
  type SettledItem,
  type Settlement,
} from '../../domain/op.ts';
import { storable, storableJson } from '../../domain/storable.ts';
import {
  decodeBodies,
  loadBodies,
  measuredBodies,
  measuresOf,
  saveStatements,
  storedBodies,
  storedByHash,
  type Body,
} from '../blobs.ts';
import type { Database, OpenTransaction, Transaction } from '../database.ts';
import type { Statement } from '../send-together.ts';
import { asItIs, syncWrites } from '../sync-writes.ts';
import {
  commitWriting,
  LOCK_CONTEXTS,
  versionStatements,
  type ContextRow,
  type VersionWrite,
} from '../write-versions.ts';
import { QUARANTINE } from './observe.ts';
import { columnsOfLink, columnsOfRun, valuesByColumn, type BatchColumns } from './batch.ts';
import { withFence, type PassRef } from './pass.ts';
import { CLOSE_CONFLICTS, tellEnded } from './conflicts.ts';

/** An op ready to be executed, with the bodies it needs. */
export interface ClaimedOp extends OpFacts {
  readonly seq: number;
  readonly opId: OpId;
  readonly key: ContextKey;
  readonly kind: ItemKind;
  /** Value to write to the remote; null for a delete or when the remote is not written. */
  readonly remoteValue: Json | null;
}

const OP_COLUMNS = `
o.seq, o.op_id AS "opId", o.action, o.side, o.key, o.kind, o.remote_id AS "remoteId",
o.hub_version AS "hubVersion", encode(o.hub_hash, 'hex') AS "hubHash",
o.remote_version AS "remoteVersion", encode(o.remote_hash, 'hex') AS "remoteHash",
encode(o.hub_after, 'hex') AS "hubAfter", encode(o.remote_after, 'hex') AS "remoteAfter",
CASE WHEN o.undo_to IS NOT NULL THEN json_build_object('to', o.undo_to,
  'otherBase', encode(o.other_base, 'hex')) END AS undo`;

// Re-check at the last moment: the hub's version and the remote as last seen are what the plan saw.
// What has moved on is stale; what writes the remote becomes an intent, from which moment on the
// remote's cursor proves nothing: the remote may come back to the state it names.
const CLAIM_NEXT = `
WITH next AS (
  SELECT ${OP_COLUMNS}, o.run_id AS "runId", encode(i.base_remote_hash, 'hex') AS "baseRemoteHash",
    (i.key IS NOT NULL AND coalesce(c.version, 0) = o.hub_version
     AND i.remote_hash IS NOT DISTINCT FROM o.remote_hash
     AND i.remote_version IS NOT DISTINCT FROM o.remote_version
     AND i.remote_id IS NOT DISTINCT FROM o.remote_id) AS "isFresh"
  FROM sync_ops o
  LEFT JOIN sync_items i ON i.tenant_id = o.tenant_id AND i.link_id = o.link_id AND i.key = o.key
  LEFT JOIN contexts c ON c.tenant_id = o.tenant_id AND c.key = o.key
  WHERE o.tenant_id = current_setting('app.tenant') AND o.run_id = $1 AND o.state = 'planned'
    AND o.seq > $2
  ORDER BY o.seq LIMIT $3
), marked AS (
  UPDATE sync_ops o SET state = CASE WHEN next."isFresh" THEN 'intended' ELSE 'stale' END,
    detail = CASE WHEN NOT next."isFresh" THEN 'a side has changed since the plan' END
  FROM next WHERE o.tenant_id = current_setting('app.tenant') AND o.run_id = next."runId" AND o.seq = next.seq
    AND (next.side <> 'hub' OR NOT next."isFresh")
), doubted AS (
  UPDATE sync_links SET cursor_doubted = true
  WHERE tenant_id = current_setting('app.tenant') AND id = $4 AND NOT cursor_doubted
    AND EXISTS (SELECT 1 FROM next WHERE "isFresh" AND side <> 'hub')
)
SELECT * FROM next ORDER BY seq`;

// What the statement before has just made intents, with what they write; a sealed body is never sent.
const CLAIMED_BODIES = `
SELECT encode(o.remote_after, 'hex') AS hash, b.* FROM sync_ops o
CROSS JOIN LATERAL (SELECT codec, size, body AS bytes FROM blobs
  WHERE tenant_id = current_setting('app.tenant') AND hash = o.remote_after AND key_id IS NULL OFFSET 0) b
WHERE o.tenant_id = current_setting('app.tenant') AND o.run_id = $1 AND o.seq > $2
  AND o.state = 'intended'`;

type OpRow = Omit<ClaimedOp, 'remoteValue'> & { isFresh: boolean };

export interface ClaimedBatch {
  readonly ops: ClaimedOp[];
  readonly stale: number;
  /** Number of the last op looked at, to go on after. */
  readonly last: number;
  readonly isLast: boolean;
}

/** Takes the next ops of a run: stale ones are dropped, those that write the remote become intents. */
export async function claimOps(
  database: Database,
  ref: PassRef,
  { after, limit }: { after: number; limit: number },
): Promise<ClaimedBatch> {
  const [claimed, stored] = await withFence(database, ref, (tx) =>
    tx.commitWith([
      { sql: CLAIM_NEXT, values: [ref.runId, after, limit, ref.linkId] },
      { sql: CLAIMED_BODIES, values: [ref.runId, after] },
    ]),
  );
  const rows = claimed as unknown as OpRow[];
  const fresh = rows.filter((row) => row.isFresh);
  return {
    ops: withValues(fresh, await decodeBodies(storedByHash(stored!))),
    stale: rows.length - fresh.length,
    last: rows.at(-1)?.seq ?? after,
    isLast: rows.length < limit,
  };
}

const SELECT_OPEN = `
SELECT ${OP_COLUMNS}, o.run_id AS "runId", encode(i.base_remote_hash, 'hex') AS "baseRemoteHash", true AS "isFresh"
FROM sync_ops o JOIN sync_items i ON i.tenant_id = o.tenant_id AND i.link_id = o.link_id AND i.key = o.key
WHERE o.tenant_id = current_setting('app.tenant') AND o.link_id = $1 AND o.state = 'intended'
ORDER BY o.run_id, o.seq`;

/** Intents whose outcome nobody recorded, of whatever run. */
export async function openIntents(
  database: Database,
  ref: PassRef,
): Promise<(ClaimedOp & { runId: PassRef['runId'] })[]> {
  return withFence(database, ref, async (tx) => {
    const rows = await tx.query<OpRow & { runId: PassRef['runId'] }>(SELECT_OPEN, [ref.linkId]);
    const hashes = rows.map((row) => row.remoteAfter).filter((hash) => hash !== null);
    const ops = withValues(rows, await loadBodies(tx, hashes));
    return ops.map((op, nth) => ({ ...op, runId: rows[nth]!.runId }));
  });
}

function withValues(rows: readonly OpRow[], bodies: ReadonlyMap<Hash, Json>): ClaimedOp[] {
  return rows.map(({ isFresh: _, ...row }) => {
    const written = row.side === 'hub' ? null : row.remoteAfter;
    return { ...row, remoteValue: written && (bodies.get(written) ?? null) };
  });
}

/** What became of one claimed op on the remote; ops of side `hub` are simply `applied`. */
export type OpResult =
  | {
      readonly status: 'applied';
      readonly op: ClaimedOp;
      /** The remote's new id, version and body; null where the op does not write the remote. */
      readonly remote: {
        readonly remoteId: RemoteId;
        readonly version: string | null;
        readonly body: Body | null;
      } | null;
    }
  /** Not written: the remote (or hub) moved on. `seen` is what the remote has now, where known. */
  | {
      readonly status: 'stale';
      readonly op: ClaimedOp;
      readonly seen: { readonly version: string | null; readonly body: Body | null } | null;
      readonly detail: string;
    }
  | {
      readonly status: 'failed';
      readonly op: ClaimedOp;
      readonly fault: OpFault;
    };

export interface Settled {
  readonly applied: number;
  readonly stale: number;
  readonly failed: number;
  /** Whether the hub has new versions, of which the outbox tells. */
  readonly wroteHub: boolean;
}

/** Decides what an outcome means, given the hub's version now (0: never had the key). */
export type SettleOp = (op: OpFacts, answer: OpAnswer, hubVersion: number) => Settlement;

export interface SettleBatch {
  readonly results: readonly OpResult[];
  /** The pure decision; called with the hub's rows locked where it may write them. */
  readonly settleOp: SettleOp;
  readonly linkName: string;
  readonly at: Date;
}

/** Settles the results of one batch, all or nothing. @throws AppError FENCED */
export async function settleOps(
  database: Database,
  ref: PassRef,
  batch: SettleBatch,
): Promise<Settled> {
  return withFence(database, ref, async (tx) => {
    const { results, settleOp } = batch;
    const { rows: hub, versions, sizes } = await lookAtHub(tx, results);
    const judged = results.map((result): Judged => {
      const { key } = result.op;
      const hubVersion = hub.get(key)?.version ?? versions.get(key) ?? 0;
      return { result, settlement: settleOp(result.op, answerOf(result), hubVersion) };
    });
    const writes = await hubWrites(tx, ref, { judged, hub, sizes, ...batch });
    await commitWriting(tx, [
      ...saveStatements(results.flatMap(newBodies)),
      ...(await versionStatements(tx, writes, { at: batch.at, mayIndexLater: true })),
      ...settlementStatements(ref, judged),
    ]);
    const count = (state: Settlement['state']): number =>
      judged.filter(({ settlement }) => settlement.state === state).length;
    return {
      applied: count('done'),
      stale: count('stale'),
      failed: count('failed'),
      wroteHub: judged.some(({ settlement }) => settlement.hubWrite !== null),
    };
  });
}

/** Whether settling an op can write the hub: its plan says so, or a value of the remote was overwritten. */
function mayWriteHub(op: ClaimedOp): boolean {
  return op.side !== 'remote' || overwritesEdit(op) || Boolean(op.undo);
}

// One look-up per key, whatever the planner thinks of the table (see batch.ts).
const HUB_VERSIONS = `
SELECT c.key, c.version FROM unnest($1::text[]) AS w (key)
CROSS JOIN LATERAL (SELECT key, version FROM contexts
  WHERE tenant_id = current_setting('app.tenant') AND key = w.key OFFSET 0) c`;

/**
 * The hub as settling finds it: its rows, locked, where it may be written, with the measures of the
 * bodies it may get; elsewhere only its versions. Those need no lock: an edit that commits later than
 * this look is behind the link's cursor in no order of commits (P14), so the next pass sees it.
 */
async function lookAtHub(tx: OpenTransaction, results: readonly OpResult[]) {
  const ops = results.map(({ op }) => op);
  const [written, left] = [ops.filter(mayWriteHub), ops.filter((op) => !mayWriteHub(op))];
  const wanted = written.flatMap(({ hubAfter, remoteHash }) => [hubAfter, remoteHash]);
  const [rows, sizes, versions] = await tx.queryAll([
    { sql: LOCK_CONTEXTS, values: [written.map(({ key }) => key)] },
    measuresOf(wanted),
    { sql: HUB_VERSIONS, values: [left.map(({ key }) => key)] },
  ]);
  const read = versions as unknown as { key: ContextKey; version: number }[];
  return {
    rows: new Map((rows as unknown as ContextRow[]).map((row) => [row.key, row])),
    sizes: measuredBodies(sizes!),
    versions: new Map(read.map(({ key, version }) => [key, version])),
  };
}

function settlementStatements(ref: PassRef, judged: readonly Judged[]): Statement[] {
  const settling = [
    ref.linkId,
    judged.flatMap((j) => (j.settlement.state === 'done' ? [j.result.op.key] : [])),
    ref.runId,
    ...valuesByColumn(
      SETTLED_COLUMNS,
      judged.flatMap(({ result, settlement: { item } }) =>
        item ? [settledRow(result.op.key, item)] : [],
      ),
    ),
    ...valuesByColumn(
      OUTCOME_COLUMNS,
      judged.map(({ result, settlement: { state, detail } }) => ({
        seq: result.op.seq,
        state,
        detail: detail && storable(detail),
        remote_written: result.status === 'applied' ? (result.remote?.body?.hash ?? null) : null,
      })),
    ),
  ];
  const faults = judged.flatMap(({ result, settlement: { fault } }) =>
    fault ? [{ key: result.op.key, fault }] : [],
  );
  return [
    { sql: SETTLE, values: settling },
    ...(faults.length > 0 ? [{ sql: QUARANTINE, values: [ref.linkId, storableJson(faults)] }] : []),
  ];
}

interface Judged {
  readonly result: OpResult;
  readonly settlement: Settlement;
}

/** An op's answer without its bodies: what settling decides by. */
function answerOf(result: OpResult): OpAnswer {
  if (result.status === 'failed') return result;
  const state = (seen: { version: string | null; body: Body | null }) => ({
    version: seen.version,
    hash: seen.body?.hash ?? null,
  });
  if (result.status === 'stale') {
    return { ...result, seen: result.seen ? state(result.seen) : null };
  }
  const { remote } = result;
  return {
    status: 'applied',
    remote: remote ? { remoteId: remote.remoteId, ...state(remote) } : null,
  };
}

/** Bodies the remote showed that are not stored yet. */
function newBodies(result: OpResult): Body[] {
  if (result.status === 'failed') return [];
  const body = result.status === 'stale' ? result.seen?.body : result.remote?.body;
  if (!body) return [];
  // What the remote took over as it was sent is stored: it was read from there.
  return result.status === 'applied' && body.hash === result.op.remoteAfter ? [] : [body];
}

/** An item as the settling statement takes it. */
function settledRow(key: ContextKey, item: SettledItem) {
  const { remote } = item;
  const seen = {
    key,
    remote_id: item.remoteId,
    keep_base: item.keepsBase,
    remote_status: remote.hash ? 'present' : 'absent',
    remote_hash: remote.hash,
    remote_version: remote.version,
    dirty: item.isDirty,
  };
  if (item.keepsBase) return seen;
  return {
    ...seen,
    state: item.state,
    base_version: item.base?.version ?? null,
    base_hub: item.base?.hubHash ?? null,
    base_remote: item.base?.remoteHash ?? null,
  };
}

const SETTLED_COLUMNS = {
  key: 'text',
  remote_id: 'text',
  keep_base: 'boolean',
  state: 'text',
  base_version: 'int',
  base_hub: 'text',
  base_remote: 'text',
  remote_status: 'text',
  remote_hash: 'text',
  remote_version: 'text',
  dirty: 'boolean',
} as const satisfies BatchColumns;

const OUTCOME_COLUMNS = {
  seq: 'int',
  state: 'text',
  detail: 'text',
  remote_written: 'text',
} as const satisfies BatchColumns;

// Items, conflicts that closed and ops, in one round trip.
const SETTLE = `
WITH items AS (
UPDATE sync_items i SET remote_id = s.remote_id,
  state = CASE WHEN s.keep_base THEN i.state ELSE s.state END,
  base_version = CASE WHEN s.keep_base THEN i.base_version ELSE s.base_version END,
  base_hub_hash = CASE WHEN s.keep_base THEN i.base_hub_hash ELSE decode(s.base_hub, 'hex') END,
  base_remote_hash = CASE WHEN s.keep_base THEN i.base_remote_hash ELSE decode(s.base_remote, 'hex') END,
  remote_status = s.remote_status, remote_hash = decode(s.remote_hash, 'hex'),
  remote_version = s.remote_version, missing_scans = 0, dirty = s.dirty,
  dirty_since = CASE WHEN s.dirty THEN coalesce(i.dirty_since, now()) END,
  fault = NULL, attempts = 0, retry_at = NULL
FROM ${columnsOfLink(4, SETTLED_COLUMNS)} s
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = s.link_id AND i.key = s.key
), conflicts AS (${CLOSE_CONFLICTS}), told AS (${tellEnded('conflicts')})
UPDATE sync_ops o SET state = m.state, detail = m.detail, remote_written = decode(m.remote_written, 'hex')
FROM ${columnsOfRun(3, 4 + Object.keys(SETTLED_COLUMNS).length, OUTCOME_COLUMNS)} m
WHERE o.tenant_id = current_setting('app.tenant') AND o.run_id = m.run_id AND o.seq = m.seq`;

/** The versions a batch writes into the hub. */
async function hubWrites(
  tx: Transaction,
  ref: PassRef,
  batch: {
    judged: readonly Judged[];
    hub: ReadonlyMap<ContextKey, ContextRow>;
    sizes: ReadonlyMap<Hash, Body>;
    linkName: string;
    at: Date;
  },
): Promise<VersionWrite[]> {
  const { judged, hub, at } = batch;
  const writing = judged.filter(({ settlement }) => settlement.hubWrite !== null);
  // What the hub holds already is measured only where it is written once more.
  const asTheyAre = writing.flatMap(({ result: { op }, settlement }) =>
    settlement.hubWrite === 'as-it-is' ? [hub.get(op.key)?.hash ?? null] : [],
  );
  const measured = asTheyAre.length > 0 ? await storedBodies(tx, asTheyAre) : new Map<Hash, Body>();
  const bodyOf = (hash: Hash | null): Body | null =>
    hash && (batch.sizes.get(hash) ?? measured.get(hash)!);
  return writing.flatMap(({ result: { op }, settlement }): VersionWrite[] => {
    const row = hub.get(op.key) ?? null;
    const isPlanned = settlement.hubWrite === 'as-planned';
    const { hash: after, reason } = isPlanned
      ? { hash: op.hubAfter, reason: op.undo ? ('user' as const) : null }
      : asItIs(row, at);
    const versions = syncWrites({
      key: op.key,
      kind: op.kind,
      hub: row,
      body: bodyOf(after),
      loser: settlement.keepsLoser ? bodyOf(op.remoteHash) : null,
      linkName: batch.linkName,
      changeType: op.undo ? 'rollback' : op.action === 'merge' ? 'merge' : 'update',
      revives: Boolean(op.undo),
      changedBy: `sync:${batch.linkName}`,
      origin: ref.linkId,
      at,
    });
    return versions.map((version) =>
      reason && version.body === null ? { ...version, reason } : version,
    );
  });
}
