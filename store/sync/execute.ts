/**
 * Execution and settling. Before a remote is written its op is recorded as `intended`; after, one
 * transaction records everything the write led to: hub version, history, base, op. A crash in
 * between leaves an open intent, which the next pass finishes before it does anything else.
 */
import type { Hash } from '../../domain/hash.ts';
import type { ContextKey, OpId, RemoteId } from '../../domain/ids.ts';
import type { ItemKind } from '../../domain/item.ts';
import type { Json } from '../../domain/json.ts';
import { loadBodies, saveBodies, wantedBlobs, type Body } from '../blobs.ts';
import type { Database, Transaction } from '../database.ts';
import { syncWrites } from '../sync-writes.ts';
import {
  lockContexts,
  writeVersions,
  type ContextRow,
  type VersionWrite,
} from '../write-versions.ts';
import { QUARANTINE } from './observe.ts';
import { rowsOfLink, rowsOfRun } from './batch.ts';
import { withFence, type PassRef } from './pass.ts';
import { CLOSE_CONFLICTS } from './plan.ts';

/** An op ready to be executed, with the bodies it needs. */
export interface ClaimedOp {
  readonly seq: number;
  readonly opId: OpId;
  readonly action: 'create' | 'update' | 'delete' | 'merge';
  readonly side: 'hub' | 'remote' | 'both';
  readonly key: ContextKey;
  readonly kind: ItemKind;
  readonly remoteId: RemoteId;
  readonly hubVersion: number;
  readonly hubHash: Hash | null;
  readonly remoteVersion: string | null;
  readonly remoteHash: Hash | null;
  readonly hubAfter: Hash | null;
  readonly remoteAfter: Hash | null;
  readonly baseRemoteHash: Hash | null;
  /** Value to write to the remote; null for a delete or when the remote is not written. */
  readonly remoteValue: Json | null;
  /** The remote's value the plan was made on. */
  readonly expectedValue: Json | null;
}

const OP_COLUMNS = `
o.seq, o.op_id AS "opId", o.action, o.side, o.key, o.kind, o.remote_id AS "remoteId",
o.hub_version AS "hubVersion", encode(o.hub_hash, 'hex') AS "hubHash",
o.remote_version AS "remoteVersion", encode(o.remote_hash, 'hex') AS "remoteHash",
encode(o.hub_after, 'hex') AS "hubAfter", encode(o.remote_after, 'hex') AS "remoteAfter"`;

// Re-check at the last moment: the hub's version and the remote as last seen are what the plan saw.
// What has moved on is stale; what writes the remote becomes an intent.
const CLAIM_NEXT = `
WITH next AS (
  SELECT ${OP_COLUMNS}, o.run_id AS "runId", encode(i.base_remote_hash, 'hex') AS "baseRemoteHash",
    (coalesce(c.version, 0) = o.hub_version
     AND i.remote_hash IS NOT DISTINCT FROM o.remote_hash
     AND i.remote_version IS NOT DISTINCT FROM o.remote_version
     AND i.remote_id = o.remote_id) AS "isFresh"
  FROM sync_ops o
  JOIN sync_items i ON i.tenant_id = o.tenant_id AND i.link_id = o.link_id AND i.key = o.key
  LEFT JOIN contexts c ON c.tenant_id = o.tenant_id AND c.key = o.key
  WHERE o.tenant_id = current_setting('app.tenant') AND o.run_id = $1 AND o.state = 'planned'
    AND o.seq > $2
  ORDER BY o.seq LIMIT $3
), marked AS (
  UPDATE sync_ops o SET state = CASE WHEN next."isFresh" THEN 'intended' ELSE 'stale' END,
    detail = CASE WHEN NOT next."isFresh" THEN 'a side has changed since the plan' END
  FROM next WHERE o.tenant_id = current_setting('app.tenant') AND o.run_id = next."runId" AND o.seq = next.seq
    AND (next.side <> 'hub' OR NOT next."isFresh")
)
SELECT * FROM next ORDER BY seq`;

type OpRow = Omit<ClaimedOp, 'remoteValue' | 'expectedValue'> & { isFresh: boolean };

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
  return withFence(database, ref, async (tx) => {
    const rows = await tx.query<OpRow>(CLAIM_NEXT, [ref.runId, after, limit]);
    const fresh = rows.filter((row) => row.isFresh);
    return {
      ops: await withBodies(tx, fresh),
      stale: rows.length - fresh.length,
      last: rows.at(-1)?.seq ?? after,
      isLast: rows.length < limit,
    };
  });
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
    const ops = await withBodies(tx, rows);
    return ops.map((op, nth) => ({ ...op, runId: rows[nth]!.runId }));
  });
}

