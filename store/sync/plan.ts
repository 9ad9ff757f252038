/** What planning reads and records: dirty items with both sides' facts, decisions, ops, conflicts. */
import type { DeleteReason } from '../../domain/context.ts';
import type { Hash } from '../../domain/hash.ts';
import type { ConflictId, ContextKey, OpId, RemoteId, TenantId } from '../../domain/ids.ts';
import type { ItemKind } from '../../domain/item.ts';
import type { Json } from '../../domain/json.ts';
import type { ConflictReason, ItemState } from '../../domain/link.ts';
import { loadBodies, saveBodies, type Body } from '../blobs.ts';
import type { Database, Transaction } from '../database.ts';
import { QUARANTINE } from './observe.ts';
import { rowsOfLink, valuesOfLink } from './batch.ts';
import { RECORD_RUN, withFence, type PassRef } from './pass.ts';

/** An item to be decided, with the hub as it is now and the remote as last seen. */
export interface DirtyItem {
  readonly key: ContextKey;
  readonly kind: ItemKind;
  readonly remoteId: RemoteId;
  readonly state: ItemState;
  readonly baseHubHash: Hash | null;
  readonly baseRemoteHash: Hash | null;
  /** 0: the hub never had this key. */
  readonly hubVersion: number;
  /** Null: absent, for the reason below. */
  readonly hubHash: Hash | null;
  readonly hubReason: DeleteReason | null;
  readonly hubChangedAt: Date | null;
  readonly remoteHash: Hash | null;
  readonly remoteVersion: string | null;
  readonly remoteChangedAt: Date | null;
}

const IS_DECIDABLE = `remote_id IS NOT NULL AND remote_status IN ('present', 'absent') AND state <> 'excluded'`;

// Two halves, so that each has its index: a quiet link of any size is read in no time.
const SELECT_DIRTY = `
SELECT i.key, i.kind, i.remote_id AS "remoteId", i.state,
  encode(i.base_hub_hash, 'hex') AS "baseHubHash", encode(i.base_remote_hash, 'hex') AS "baseRemoteHash",
  coalesce(c.version, 0) AS "hubVersion",
  CASE WHEN c.expires_at <= now() THEN NULL ELSE encode(c.hash, 'hex') END AS "hubHash",
  CASE WHEN c.deleted THEN c.delete_reason WHEN c.expires_at <= now() THEN 'ttl' END AS "hubReason",
  c.updated_at AS "hubChangedAt", encode(i.remote_hash, 'hex') AS "remoteHash",
  i.remote_version AS "remoteVersion", i.remote_changed_at AS "remoteChangedAt"
FROM (
  (SELECT * FROM sync_items
   WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND key > $2 COLLATE "C"
     AND dirty AND ${IS_DECIDABLE} ORDER BY key LIMIT $3)
  UNION ALL
  (SELECT * FROM sync_items
   WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND key > $2 COLLATE "C"
     AND NOT dirty AND retry_at <= now() AND state = 'quarantined' AND ${IS_DECIDABLE}
   ORDER BY key LIMIT $3)
) i
LEFT JOIN contexts c ON c.tenant_id = i.tenant_id AND c.key = i.key
ORDER BY i.key LIMIT $3`;

/** Items to decide, in key order, a page at a time. */
export async function dirtyItems(
  database: Database,
  ref: PassRef,
  page: { after: string; limit: number },
): Promise<DirtyItem[]> {
  return withFence(database, ref, (tx) =>
    tx.query<DirtyItem>(SELECT_DIRTY, [ref.linkId, page.after, page.limit]),
  );
}

/** Bodies by hash, for merges; one that is gone is missing. */
export async function bodiesOf(
  database: Database,
  tenant: TenantId,
  hashes: Iterable<Hash>,
): Promise<Map<Hash, Json>> {
  const wanted = [...hashes];
  if (wanted.length === 0) return new Map();
  return database.withTenant(tenant, (tx) => loadBodies(tx, wanted));
}

