/**
 * What an audit asks of Postgres: digests of what a link agreed on, the items of the buckets that
 * differ, and the proof at the end. Digests are computed when they are asked for: keeping them with
 * every settling costs each settling more than an audit a day does (docs/decisions/0050).
 */
import type { Hash } from '../../domain/hash.ts';
import type { ContextKey, RemoteId } from '../../domain/ids.ts';
import type { AuditProof, ItemState } from '../../domain/link.ts';
import type { Database } from '../database.ts';
import { inScope, LAPSED, MISSED_ONCE_MORE } from './observe.ts';
import { withFence, withFencedLink, type PassRef } from './pass.ts';

/** Columns `bucket` and `mark` of rows with a `name` and a `hash`; the same as activities/bucket-digest.ts. */
const marked = (rows: string): string => `
(SELECT n.*, (get_byte(n.digest, 0) << 4) | (get_byte(n.digest, 1) >> 4) AS bucket,
   ('x' || encode(substring(sha256(n.digest || n.hash), 1, 8), 'hex'))::bit(64)::bigint AS mark
 FROM (SELECT r.*, sha256(convert_to(r.name, 'UTF8')) AS digest FROM (${rows}) r OFFSET 0) n)`;

const digests = (rows: string): string =>
  `SELECT bucket, count(*)::int AS items, sum(mark)::text AS sum FROM ${marked(rows)} m GROUP BY bucket`;

const OF_LINK = `tenant_id = current_setting('app.tenant') AND link_id = $1`;

const AGREED_REMOTE = `SELECT remote_id AS name, base_remote_hash AS hash FROM sync_items
WHERE ${OF_LINK} AND base_remote_hash IS NOT NULL AND remote_id IS NOT NULL`;

const AGREED_HUB = `SELECT key AS name, base_hub_hash AS hash FROM sync_items
WHERE ${OF_LINK} AND base_hub_hash IS NOT NULL`;

const LIVE_HUB = `SELECT key AS name, hash, kind FROM contexts WHERE ${inScope('$2')}`;

/** Digests of the remote side as both sides last agreed on it. @throws AppError FENCED */
export async function agreedDigests(
  database: Database,
  ref: PassRef,
): Promise<Map<number, { items: number; sum: bigint }>> {
  const rows = await withFence(database, ref, (tx) =>
    tx.query<{ bucket: number; items: number; sum: string }>(digests(AGREED_REMOTE), [ref.linkId]),
  );
  return new Map(rows.map(({ bucket, items, sum }) => [bucket, { items, sum: BigInt(sum) }]));
}

/** An item as an audit compares it with what the remote shows. */
export interface AuditedItem {
  readonly key: ContextKey;
  readonly remoteId: RemoteId;
  readonly state: ItemState;
  readonly status: 'unknown' | 'present' | 'absent' | 'faulty';
  readonly remoteHash: Hash | null;
  readonly baseRemoteHash: Hash | null;
}

const SELECT_BUCKETS = `
SELECT i.key, i.name AS "remoteId", i.state, i.remote_status AS status,
  encode(i.remote_hash, 'hex') AS "remoteHash", encode(i.base_remote_hash, 'hex') AS "baseRemoteHash"
FROM ${marked(`SELECT key, remote_id AS name, state, remote_status, remote_hash, base_remote_hash,
  ''::bytea AS hash FROM sync_items WHERE ${OF_LINK} AND remote_id IS NOT NULL`)} i
WHERE i.bucket = ANY($2::int[])`;

/** The items of some buckets, by their name on the remote. @throws AppError FENCED */
export async function itemsInBuckets(
  database: Database,
  ref: PassRef,
  buckets: readonly number[],
): Promise<AuditedItem[]> {
  return withFence(database, ref, (tx) =>
    tx.query<AuditedItem>(SELECT_BUCKETS, [ref.linkId, buckets]),
  );
}

// Not the states that rest for a reason of their own: those are counted apart.
const DOUBT = `
UPDATE sync_items SET dirty = true, dirty_since = coalesce(dirty_since, now())
WHERE ${OF_LINK} AND key = ANY($2) AND state IN ('synced', 'pending')`;

