/** What planning reads and records: dirty items with both sides' facts, decisions, ops, conflicts. */
import type { DeleteReason } from '../../domain/context.ts';
import type { Hash } from '../../domain/hash.ts';
import type { ContextKey, OpId, RemoteId, TenantId } from '../../domain/ids.ts';
import type { ItemKind } from '../../domain/item.ts';
import type { ItemState, PlannedDecision } from '../../domain/link.ts';
import { storableJson } from '../../domain/storable.ts';
import { loadStored, saveStatements, withItsKey, type Body, type StoredBody } from '../blobs.ts';
import type { Database, Transaction } from '../database.ts';
import type { Statement } from '../send-together.ts';
import { QUARANTINE } from './observe.ts';
import {
  columnsOfLink,
  unnested,
  valuesByColumn,
  valuesOfLink,
  type BatchColumns,
} from './batch.ts';
import { closeConflicts, openConflicts, type OpenConflict } from './conflicts.ts';
import { commitFenced, RECORD_RUN, withFence, type PassRef } from './pass.ts';

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
  /** Kind of the context; null: the hub never had this key. */
  readonly hubKind: string | null;
  readonly hubChangedAt: Date | null;
  /** The hub's body is sealed, so the item rests: links do not carry it. */
  readonly isHubEncrypted: boolean;
  /** Bytes of the hub's body as compact JSON; 0: absent. */
  readonly hubSize: number;
  readonly remoteHash: Hash | null;
  readonly remoteVersion: string | null;
  readonly remoteChangedAt: Date | null;
}

// Without a base nothing may be agreed on by what a scan has just not shown: it would be deleted next.
// A plan follows a complete look of its epoch, so what the remote was never seen to have (`unknown`)
// it does not have.
const IS_DECIDABLE = `remote_id IS NOT NULL AND remote_status <> 'faulty' AND state <> 'excluded'
  AND (base_hub_hash IS NOT NULL OR remote_status <> 'present' OR missing_scans <= 0)`;

// Two halves, so that each has its index: a quiet link of any size is read in no time. The second is
// taken in the order of its own, or the planner reads the rest of the link by key for each page.
const SELECT_DIRTY = `
SELECT i.key, i.kind, i.remote_id AS "remoteId", i.state,
  encode(i.base_hub_hash, 'hex') AS "baseHubHash", encode(i.base_remote_hash, 'hex') AS "baseRemoteHash",
  coalesce(c.version, 0) AS "hubVersion",
  CASE WHEN c.expires_at <= now() THEN NULL ELSE encode(c.hash, 'hex') END AS "hubHash",
  CASE WHEN c.deleted THEN c.delete_reason WHEN c.expires_at <= now() THEN 'ttl' END AS "hubReason",
  coalesce(c.encrypted AND (c.expires_at IS NULL OR c.expires_at > now()), false) AS "isHubEncrypted",
  c.kind AS "hubKind", c.updated_at AS "hubChangedAt", coalesce(c.size, 0) AS "hubSize", encode(i.remote_hash, 'hex') AS "remoteHash",
  i.remote_version AS "remoteVersion", i.remote_changed_at AS "remoteChangedAt"
FROM (
  (SELECT * FROM sync_items
   WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND key > $2 COLLATE "C"
     AND dirty AND ${IS_DECIDABLE} ORDER BY key LIMIT $3)
  UNION ALL
  (SELECT * FROM (
     SELECT * FROM sync_items
     WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND retry_at <= now()
     ORDER BY retry_at OFFSET 0) due
   WHERE key > $2 COLLATE "C" AND NOT dirty AND state = 'quarantined' AND ${IS_DECIDABLE}
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
  const values = [ref.linkId, page.after, page.limit];
  return commitFenced<DirtyItem>(database, ref, { sql: SELECT_DIRTY, values });
}

/** Bodies by hash as they are stored, for merges; one that is gone is missing. */
export async function bodiesOf(
  database: Database,
  tenant: TenantId,
  hashes: Iterable<Hash>,
): Promise<Map<Hash, StoredBody>> {
  const wanted = [...hashes];
  if (wanted.length === 0) return new Map();
  return database.withTenant(tenant, (tx) => loadStored(tx, wanted));
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

/**
 * Records one page of the plan; its ops are numbered on from those the run has. Of a dry run only the
 * ops: its items stay as they are, so that the run that follows decides the same.
 */
export async function recordPlan(
  database: Database,
  ref: PassRef,
  plan: { page: PlanPage; trigger: string; isDry?: boolean },
): Promise<void> {
  const { page } = plan;
  await withFence(database, ref, async (tx) => {
    const proposals = page.conflicts.flatMap((c) => (c.proposal ? [c.proposal] : []));
    const bodies = saveStatements([...page.bodies, ...proposals]);
    if (!plan.isDry) await settleInPlace(tx, ref, page);
    await withItsKey(tx.commitWith([...bodies, ...opStatements(ref, plan)]));
  });
}

function opStatements(ref: PassRef, plan: { page: PlanPage; trigger: string }): Statement[] {
  const rows = plan.page.ops.map(opRecord);
  if (rows.length === 0) return [];
  const columns = valuesByColumn(OP_COLUMNS, rows);
  return [{ sql: INSERT_OPS, values: [ref.runId, ref.linkId, plan.trigger, ...columns] }];
}

const ADOPTED_COLUMNS = {
  key: 'text',
  version: 'int',
  hub: 'text',
  remote: 'text',
} as const satisfies BatchColumns;

const ADOPT = `
UPDATE sync_items i SET state = 'synced', base_version = a.version,
  base_hub_hash = decode(a.hub, 'hex'), base_remote_hash = decode(a.remote, 'hex'),
  dirty = false, dirty_since = NULL, fault = NULL, attempts = 0, retry_at = NULL