async function withBodies(tx: Transaction, rows: readonly OpRow[]): Promise<ClaimedOp[]> {
  const remote = rows.filter((row) => row.side !== 'hub');
  const hashes = remote
    .flatMap((row) => [row.remoteAfter, row.remoteHash])
    .filter((h) => h !== null);
  const bodies = await loadBodies(tx, hashes);
  const body = (hash: Hash | null): Json | null => (hash ? (bodies.get(hash) ?? null) : null);
  return rows.map(({ isFresh: _, ...row }) => ({
    ...row,
    remoteValue: row.side === 'hub' ? null : body(row.remoteAfter),
    expectedValue: row.side === 'hub' ? null : body(row.remoteHash),
  }));
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
      readonly fault: { readonly code: string; readonly detail: string };
    };

export interface Settled {
  readonly applied: number;
  readonly stale: number;
  readonly failed: number;
  /** Whether the hub has new versions, of which the outbox tells. */
  readonly wroteHub: boolean;
}

/** Settles the results of one batch, all or nothing. @throws AppError FENCED */
export async function settleOps(
  database: Database,
  ref: PassRef,
  batch: { results: readonly OpResult[]; linkName: string; at: Date },
): Promise<Settled> {
  return withFence(database, ref, async (tx) => {
    const { results } = batch;
    const hub = await lockContexts(
      tx,
      results.map((result) => result.op.key),
    );
    const judged = results.map((result) => judge(result, hub.get(result.op.key) ?? null));
    await saveBodies(
      tx,
      judged.flatMap((j) => j.bodies),
    );
    await writeHub(tx, ref, { judged, hub, ...batch });
    await tx.query(SETTLE, [
      ref.linkId,
      judged.filter((j) => j.state === 'done').map((j) => j.result.op.key),
      JSON.stringify(judged.flatMap((j) => (j.item ? [j.item] : []))),
      ref.runId,
      JSON.stringify(
        judged.map(({ result, state, detail }) => ({ seq: result.op.seq, state, detail })),
      ),
    ]);
    const faults = judged.flatMap((j) =>
      j.fault ? [{ key: j.result.op.key, fault: j.fault }] : [],
    );
    if (faults.length > 0) await tx.query(QUARANTINE, [ref.linkId, JSON.stringify(faults)]);
    const count = (state: string): number => judged.filter((j) => j.state === state).length;
    return {
      applied: count('done'),
      stale: count('stale'),
      failed: count('failed'),
      wroteHub: judged.some((j) => j.writesHub),
    };
  });
}

interface Judged {
  readonly result: OpResult;
  readonly state: 'done' | 'stale' | 'failed';
  readonly detail: string | null;
  readonly writesHub: boolean;
  readonly item: object | null;
  readonly bodies: readonly Body[];
  readonly fault: { readonly code: string; readonly detail: string } | null;
}

/** What a result means, given the hub as it is at this very moment (its row is locked). */
function judge(result: OpResult, hub: ContextRow | null): Judged {
  const base = { result, detail: null, writesHub: false, item: null, bodies: [], fault: null };
  if (result.status === 'failed') {
    return { ...base, state: 'failed', detail: result.fault.detail, fault: result.fault };
  }
  if (result.status === 'stale') {
    const { seen } = result;
    return {
      ...base,
      state: 'stale',
      detail: result.detail,
      item: seen ? seenAgain(result.op, seen) : null,
      bodies: seen?.body ? [seen.body] : [],
    };
  }
  const { op, remote } = result;
  const isHubFresh = (hub?.version ?? 0) === op.hubVersion;
  // What the remote took over as it was sent is stored: it was read from there.
  const bodies = remote?.body && remote.body.hash !== op.remoteAfter ? [remote.body] : [];
  if (op.side === 'hub' && !isHubFresh)
    return { ...base, state: 'stale', detail: 'the hub has changed since the plan' };
  // The remote was written and then the hub moved: what the remote now descends from is the hub
  // version the op was planned on, so that is the base; the hub's newer edit stays dirty.
  if (!isHubFresh)
    return { ...base, state: 'done', item: settledItem(op, remote, 'hub-moved'), bodies };
  const keepsLoser =
    op.side !== 'hub' && op.remoteHash !== null && op.remoteHash !== op.baseRemoteHash;
  return {
    ...base,
    state: 'done',
    writesHub: op.side !== 'remote' || keepsLoser,
    item: settledItem(op, remote, keepsLoser ? 'loser-kept' : 'plain'),
    bodies,
  };
}