const MISS = `
WITH missed AS (
  UPDATE sync_items SET ${MISSED_ONCE_MORE}
  WHERE ${OF_LINK} AND key = ANY($2) AND remote_status IN ('present', 'faulty')
  RETURNING remote_status
), doubt AS (
  UPDATE sync_links SET look_whole = true
  WHERE tenant_id = current_setting('app.tenant') AND id = $1
    AND EXISTS (SELECT 1 FROM missed WHERE remote_status <> 'absent')
)
SELECT count(*) FILTER (WHERE remote_status = 'absent')::int AS gone,
  count(*) FILTER (WHERE remote_status <> 'absent')::int AS "inDoubt" FROM missed`;

const LAPSE = `
UPDATE sync_items SET ${LAPSED}
WHERE ${OF_LINK} AND key = ANY($2) AND remote_status IN ('present', 'faulty')`;

/**
 * Marks items to be decided anew: `doubted`, whose base is not what the remote shows, and `missing`,
 * which a complete scan did not show. `lapsed` were not shown either and rest: nobody deleted them.
 * Where one scan more is needed, the next look is one. @throws AppError FENCED
 */
export async function markDoubted(
  database: Database,
  ref: PassRef,
  found: {
    readonly doubted: readonly ContextKey[];
    readonly missing: readonly ContextKey[];
    readonly lapsed: readonly ContextKey[];
    readonly scansNeeded: number;
  },
): Promise<{ gone: number; inDoubt: number }> {
  return withFence(database, ref, async (tx) => {
    if (found.doubted.length > 0) await tx.query(DOUBT, [ref.linkId, found.doubted]);
    if (found.lapsed.length > 0) await tx.query(LAPSE, [ref.linkId, found.lapsed]);
    if (found.missing.length === 0) return { gone: 0, inDoubt: 0 };
    const [counts] = await tx.query<{ gone: number; inDoubt: number }>(MISS, [
      ref.linkId,
      found.missing,
      found.scansNeeded,
    ]);
    return counts!;
  });
}

const HUB_BUCKETS = `
SELECT bucket FROM (${digests(`SELECT name, hash FROM (${LIVE_HUB}) c`)}) hub
FULL JOIN (${digests(AGREED_HUB)}) agreed USING (bucket)
WHERE (hub.items, hub.sum) IS DISTINCT FROM (agreed.items, agreed.sum)`;

const MARK_HUB = `
WITH differing AS (
  SELECT coalesce(i.name, c.name) AS key, c.kind FROM
    (SELECT * FROM ${marked(LIVE_HUB)} m WHERE bucket = ANY($3::int[])) c
    FULL JOIN (SELECT * FROM ${marked(`SELECT key AS name, base_hub_hash AS hash FROM sync_items WHERE ${OF_LINK}`)} m
      WHERE bucket = ANY($3::int[])) i ON i.name = c.name
  WHERE c.hash IS DISTINCT FROM i.hash
), known AS (
  UPDATE sync_items SET dirty = true, dirty_since = coalesce(dirty_since, now()),
    state = CASE WHEN state = 'tombstoned' THEN 'pending' ELSE state END
  FROM differing d
  WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND sync_items.key = d.key
    AND state IN ('synced', 'pending', 'tombstoned')
  RETURNING 1
), fresh AS (
  INSERT INTO sync_items (tenant_id, link_id, key, kind, state, remote_status, dirty, dirty_since)
  SELECT current_setting('app.tenant'), $1::uuid, key, kind, 'pending', 'unknown', true, now()
  FROM differing WHERE kind IS NOT NULL
  ON CONFLICT (tenant_id, link_id, key) DO NOTHING RETURNING 1
)
SELECT ((SELECT count(*) FROM known) + (SELECT count(*) FROM fresh))::int AS marked`;

const FORGET_LAPSED = `UPDATE sync_items SET missing_scans = 0 WHERE ${OF_LINK} AND missing_scans < 0`;

/**
 * Compares the hub with what was agreed on, bucket by bucket, and marks the items that differ to be
 * decided anew. Answers how many. @throws AppError FENCED
 */