FROM ${columnsOfLink(2, ADOPTED_COLUMNS)} a
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = a.link_id AND i.key = a.key`;

const FORGET = `
UPDATE sync_items i SET state = 'tombstoned', base_version = NULL, base_hub_hash = NULL,
  base_remote_hash = NULL, dirty = false, dirty_since = NULL, fault = NULL, attempts = 0, retry_at = NULL
FROM ${valuesOfLink('key')} s
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = s.link_id AND i.key = s.key`;

const REST = `
UPDATE sync_items i SET dirty = false, dirty_since = NULL,
  state = CASE WHEN base_hub_hash IS NOT NULL AND state IN ('pending', 'quarantined', 'conflict') THEN 'synced'
               WHEN state = 'conflict' THEN 'pending' ELSE state END,
  fault = NULL, attempts = 0, retry_at = NULL
FROM ${valuesOfLink('key')} s
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = s.link_id AND i.key = s.key`;

async function settleInPlace(tx: Transaction, ref: PassRef, page: PlanPage): Promise<void> {
  await openConflicts(tx, ref.linkId, page.conflicts);
  if (page.quarantined.length > 0) {
    const rows = page.quarantined.map(({ item, fault }) => ({ key: item.key, fault }));
    await tx.query(QUARANTINE, [ref.linkId, storableJson(rows)]);
  }
  if (page.adopted.length > 0) {
    const rows = page.adopted.map((item) => ({
      key: item.key,
      version: item.hubVersion,
      hub: item.hubHash,
      remote: item.remoteHash,
    }));
    await tx.query(ADOPT, [ref.linkId, ...valuesByColumn(ADOPTED_COLUMNS, rows)]);
  }
  if (page.forgotten.length > 0) await tx.query(FORGET, [ref.linkId, keysOf(page.forgotten)]);
  if (page.rested.length > 0) await tx.query(REST, [ref.linkId, keysOf(page.rested)]);
  const sealed = page.quarantined.map(({ item }) => item).filter((item) => item.isHubEncrypted);
  // A conflict over a body that is encrypted by now shows one that is not there any more.
  const settled = [...page.adopted, ...page.forgotten, ...page.rested, ...sealed].filter(
    wasInConflict,
  );
  await closeConflicts(tx, ref.linkId, keysOf(settled));
}

const OP_COLUMNS = {
  nth: 'int',
  op_id: 'uuid',
  action: 'text',
  side: 'text',
  reason: 'text',
  key: 'text',
  kind: 'text',
  remote_id: 'text',
  hub_version: 'int',
  hub_hash: 'text',
  remote_version: 'text',
  remote_hash: 'text',
  hub_after: 'text',
  remote_after: 'text',
} as const satisfies BatchColumns;

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
FROM ${unnested(4, OP_COLUMNS)} AS o (${Object.keys(OP_COLUMNS).join(', ')})`;