/** One intended write, before it has a number. */
export interface PlannedOp {
  readonly opId: OpId;
  readonly action: 'create' | 'update' | 'delete' | 'merge';
  readonly side: 'hub' | 'remote' | 'both';
  readonly reason: string;
  readonly item: DirtyItem;
  /** Body the hub shall have; null: not written, or deleted where the action says so. */
  readonly hubAfter: Hash | null;
  /** Body, in the hub's terms, the remote shall have. */
  readonly remoteAfter: Hash | null;
}

export interface OpenConflict {
  readonly id: ConflictId;
  readonly item: DirtyItem;
  readonly reason: ConflictReason;
  readonly pointers: readonly string[];
  readonly proposal: Body | null;
}

/** The decisions of one page. Only `ops` will write to a side; the rest is bookkeeping. */
export interface PlanPage {
  /** Both sides hold the same: becomes the base. */
  readonly adopted: readonly DirtyItem[];
  /** Gone on both sides. */
  readonly forgotten: readonly DirtyItem[];
  /** Nothing to do: no longer dirty. */
  readonly rested: readonly DirtyItem[];
  readonly conflicts: readonly OpenConflict[];
  readonly quarantined: readonly { item: DirtyItem; fault: { code: string; detail: string } }[];
  readonly ops: readonly PlannedOp[];
  /** Bodies that merging made. */
  readonly bodies: readonly Body[];
}

/** Records one page of the plan; its ops are numbered on from those the run has. */
export async function recordPlan(
  database: Database,
  ref: PassRef,
  plan: { page: PlanPage; trigger: string },
): Promise<void> {
  const { page } = plan;
  await withFence(database, ref, async (tx) => {
    const proposals = page.conflicts.flatMap((c) => (c.proposal ? [c.proposal] : []));
    await saveBodies(tx, [...page.bodies, ...proposals]);
    await settleInPlace(tx, ref, page);
    await openConflicts(tx, ref, page.conflicts);
    if (page.quarantined.length > 0) {
      const rows = page.quarantined.map(({ item, fault }) => ({ key: item.key, fault }));
      await tx.query(QUARANTINE, [ref.linkId, JSON.stringify(rows)]);
    }
    if (page.ops.length > 0) {
      const rows = page.ops.map(opRecord);
      await tx.query(INSERT_OPS, [ref.runId, ref.linkId, plan.trigger, JSON.stringify(rows)]);
    }
  });
}

const ADOPT = `
UPDATE sync_items i SET state = 'synced', base_version = a.version,
  base_hub_hash = decode(a.hub, 'hex'), base_remote_hash = decode(a.remote, 'hex'),
  dirty = false, dirty_since = NULL, fault = NULL, attempts = 0, retry_at = NULL
FROM ${rowsOfLink(2, 'key text, version int, hub text, remote text')} a
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = a.link_id AND i.key = a.key`;

const FORGET = `
UPDATE sync_items i SET state = 'tombstoned', base_version = NULL, base_hub_hash = NULL,
  base_remote_hash = NULL, dirty = false, dirty_since = NULL, fault = NULL, attempts = 0, retry_at = NULL
FROM ${valuesOfLink('key')} s
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = s.link_id AND i.key = s.key`;

const REST = `
UPDATE sync_items i SET dirty = false, dirty_since = NULL,
  state = CASE WHEN base_hub_hash IS NOT NULL AND state IN ('pending', 'quarantined') THEN 'synced' ELSE state END,
  fault = NULL, attempts = 0, retry_at = NULL
FROM ${valuesOfLink('key')} s
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = s.link_id AND i.key = s.key`;

async function settleInPlace(tx: Transaction, ref: PassRef, page: PlanPage): Promise<void> {
  if (page.adopted.length > 0) {
    const rows = page.adopted.map((item) => ({
      key: item.key,
      version: item.hubVersion,
      hub: item.hubHash,
      remote: item.remoteHash,
    }));
    await tx.query(ADOPT, [ref.linkId, JSON.stringify(rows)]);
  }
  if (page.forgotten.length > 0) await tx.query(FORGET, [ref.linkId, keysOf(page.forgotten)]);
  if (page.rested.length > 0) await tx.query(REST, [ref.linkId, keysOf(page.rested)]);
  const closed = keysOf([...page.adopted, ...page.forgotten].filter(wasInConflict));
  if (closed.length > 0) await tx.query(CLOSE_CONFLICTS, [ref.linkId, closed]);
}