export async function auditHub(database: Database, ref: PassRef): Promise<number> {
  return withFencedLink(database, ref, async (tx, { prefix }) => {
    // What had lapsed may be back as it was, which no digest would tell: the reading says it anew.
    await tx.query(FORGET_LAPSED, [ref.linkId]);
    const rows = await tx.query<{ bucket: number }>(HUB_BUCKETS, [ref.linkId, prefix]);
    if (rows.length === 0) return 0;
    const buckets = rows.map((row) => row.bucket);
    const [found] = await tx.query<{ marked: number }>(MARK_HUB, [ref.linkId, prefix, buckets]);
    return found!.marked;
  });
}

/** Until when an audit that proved nothing is tried again. */
const TRY_AGAIN = `interval '1 hour' * (0.75 + 0.5 * random())`;

// `unequal`: neither agreed on nor resting for a reason that is counted. A change of the hub that came
// after the link's cursor is under way, and not for this proof to judge.
const PROVE = `
WITH link AS (
  SELECT * FROM sync_links WHERE tenant_id = current_setting('app.tenant') AND id = $1
), judged AS (
  SELECT i.key, i.state,
    NOT i.dirty AND i.missing_scans = 0 AND i.base_hub_hash = c.hash
      AND NOT coalesce(c.expires_at <= now(), false) AND i.remote_hash = i.base_remote_hash AS equal,
    coalesce(c.expires_at <= now() OR c.delete_reason = 'ttl', false) OR i.missing_scans < 0 AS expired
  FROM sync_items i LEFT JOIN contexts c ON c.tenant_id = i.tenant_id AND c.key = i.key
  WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = $1
    AND i.state NOT IN ('tombstoned')
), sorted AS (
  SELECT CASE WHEN state IN ('conflict', 'quarantined', 'held', 'excluded') THEN state
    WHEN equal THEN 'items' WHEN expired THEN 'expired'
    WHEN (SELECT direction <> 'both' FROM link) THEN 'oneWay'
    WHEN EXISTS (SELECT 1 FROM changes h, link WHERE h.tenant_id = current_setting('app.tenant')
      AND h.key = judged.key AND h.origin IS DISTINCT FROM link.id
      AND (h.xid, h.seq) > (split_part(link.hub_cursor, '.', 1)::xid8, split_part(link.hub_cursor, '.', 2)::bigint))
      THEN 'underWay'
    ELSE 'unequal' END AS class
  FROM judged
), counted AS (
  SELECT count(*) FILTER (WHERE class = 'items') AS items,
    count(*) FILTER (WHERE class = 'conflict') AS conflicts,
    count(*) FILTER (WHERE class = 'quarantined') AS quarantined,
    count(*) FILTER (WHERE class = 'held') AS held,
    count(*) FILTER (WHERE class = 'excluded') AS excluded,
    count(*) FILTER (WHERE class = 'expired') AS expired,
    count(*) FILTER (WHERE class = 'oneWay') AS one_way,
    count(*) FILTER (WHERE class = 'underWay') AS under_way,
    count(*) FILTER (WHERE class = 'unequal') AS unequal
  FROM sorted
)
UPDATE sync_links SET
  last_proved_equal_at = CASE WHEN unequal = 0 THEN pass_began_at ELSE last_proved_equal_at END,
  audit_due_at = CASE WHEN unequal = 0 THEN audit_due_at ELSE least(audit_due_at, now() + ${TRY_AGAIN}) END,
  proof = json_build_object('at', to_char(pass_began_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'isEqual', unequal = 0, 'items', items, 'conflicts', conflicts, 'quarantined', quarantined,
    'held', held, 'excluded', excluded, 'expired', expired, 'oneWay', one_way,
    'underWay', under_way, 'unequal', unequal,
    'workerSkewMs', round($2::float8 - extract(epoch FROM clock_timestamp()) * 1000))
FROM counted
WHERE tenant_id = current_setting('app.tenant') AND id = $1
RETURNING proof`;

/**
 * Judges the link as an audit's complete reading left it, and records the result. `nowMs`: the
 * worker's clock, so that status can tell when it is off. @throws AppError FENCED
 */
export async function proveEqual(
  database: Database,
  ref: PassRef,
  nowMs: number,
): Promise<AuditProof> {
  const [row] = await withFence(database, ref, (tx) =>
    tx.query<{ proof: AuditProof }>(PROVE, [ref.linkId, nowMs]),
  );
  return row!.proof;
}