function opRecord(op: PlannedOp, at: number) {
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

/** Keeps what a dry run decided besides its ops. @throws AppError FENCED */
export async function recordDecisions(
  database: Database,
  ref: PassRef,
  { trigger, decisions }: { trigger: string; decisions: readonly PlannedDecision[] },
): Promise<void> {
  await withFence(database, ref, async (tx) => {
    await tx.query(RECORD_RUN, [ref.runId, ref.linkId, trigger]);
    await tx.query(
      `UPDATE sync_runs SET decisions = $2 WHERE tenant_id = current_setting('app.tenant') AND id = $1`,
      [ref.runId, storableJson(decisions)],
    );
  });
}

/** Counts of one side for the guards: items once agreed on, and what became of them. */
export interface SideCounts {
  readonly known: number;
  readonly present: number;
  readonly changed: number;
  readonly expired: number;
  readonly plannedDeletes: number;
  readonly plannedOverwrites: number;
  readonly kinds: readonly KindCounts[];
}

/** The same of one kind of item. */
export interface KindCounts extends Pick<SideCounts, 'known' | 'present' | 'expired'> {
  readonly kind: ItemKind;
}

const COUNT_SIDES = `
WITH known AS (
  SELECT i.kind, i.base_hub_hash, i.base_remote_hash, i.remote_hash, i.remote_status,
    c.hash AS hub_hash, c.encrypted, c.deleted, c.delete_reason, c.expires_at
  FROM sync_items i LEFT JOIN contexts c ON c.tenant_id = i.tenant_id AND c.key = i.key
  WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = $1 AND i.base_hub_hash IS NOT NULL
), judged AS (
  SELECT *, coalesce(delete_reason = 'ttl' OR (NOT deleted AND expires_at <= now()), false) AS expired FROM known
), kinds AS (
  SELECT kind, count(*)::int AS known, count(*) FILTER (WHERE expired)::int AS expired,
    count(*) FILTER (WHERE hub_hash IS NOT NULL AND NOT expired)::int AS "hubPresent",
    count(*) FILTER (WHERE hub_hash IS NOT NULL AND NOT expired AND NOT encrypted
      AND hub_hash <> base_hub_hash)::int AS "hubChanged",
    count(*) FILTER (WHERE remote_status <> 'absent')::int AS "remotePresent",
    count(*) FILTER (WHERE remote_hash <> base_remote_hash)::int AS "remoteChanged"
  FROM judged GROUP BY kind
), ops AS (
  SELECT count(*) FILTER (WHERE action = 'delete' AND side = 'hub')::int AS "hubDeletes",
    count(*) FILTER (WHERE action = 'delete' AND side = 'remote')::int AS "remoteDeletes",
    count(*) FILTER (WHERE hub_hash IS NOT NULL AND hub_after IS NOT NULL)::int AS "hubOverwrites",
    count(*) FILTER (WHERE remote_hash IS NOT NULL AND remote_after IS NOT NULL)::int AS "remoteOverwrites"
  FROM sync_ops WHERE tenant_id = current_setting('app.tenant') AND run_id = $2 AND state = 'planned'
)
SELECT coalesce(json_agg(kinds ORDER BY kind), '[]') AS kinds, coalesce(sum(known), 0)::int AS known,
  coalesce(sum("hubPresent"), 0)::int AS "hubPresent", coalesce(sum("hubChanged"), 0)::int AS "hubChanged",
  coalesce(sum(expired), 0)::int AS expired, coalesce(sum("remotePresent"), 0)::int AS "remotePresent",
  coalesce(sum("remoteChanged"), 0)::int AS "remoteChanged",
  (SELECT "hubDeletes" FROM ops), (SELECT "remoteDeletes" FROM ops),
  (SELECT "hubOverwrites" FROM ops), (SELECT "remoteOverwrites" FROM ops),
  (SELECT count(*)::int FROM sync_items WHERE tenant_id = current_setting('app.tenant') AND link_id = $1
    AND state NOT IN ('excluded', 'tombstoned')) AS items,
  (SELECT conflicts_accepted FROM sync_links WHERE tenant_id = current_setting('app.tenant') AND id = $1)
    AS "conflictsAccepted"
FROM kinds`;

/**
 * Whether each side has an item as both last agreed on it, among those a condition holds for. Item by
 * item: with statistics the planner would rather read all contexts to find the first.
 */
const isAsAgreed = (condition: string): string => `EXISTS (
    SELECT 1 FROM sync_items i CROSS JOIN LATERAL (SELECT 1 FROM contexts c
      WHERE c.tenant_id = current_setting('app.tenant') AND c.key = i.key AND c.hash = i.base_hub_hash
        AND (c.expires_at IS NULL OR c.expires_at > now()) OFFSET 0) c
    WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = $1
      AND i.base_hub_hash IS NOT NULL AND ${condition})
  AND EXISTS (
    SELECT 1 FROM sync_items i
    WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = $1
      AND i.remote_hash = i.base_remote_hash AND ${condition})`;

// Stops at the first such item of each side, which is nearly always the first it meets. A kind can
// only be emptied by a plan that deletes of it, so no other kind is looked at.
const IS_CALM = `
SELECT ${isAsAgreed('true')} AND NOT EXISTS (
  SELECT 1 FROM (
    SELECT DISTINCT kind FROM sync_ops WHERE tenant_id = current_setting('app.tenant') AND run_id = $2
      AND state = 'planned' AND action = 'delete') deleted
  WHERE NOT (${isAsAgreed('i.kind = deleted.kind')})) AS "isCalm"`;

/**
 * Whether each side, and each kind of which the plan deletes on each side, still has an item as both
 * last agreed on it: not emptied, not all changed.
 */
export async function isCalm(database: Database, ref: PassRef): Promise<boolean> {
  const [rows] = await database.withTenant(ref.tenant, (tx) =>
    tx.commitWith([{ sql: IS_CALM, values: [ref.linkId, ref.runId] }]),
  );
  return (rows as unknown as [{ isCalm: boolean }])[0].isCalm;
}

/** Both sides' counts after planning. */
export async function countSides(
  database: Database,
  ref: PassRef,
): Promise<{ hub: SideCounts; remote: SideCounts; items: number; conflictsAccepted: number }> {
  const [row] = await database.withTenant(ref.tenant, (tx) =>
    tx.query<{ kinds: KindRow[] } & Record<string, number>>(COUNT_SIDES, [ref.linkId, ref.runId]),
  );
  const n = (name: string): number => row![name]!;
  return {
    items: n('items'),
    conflictsAccepted: n('conflictsAccepted'),
    hub: {
      known: n('known'),
      present: n('hubPresent'),
      changed: n('hubChanged'),
      expired: n('expired'),
      plannedDeletes: n('hubDeletes'),
      plannedOverwrites: n('hubOverwrites'),
      kinds: row!.kinds.map(({ kind, known, hubPresent, expired }) => {
        return { kind, known, present: hubPresent, expired };
      }),
    },
    remote: {
      known: n('known'),
      present: n('remotePresent'),
      changed: n('remoteChanged'),
      expired: 0,
      plannedDeletes: n('remoteDeletes'),
      plannedOverwrites: n('remoteOverwrites'),
      kinds: row!.kinds.map(({ kind, known, remotePresent }) => {
        return { kind, known, present: remotePresent, expired: 0 };
      }),
    },
  };
}

interface KindRow extends Omit<KindCounts, 'present'> {
  readonly hubPresent: number;
  readonly remotePresent: number;
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