type RemoteAfter = Extract<OpResult, { status: 'applied' }>['remote'];

/** The item's row once its op is settled. */
function settledItem(
  op: ClaimedOp,
  remote: RemoteAfter,
  how: 'plain' | 'loser-kept' | 'hub-moved',
): object {
  const remoteHash = remote ? (remote.body?.hash ?? null) : op.remoteHash;
  const writesHub = op.side !== 'remote';
  const hubHash = writesHub && how !== 'hub-moved' ? op.hubAfter : op.hubHash;
  const isMergedButMoved = how === 'hub-moved' && op.side === 'both';
  const isAgreed = hubHash !== null && remoteHash !== null;
  return {
    key: op.key,
    remote_id: remote?.remoteId ?? op.remoteId,
    state: how === 'hub-moved' ? 'pending' : isAgreed ? 'synced' : 'tombstoned',
    base_version: isAgreed ? versionAfter(op, how) : null,
    base_hub: isAgreed ? hubHash : null,
    base_remote: isAgreed ? (isMergedButMoved ? hubHash : remoteHash) : null,
    remote_status: remoteHash ? 'present' : 'absent',
    remote_hash: remoteHash,
    remote_version: remote ? remote.version : op.remoteVersion,
    dirty: how === 'hub-moved',
  };
}

function versionAfter(op: ClaimedOp, how: 'plain' | 'loser-kept' | 'hub-moved'): number {
  if (how === 'hub-moved') return op.hubVersion;
  if (how === 'loser-kept') return op.hubVersion + 2;
  return op.side === 'remote' ? op.hubVersion : op.hubVersion + 1;
}

/** The remote as the connector found it when it refused to write. The base stays as it was. */
function seenAgain(op: ClaimedOp, seen: { version: string | null; body: Body | null }): object {
  return {
    key: op.key,
    remote_id: op.remoteId,
    keep_base: true,
    remote_status: seen.body ? 'present' : 'absent',
    remote_hash: seen.body?.hash ?? null,
    remote_version: seen.version,
    dirty: true,
  };
}

const SETTLED_COLUMNS = `key text, remote_id text, keep_base boolean, state text, base_version int,
  base_hub text, base_remote text, remote_status text, remote_hash text, remote_version text, dirty boolean`;

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
FROM ${rowsOfLink(3, SETTLED_COLUMNS)} s
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = s.link_id AND i.key = s.key
), conflicts AS (${CLOSE_CONFLICTS})
UPDATE sync_ops o SET state = m.state, detail = m.detail
FROM ${rowsOfRun(4, 5, 'seq int, state text, detail text')} m
WHERE o.tenant_id = current_setting('app.tenant') AND o.run_id = m.run_id AND o.seq = m.seq`;

async function writeHub(
  tx: Transaction,
  ref: PassRef,
  batch: {
    judged: readonly Judged[];
    hub: ReadonlyMap<ContextKey, ContextRow>;
    linkName: string;
    at: Date;
  },
): Promise<void> {
  const writing = batch.judged.filter((j) => j.writesHub).map((j) => j.result.op);
  if (writing.length === 0) return;
  // Bodies were stored when they were observed or merged; a version needs only their measure.
  const sizes = await storedBodies(
    tx,
    writing.flatMap((op) => [op.hubAfter, op.hubHash, op.remoteHash]),
  );
  const writes = writing.flatMap((op): VersionWrite[] => {
    const losing = op.side !== 'hub' && op.remoteHash !== op.baseRemoteHash ? op.remoteHash : null;
    const after = op.side === 'remote' ? op.hubHash : op.hubAfter;
    return syncWrites({
      key: op.key,
      kind: op.kind,
      hub: batch.hub.get(op.key) ?? null,
      body: after ? sizes.get(after)! : null,
      loser: losing ? sizes.get(losing)! : null,
      linkName: batch.linkName,
      changeType: op.action === 'merge' ? 'merge' : 'update',
      changedBy: `sync:${batch.linkName}`,
      origin: ref.linkId,
      at: batch.at,
    });
  });
  await writeVersions(tx, writes, batch.at);
}

/** Measures of stored bodies; the bytes stay where they are. */
async function storedBodies(
  tx: Transaction,
  hashes: readonly (Hash | null)[],
): Promise<Map<Hash, Body>> {
  const rows = await tx.query<{ hash: Hash; codec: Body['codec']; size: number }>(
    wantedBlobs('codec, size'),
    [[...new Set(hashes.filter((hash) => hash !== null))]],
  );
  return new Map(rows.map((row) => [row.hash, { ...row, bytes: null }]));
}