/** A conflict of a link ($1) whose sides came to agree (or merge) closes itself; $2 are their keys. */
export const CLOSE_CONFLICTS = `
UPDATE sync_conflicts SET status = 'closed', updated_at = now()
WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND status = 'open' AND key = ANY($2)`;

const OPEN_CONFLICTS = `
INSERT INTO sync_conflicts (tenant_id, id, link_id, key, status, reason, base_hash, hub_hash,
  hub_version, remote_hash, remote_version, pointers, proposal_hash)
SELECT current_setting('app.tenant'), id, $1, key, 'open', reason, decode(base, 'hex'), decode(hub, 'hex'),
  hub_version, decode(remote, 'hex'), remote_version, pointers, decode(proposal, 'hex')
FROM json_to_recordset($2::json) AS c (id uuid, key text, reason text, base text, hub text,
  hub_version int, remote text, remote_version text, pointers json, proposal text)
ON CONFLICT (tenant_id, link_id, key) WHERE status = 'open' DO UPDATE SET
  reason = excluded.reason, base_hash = excluded.base_hash, hub_hash = excluded.hub_hash,
  hub_version = excluded.hub_version, remote_hash = excluded.remote_hash,
  remote_version = excluded.remote_version, pointers = excluded.pointers,
  proposal_hash = excluded.proposal_hash, updated_at = now()`;

async function openConflicts(
  tx: Transaction,
  ref: PassRef,
  conflicts: readonly OpenConflict[],
): Promise<void> {
  if (conflicts.length === 0) return;
  const rows = conflicts.map(({ id, item, reason, pointers, proposal }) => ({
    id,
    key: item.key,
    reason,
    base: item.baseHubHash,
    hub: item.hubHash,
    hub_version: item.hubVersion,
    remote: item.remoteHash,
    remote_version: item.remoteVersion,
    pointers,
    proposal: proposal?.hash ?? null,
  }));
  await tx.query(OPEN_CONFLICTS, [ref.linkId, JSON.stringify(rows)]);
  await tx.query(
    `UPDATE sync_items SET state = 'conflict', dirty = false, dirty_since = NULL, retry_at = NULL
     WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND key = ANY($2)`,
    [ref.linkId, rows.map((row) => row.key)],
  );
}

const INSERT_OPS = `
WITH run AS (${RECORD_RUN})
INSERT INTO sync_ops (tenant_id, run_id, link_id, seq, op_id, action, side, reason, key, kind, remote_id,
  hub_version, hub_hash, remote_version, remote_hash, hub_after, remote_after, state)
SELECT current_setting('app.tenant'), $1, $2,
  nth + coalesce((SELECT seq FROM sync_ops
    WHERE tenant_id = current_setting('app.tenant') AND run_id = $1 ORDER BY seq DESC LIMIT 1), 0),
  op_id, action, side, reason, key, kind, remote_id,
  hub_version, decode(hub_hash, 'hex'), remote_version, decode(remote_hash, 'hex'),
  decode(hub_after, 'hex'), decode(remote_after, 'hex'), 'planned'
FROM json_to_recordset($4::json) AS o (nth int, op_id uuid, action text, side text, reason text, key text,
  kind text, remote_id text, hub_version int, hub_hash text, remote_version text, remote_hash text,
  hub_after text, remote_after text)`;

function opRecord(op: PlannedOp, at: number): object {
  return {
    nth: at + 1,
    op_id: op.opId,
    action: op.action,
    side: op.side,
    reason: op.reason,
    key: op.item.key,
    kind: op.item.kind,
    remote_id: op.item.remoteId,
    hub_version: op.item.hubVersion,
    hub_hash: op.item.hubHash,
    remote_version: op.item.remoteVersion,
    remote_hash: op.item.remoteHash,
    hub_after: op.hubAfter,
    remote_after: op.remoteAfter,
  };
}

/** Counts of one side for the guards: items once agreed on, and what became of them. */
export interface SideCounts {
  readonly known: number;
  readonly present: number;
  readonly changed: number;
  readonly expired: number;
  readonly plannedDeletes: number;
}

const COUNT_SIDES = `
WITH known AS (
  SELECT i.base_hub_hash, i.base_remote_hash, i.remote_hash, i.remote_status,
    c.hash AS hub_hash, c.deleted, c.delete_reason, c.expires_at
  FROM sync_items i LEFT JOIN contexts c ON c.tenant_id = i.tenant_id AND c.key = i.key
  WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = $1 AND i.base_hub_hash IS NOT NULL
), judged AS (
  SELECT *, coalesce(delete_reason = 'ttl' OR (NOT deleted AND expires_at <= now()), false) AS expired FROM known
)
SELECT count(*)::int AS known,
  count(*) FILTER (WHERE hub_hash IS NOT NULL AND NOT expired)::int AS "hubPresent",
  count(*) FILTER (WHERE hub_hash IS NOT NULL AND NOT expired AND hub_hash <> base_hub_hash)::int AS "hubChanged",
  count(*) FILTER (WHERE expired)::int AS expired,
  count(*) FILTER (WHERE remote_status <> 'absent')::int AS "remotePresent",
  count(*) FILTER (WHERE remote_hash <> base_remote_hash)::int AS "remoteChanged",
  (SELECT count(*)::int FROM sync_ops WHERE tenant_id = current_setting('app.tenant') AND run_id = $2
    AND state = 'planned' AND action = 'delete' AND side = 'hub') AS "hubDeletes",
  (SELECT count(*)::int FROM sync_ops WHERE tenant_id = current_setting('app.tenant') AND run_id = $2
    AND state = 'planned' AND action = 'delete' AND side = 'remote') AS "remoteDeletes"
FROM judged`;

// Stops at the first such item of each side, which is nearly always the first it meets.
const IS_CALM = `
SELECT EXISTS (
    SELECT 1 FROM sync_items i JOIN contexts c ON c.tenant_id = i.tenant_id AND c.key = i.key
    WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = $1 AND c.hash = i.base_hub_hash
      AND (c.expires_at IS NULL OR c.expires_at > now()))
  AND EXISTS (
    SELECT 1 FROM sync_items i
    WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = $1
      AND i.remote_hash = i.base_remote_hash) AS "isCalm"`;

/** Whether each side still has an item as both last agreed on it: not emptied, not all changed. */
export async function isCalm(database: Database, ref: PassRef): Promise<boolean> {
  const [row] = await database.withTenant(ref.tenant, (tx) =>
    tx.query<{ isCalm: boolean }>(IS_CALM, [ref.linkId]),
  );
  return row!.isCalm;
}

/** Both sides' counts after planning. */
export async function countSides(
  database: Database,
  ref: PassRef,
): Promise<{ hub: SideCounts; remote: SideCounts }> {
  const [row] = await database.withTenant(ref.tenant, (tx) =>
    tx.query<Record<string, number>>(COUNT_SIDES, [ref.linkId, ref.runId]),
  );
  const n = (name: string): number => row![name]!;
  return {
    hub: {
      known: n('known'),
      present: n('hubPresent'),
      changed: n('hubChanged'),
      expired: n('expired'),
      plannedDeletes: n('hubDeletes'),
    },
    remote: {
      known: n('known'),
      present: n('remotePresent'),
      changed: n('remoteChanged'),
      expired: 0,
      plannedDeletes: n('remoteDeletes'),
    },
  };
}

/** Whether the canary item is there, per side. */
export async function findCanary(
  database: Database,
  ref: PassRef,
  key: string,
): Promise<{ hub: boolean; remote: boolean }> {
  const [row] = await database.withTenant(ref.tenant, (tx) =>
    tx.query<{ hub: boolean; remote: boolean }>(
      `SELECT EXISTS (SELECT 1 FROM contexts WHERE tenant_id = current_setting('app.tenant') AND key = $2
           AND NOT deleted AND (expires_at IS NULL OR expires_at > now())) AS hub,
         EXISTS (SELECT 1 FROM sync_items WHERE tenant_id = current_setting('app.tenant') AND link_id = $1
           AND key = $2 AND remote_status = 'present') AS remote`,
      [ref.linkId, key],
    ),
  );
  return row!;
}

const keysOf = (items: readonly DirtyItem[]): ContextKey[] => items.map((item) => item.key);
const wasInConflict = (item: DirtyItem): boolean => item.state === 'conflict';
