/**
 * Observations: what each side has now, recorded on the item itself together with the cursor that
 * saw it, in one transaction. An item that differs from its base is `dirty` until a plan has
 * dealt with it, so a cursor may move on at once and still passes nothing unsettled (P13).
 */
import { AppError } from '../../domain/errors.ts';
import type { Hash } from '../../domain/hash.ts';
import type { ContextKey, RemoteId } from '../../domain/ids.ts';
import type { ItemKind } from '../../domain/item.ts';
import { MAX_REMOTE_ID_BYTES, storableJson } from '../../domain/storable.ts';
import { loadStored, saveBodies, saveStatements, type Body, type StoredBody } from '../blobs.ts';
import type { Database, OpenTransaction, Transaction } from '../database.ts';
import { FEED_HEAD, FEED_START, feedHead, positionOf } from '../feed.ts';
import type { Statement } from '../send-together.ts';
import { columnsOfLink, rowsOfLink, valuesByColumn, type BatchColumns } from './batch.ts';
import { commitFenced, withFence, withFencedLink, type PassRef } from './pass.ts';

/** Contexts a link looks at; `prefix`: the parameter that holds the link's, as `$1`. */
export const inScope = (prefix: string): string => `
tenant_id = current_setting('app.tenant') AND key >= ${prefix} COLLATE "C" AND starts_with(key, ${prefix})
  AND NOT deleted AND (expires_at IS NULL OR expires_at > now())`;

const FIRST_BASELINE = `
INSERT INTO sync_items (tenant_id, link_id, key, kind, state, remote_status, dirty, dirty_since)
SELECT tenant_id, $1, key, kind, 'pending', 'unknown', true, now() FROM contexts
WHERE ${inScope('$2')}
ON CONFLICT (tenant_id, link_id, key) DO UPDATE SET
  state = CASE WHEN sync_items.state IN ('excluded', 'tombstoned') THEN 'pending' ELSE sync_items.state END,
  dirty = true, dirty_since = coalesce(sync_items.dirty_since, now())
RETURNING 1`;

/** Fewer contexts are marked by one statement and named after. */
const MANY = 500;

const IS_LARGE_BASELINE = `
SELECT EXISTS (SELECT 1 FROM contexts WHERE ${inScope('$1')} OFFSET ${MANY - 1})
  AND NOT EXISTS (SELECT 1 FROM sync_items
    WHERE tenant_id = current_setting('app.tenant') AND link_id = $2) AS "isLarge"`;

// Head and page are of one snapshot: nothing can lie between them, so the cursor may rest at the head.
const FEED_PAGE = `
WITH page AS (
  SELECT xid, seq, key, origin FROM changes
  WHERE tenant_id = current_setting('app.tenant') AND (xid, seq) > ($3::xid8, $4::bigint)
    AND xid < feed_position(pg_snapshot_xmin(pg_current_snapshot())) AND starts_with(key, $2)
  ORDER BY xid, seq LIMIT $5
), touched AS (
  INSERT INTO sync_items (tenant_id, link_id, key, kind, state, remote_status, dirty, dirty_since)
  SELECT DISTINCT c.tenant_id, $1::uuid, c.key, c.kind, 'pending', 'unknown', true, now()
  FROM page JOIN contexts c ON c.tenant_id = current_setting('app.tenant') AND c.key = page.key
  WHERE page.origin IS DISTINCT FROM $1::uuid
  ON CONFLICT (tenant_id, link_id, key) DO UPDATE SET
    state = CASE WHEN sync_items.state IN ('tombstoned', 'excluded') THEN 'pending' ELSE sync_items.state END,
    dirty = true, retry_at = NULL, dirty_since = coalesce(sync_items.dirty_since, now())
  RETURNING remote_id
), answer AS MATERIALIZED (
SELECT (SELECT count(*)::int FROM page) AS seen, (SELECT count(*)::int FROM touched) AS touched,
  (SELECT count(*)::int FROM page WHERE origin = $1::uuid) AS echo,
  EXISTS (SELECT 1 FROM changes WHERE tenant_id = current_setting('app.tenant')
    AND xid >= feed_position(pg_snapshot_xmin(pg_current_snapshot())) AND starts_with(key, $2)
    AND origin IS DISTINCT FROM $1::uuid) AS "heldBack",
  (SELECT xid || '.' || seq FROM page ORDER BY xid DESC, seq DESC LIMIT 1) AS last,
  (${FEED_HEAD}) AS head,
  (SELECT (xid, seq) > ($3::xid8, $4::bigint) FROM feed_horizons
    WHERE tenant_id = current_setting('app.tenant')) AS "isExpired",
  (SELECT count(*) FROM touched WHERE remote_id IS NULL) > 0
    OR EXISTS (SELECT 1 FROM sync_items WHERE tenant_id = current_setting('app.tenant') AND link_id = $1
      AND dirty AND remote_id IS NULL)
    OR EXISTS (SELECT 1 FROM sync_items WHERE tenant_id = current_setting('app.tenant') AND link_id = $1
      AND retry_at <= now() AND remote_id IS NULL) AS "hasNameless"
), moved AS (
  UPDATE sync_links SET hub_cursor = reached.cursor FROM answer, LATERAL (
    SELECT at AS cursor FROM unnest(ARRAY[last, CASE WHEN seen < $5 THEN head END]) AS at
    ORDER BY split_part(at, '.', 1)::xid8 DESC NULLS LAST, split_part(at, '.', 2)::bigint DESC
    LIMIT 1) reached
  WHERE tenant_id = current_setting('app.tenant') AND id = $1 AND "isExpired" IS NOT TRUE
    AND (split_part(reached.cursor, '.', 1)::xid8, split_part(reached.cursor, '.', 2)::bigint)
      > ($3::xid8, $4::bigint)
)
SELECT * FROM answer`;

/**
 * Marks what changed on the hub since the link last looked, `limit` changes at a time. The link's
 * own writes are echoes: their base was recorded in the same transaction. `heldBack`: a committed
 * change waits for an older transaction to end (P14), so looking again soon will show more.
 * @throws AppError FENCED, CURSOR_EXPIRED
 */
export async function observeHub(
  database: Database,
  ref: PassRef,
  limit: number,
): Promise<HubObservation> {
  const { isExpired, ...seen } = await lookAtHub(database, ref, limit);
  // Collected since the pass began; the next one opens an epoch (see beginPass).
  if (isExpired) throw new AppError('CURSOR_EXPIRED', 'the link slept beyond the horizon');
  return seen;
}

async function lookAtHub(
  database: Database,
  ref: PassRef,
  limit: number,
): Promise<HubObservation & { readonly isExpired?: boolean | null }> {
  return withFencedLink(database, ref, async (tx, { prefix, hub_cursor: since }) => {
    if (since === null) {
      // The head is read before the items: what commits in between is seen again, never skipped.
      const head = await feedHead(tx);
      const large = await tx.query<{ isLarge: boolean }>(IS_LARGE_BASELINE, [prefix, ref.linkId]);
      if (large[0]!.isLarge) {
        const nothing = { changed: 0, echo: 0, hasMore: false, heldBack: false };
        return { ...nothing, hasNameless: false, baselineTo: head };
      }
      const { length: changed } = await tx.query(FIRST_BASELINE, [ref.linkId, prefix]);
      await tx.query(MOVE_HUB_CURSOR, [ref.linkId, head || FEED_START]);
      return { changed, echo: 0, hasMore: false, heldBack: false, hasNameless: changed > 0 };
    }
    const values = [ref.linkId, prefix, ...positionOf(since), limit];
    const [rows] = await tx.commitWith([{ sql: FEED_PAGE, values }]);
    const { seen, touched: changed, ...page } = rows![0] as unknown as FeedPage;
    const { echo, heldBack, hasNameless, isExpired } = page;
    return { changed, echo, hasMore: seen === limit, heldBack, hasNameless, isExpired };
  });
}

interface FeedPage {
  seen: number;
  touched: number;
  echo: number;
  heldBack: boolean;
  hasNameless: boolean;
  isExpired: boolean | null;
}

export interface HubObservation {
  readonly changed: number;
  readonly echo: number;
  readonly hasMore: boolean;
  readonly heldBack: boolean;
  /** Whether any item to be decided has no name on the remote yet. */
  readonly hasNameless: boolean;
  /** Nothing was marked, because there is so much: see {@link ./first-baseline.ts}; the cursor to end at. */
  readonly baselineTo?: string;
}

/** Moves a link's ($1) cursor in the hub's feed to $2. */
export const MOVE_HUB_CURSOR = `
UPDATE sync_links SET hub_cursor = $2 WHERE tenant_id = current_setting('app.tenant') AND id = $1`;

/** A hub item that has no name on the remote yet. */
export interface NamelessItem {
  readonly key: ContextKey;
  /** Null: the context was deleted before the remote ever heard of it. */
  readonly kind: string | null;
  readonly isEncrypted: boolean;
  /** Null: gone, or sealed. */
  readonly body: StoredBody | null;
}

const SELECT_NAMELESS = `
SELECT i.key, c.kind, coalesce(c.encrypted, false) AS "isEncrypted", encode(c.hash, 'hex') AS hash FROM (
  (SELECT tenant_id, key FROM sync_items
   WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND key > $2 COLLATE "C"
     AND dirty AND remote_id IS NULL ORDER BY key LIMIT $3)
  UNION ALL
  (SELECT tenant_id, key FROM (
     SELECT tenant_id, key, dirty, remote_id FROM sync_items
     WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND retry_at <= now()
     ORDER BY retry_at OFFSET 0) due
   WHERE key > $2 COLLATE "C" AND NOT dirty AND remote_id IS NULL ORDER BY key LIMIT $3)
) i
LEFT JOIN contexts c ON c.tenant_id = i.tenant_id AND c.key = i.key AND NOT c.deleted
ORDER BY i.key LIMIT $3`;

/** Dirty hub items the remote has no name for yet, in key order, with their bodies. */
export async function namelessItems(
  database: Database,
  ref: PassRef,
  page: { after: string; limit: number },
): Promise<NamelessItem[]> {
  return withFence(database, ref, async (tx) => {
    const rows = await tx.query<Omit<NamelessItem, 'body'> & { hash: Hash | null }>(
      SELECT_NAMELESS,
      [ref.linkId, page.after, page.limit],
    );
    const bodies = await loadStored(
      tx,
      rows.map((row) => row.hash).filter((hash) => hash !== null),
    );
    return rows.map(({ hash, ...item }) => ({
      ...item,
      body: (hash && bodies.get(hash)) ?? null,
    }));
  });
}

/** What was decided about a nameless item. */
export type Naming =
  | {
      readonly key: ContextKey;
      readonly status: 'named';
      readonly kind: ItemKind;
      readonly remoteId: RemoteId;
    }
  | { readonly key: ContextKey; readonly status: 'excluded' | 'gone' }
  | {
      readonly key: ContextKey;
      readonly status: 'quarantined';
      readonly fault: { readonly code: string; readonly detail: string };
    };

/** An item and its name on the remote. */
export const NAME_COLUMNS = {
  key: 'text',
  kind: 'text',
  remote_id: 'text',
} as const satisfies BatchColumns;

// Of several items that claim one name the first keeps it; a name already given is never taken away.
const SET_NAMES = `
WITH named AS (
  SELECT DISTINCT ON (remote_id) link_id, key, kind, remote_id
  FROM ${columnsOfLink(2, NAME_COLUMNS)} n
  WHERE NOT EXISTS (SELECT 1 FROM sync_items o WHERE o.tenant_id = current_setting('app.tenant')
    AND o.link_id = n.link_id AND o.remote_id = n.remote_id)
  ORDER BY remote_id, key
)
UPDATE sync_items i SET remote_id = n.remote_id, kind = n.kind, dirty = true FROM named n
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = n.link_id AND i.key = n.key
RETURNING i.key`;

// A remote row that was mapped to another key but holds no hub context gives its name to the context.
const FREE_NAMES = `
DELETE FROM sync_items i USING ${columnsOfLink(2, NAME_COLUMNS)} n
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = n.link_id AND i.remote_id = n.remote_id
  AND i.key <> n.key AND i.base_hub_hash IS NULL
  AND NOT EXISTS (SELECT 1 FROM contexts c WHERE c.tenant_id = i.tenant_id AND c.key = i.key AND NOT c.deleted)
RETURNING n.key AS key, i.remote_status, encode(i.remote_hash, 'hex') AS remote_hash, i.remote_version`;

/**
 * Gives new hub items their remote names; a name that is taken quarantines the newcomer. Answers how
 * many were set aside.
 */
export async function nameItems(
  database: Database,
  ref: PassRef,
  namings: readonly Naming[],
): Promise<number> {
  return withFence(database, ref, (tx) => nameInTransaction(tx, ref, namings));
}

/** The same in a transaction that has the fence. */
export async function nameInTransaction(
  tx: Transaction,
  ref: PassRef,
  namings: readonly Naming[],
): Promise<number> {
  const named = namings.flatMap((n) =>
    n.status === 'named' ? [{ key: n.key, kind: n.kind, remote_id: n.remoteId }] : [],
  );
  const records = [ref.linkId, ...valuesByColumn(NAME_COLUMNS, named)];
  const freed = await tx.query<FreedRow>(FREE_NAMES, records);
  const rows = await tx.query<{ key: string }>(SET_NAMES, records);
  await adoptFreed(tx, ref, freed);
  const got = new Set(rows.map((row) => row.key));
  const taken = named
    .filter((n) => !got.has(n.key))
    .map((n) => ({
      key: n.key,
      fault: {
        code: 'ITEM_NAME_TAKEN',
        detail: `another item is called ${JSON.stringify(n.remote_id)}`,
      },
    }));
  const faulty = namings.flatMap((n) =>
    n.status === 'quarantined' ? [{ key: n.key, fault: n.fault }] : [],
  );
  const unfit = [...taken, ...faulty];
  if (unfit.length > 0) await tx.query(QUARANTINE, [ref.linkId, storableJson(unfit)]);
  for (const [status, state] of [
    ['excluded', 'excluded'],
    ['gone', 'tombstoned'],
  ] as const) {
    const keys = namings.flatMap((n) => (n.status === status ? [n.key] : []));
    if (keys.length > 0) await tx.query(SET_ASIDE, [ref.linkId, keys, state]);
  }
  return unfit.length;
}

interface FreedRow {
  key: string;
  remote_status: string;
  remote_hash: Hash | null;
  remote_version: string | null;
}

async function adoptFreed(
  tx: Transaction,
  ref: PassRef,
  freed: readonly FreedRow[],
): Promise<void> {
  if (freed.length === 0) return;
  await tx.query(
    `UPDATE sync_items i SET remote_status = f.remote_status, remote_hash = decode(f.remote_hash, 'hex'),
       remote_version = f.remote_version
     FROM ${rowsOfLink(2, 'key text, remote_status text, remote_hash text, remote_version text')} f
     WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = f.link_id AND i.key = f.key`,
    [ref.linkId, JSON.stringify(freed)],
  );
}

/**
 * Sets items aside until their side changes or the back-off is over: 30 s doubling to an hour, up to
 * a fifth less, so that items set aside together do not come back together.
 */
export const QUARANTINE = `
UPDATE sync_items i SET state = 'quarantined', dirty = false, fault = q.fault, attempts = i.attempts + 1,
  dirty_since = NULL,
  retry_at = now() + least(30 * power(2, least(i.attempts, 10)), 3600)
    * (0.8 + 0.2 * random()) * interval '1 second'
FROM ${rowsOfLink(2, 'key text, fault json')} q
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = q.link_id AND i.key = q.key`;

const SET_ASIDE = `
UPDATE sync_items SET state = $3, dirty = false, dirty_since = NULL, retry_at = NULL
WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND key = ANY($2)`;

/** What is recorded of an item's remote side. */
export interface KnownRemote {
  readonly key: ContextKey;
  readonly status: 'unknown' | 'present' | 'absent' | 'faulty';
  readonly version: string | null;
  readonly hash: Hash | null;
}

// One look-up per id, whatever the planner thinks of the table (see batch.ts).
const KNOWN_REMOTES = `
SELECT i.* FROM unnest($2::text[]) AS w (remote_id)
CROSS JOIN LATERAL (
  SELECT remote_id, key, remote_status AS status, remote_version AS version,
    encode(remote_hash, 'hex') AS hash FROM sync_items
  WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND remote_id = w.remote_id OFFSET 0) i`;

/** The recorded remote side of the items with these ids. */
export async function knownRemotes(
  database: Database,
  ref: PassRef,
  remoteIds: readonly RemoteId[],
): Promise<Map<RemoteId, KnownRemote>> {
  const [rows] = await database.withTenant(ref.tenant, (tx) =>
    tx.commitWith([{ sql: KNOWN_REMOTES, values: [ref.linkId, remoteIds] }]),
  );
  return new Map(
    (rows as unknown as KnownRow[]).map(({ remote_id, ...known }) => [remote_id, known]),
  );
}

type KnownRow = KnownRemote & { readonly remote_id: RemoteId };

/** One observation of the remote that differs from what is recorded. */
export interface Sighting {
  readonly remoteId: RemoteId;
  /** Whether an item with this id is recorded ({@link knownRemotes}). */
  readonly isKnown: boolean;
  /** Key the item gets if it is new. */
  readonly key: ContextKey;
  /** Used when `key` belongs to an item of another name. */
  readonly spareKey: ContextKey;
  readonly kind: ItemKind;
  readonly status: 'present' | 'absent' | 'faulty';
  readonly version: string | null;
  readonly body: Body | null;
  readonly changedAtMs: number | null;
  readonly fault: { readonly code: string; readonly detail: string } | null;
}

const SEEN_COLUMNS = {
  remote_id: 'text',
  key: 'text',
  spare_key: 'text',
  kind: 'text',
  status: 'text',
  version: 'text',
  hash: 'text',
  changed_at_ms: 'float8',
  fault: 'json',
} as const satisfies BatchColumns;

const updateSeen = (match: string): string => `
UPDATE sync_items i SET remote_id = s.remote_id, remote_status = s.status, remote_version = s.version,
  kind = CASE WHEN s.status = 'present' THEN s.kind ELSE i.kind END,
  remote_hash = decode(s.hash, 'hex'), remote_changed_at = to_timestamp(s.changed_at_ms / 1000.0),
  missing_scans = 0, fault = s.fault, retry_at = NULL,
  dirty = s.fault IS NULL,
  dirty_since = CASE WHEN s.fault IS NULL THEN coalesce(i.dirty_since, now()) END,
  state = CASE WHEN s.fault IS NOT NULL THEN 'quarantined'
               WHEN i.state IN ('tombstoned', 'excluded', 'quarantined') THEN 'pending' ELSE i.state END
FROM ${columnsOfLink(2, SEEN_COLUMNS)} s
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = s.link_id AND ${match}
RETURNING i.remote_id`;

const UPDATE_BY_ID = updateSeen('i.remote_id = s.remote_id');

// An id nobody has recorded: a hub item the remote was never asked about, met under the id the
// remote gave it; an item the remote had under another id, which is gone; else an item of its own.
const INSERT_SEEN = `
WITH met AS (${updateSeen(`i.key = s.key AND (i.remote_status IN ('unknown', 'absent') OR i.remote_id IS NULL)`)}), added AS (
INSERT INTO sync_items (tenant_id, link_id, key, remote_id, kind, state, remote_status, remote_version,
  remote_hash, remote_changed_at, fault, dirty, dirty_since)
SELECT current_setting('app.tenant'), s.link_id,
  CASE WHEN o.key IS NULL THEN s.key ELSE s.spare_key END, s.remote_id, s.kind,
  CASE WHEN s.fault IS NULL THEN 'pending' ELSE 'quarantined' END, s.status, s.version,
  decode(s.hash, 'hex'), to_timestamp(s.changed_at_ms / 1000.0), s.fault, s.fault IS NULL,
  CASE WHEN s.fault IS NULL THEN now() END
FROM ${columnsOfLink(2, SEEN_COLUMNS)} s
LEFT JOIN sync_items o ON o.tenant_id = current_setting('app.tenant') AND o.link_id = s.link_id AND o.key = s.key
WHERE s.status <> 'absent' AND NOT EXISTS (SELECT 1 FROM met WHERE met.remote_id = s.remote_id)
ON CONFLICT (tenant_id, link_id, key) DO NOTHING
RETURNING remote_id
)
SELECT remote_id FROM met UNION ALL SELECT remote_id FROM added`;

/** Records sightings: bodies kept, items marked, new ones mapped to their keys. */
export async function recordSightings(
  database: Database,
  ref: PassRef,
  sightings: readonly Sighting[],
): Promise<void> {
  if (sightings.length === 0) return;
  await withFence(database, ref, (tx) => keepSightings(tx, ref, sightings));
}

async function keepSightings(
  tx: OpenTransaction,
  ref: PassRef,
  sightings: readonly Sighting[],
): Promise<void> {
  const known = keepKnown(ref, sightings);
  if (known.length > 0) await tx.queryAll(known);
  const fresh = sightings.filter((s) => !s.isKnown);
  if (fresh.length === 0) return;
  await saveBodies(tx, bodiesOf(fresh));
  const records = fresh.map(seenRecord);
  const added = await tx.query<{ remote_id: RemoteId }>(INSERT_SEEN, seenColumns(ref, records));
  // Two of one page (or of two that are recorded at once) that claim one key: the statement could not
  // see the one that was first, and the other takes its spare key now.
  const got = new Set(added.map((row) => row.remote_id));
  const left = records.filter((record) => record.status !== 'absent' && !got.has(record.remote_id));
  if (left.length > 0) await tx.query(INSERT_SEEN, seenColumns(ref, left));
}

/** The statements that record what was seen of known items; what they do cannot be done halfway. */
function keepKnown(ref: PassRef, sightings: readonly Sighting[]): Statement[] {
  const known = sightings.filter((s) => s.isKnown);
  if (known.length === 0) return [];
  const update = { sql: UPDATE_BY_ID, values: seenColumns(ref, known.map(seenRecord)) };
  return [...saveStatements(bodiesOf(known)), update];
}

function bodiesOf(sightings: readonly Sighting[]): Body[] {
  return sightings.flatMap((s) => (s.body ? [s.body] : []));
}

function seenColumns(ref: PassRef, records: readonly SeenRecord[]): unknown[] {
  return [ref.linkId, ...valuesByColumn(SEEN_COLUMNS, records)];
}

type SeenRecord = ReturnType<typeof seenRecord>;

function seenRecord(s: Sighting) {
  return {
    remote_id: s.remoteId,
    key: s.key,
    spare_key: s.spareKey,
    kind: s.kind,
    status: s.status,
    version: s.version,
    hash: s.body?.hash ?? null,
    changed_at_ms: s.changedAtMs,
    fault: s.fault && storableJson(s.fault),
  };
}

const DOUBT_CURSOR = `
UPDATE sync_links SET cursor_doubted = true
WHERE tenant_id = current_setting('app.tenant') AND id = $1 AND NOT cursor_doubted`;

/** Before something is recorded that no cursor is to vouch for. @throws AppError FENCED */
export async function doubtCursor(database: Database, ref: PassRef): Promise<void> {
  await commitFenced(database, ref, { sql: DOUBT_CURSOR, values: [ref.linkId] });
}

const SCANS_MISSED = 'greatest(missing_scans, 0) + 1';

/** One complete scan more did not show the item; after $3 in a row it counts as absent. */
export const MISSED_ONCE_MORE = `missing_scans = ${SCANS_MISSED},
  remote_status = CASE WHEN ${SCANS_MISSED} >= $3 THEN 'absent' ELSE remote_status END,
  remote_hash = CASE WHEN ${SCANS_MISSED} >= $3 THEN NULL ELSE remote_hash END,
  remote_version = CASE WHEN ${SCANS_MISSED} >= $3 THEN NULL ELSE remote_version END,
  dirty = dirty OR ${SCANS_MISSED} >= $3,
  state = CASE WHEN state = 'quarantined' AND ${SCANS_MISSED} >= $3 THEN 'pending' ELSE state END,
  dirty_since = CASE WHEN ${SCANS_MISSED} >= $3 THEN coalesce(dirty_since, now()) ELSE dirty_since END`;

// What was seen has missed no scan; what was not seen has missed one more. A difference of sets costs
// the same whatever the planner thinks; `NOT IN` over 300,000 ids took more than half a minute.
// An id of before ids had a longest length is shown under a stand-in: its absence proves nothing.
const SELECT_MISSING = `
SELECT remote_id FROM sync_items
WHERE tenant_id = current_setting('app.tenant') AND link_id = $1
  AND remote_status IN ('present', 'faulty') AND octet_length(remote_id) <= ${MAX_REMOTE_ID_BYTES}
EXCEPT SELECT unnest($2::text[]) COLLATE "C"`;

const MARK_MISSING = `
WITH missing AS MATERIALIZED (${SELECT_MISSING})
UPDATE sync_items i SET ${MISSED_ONCE_MORE} FROM missing m
WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = $1 AND i.remote_id = m.remote_id
  AND i.remote_status IN ('present', 'faulty')
RETURNING remote_status`;

/** Whether any item is recorded to be on the remote, so that a complete scan could miss it. */
export async function hasRemoteItems(database: Database, ref: PassRef): Promise<boolean> {
  const [row] = await database.withTenant(ref.tenant, (tx) =>
    tx.query<{ found: boolean }>(
      `SELECT EXISTS (SELECT 1 FROM sync_items WHERE tenant_id = current_setting('app.tenant')
         AND link_id = $1 AND remote_status IN ('present', 'faulty')) AS found`,
      [ref.linkId],
    ),
  );
  return row!.found;
}

/** The items recorded on the remote that are not among those a complete scan showed. */
export async function missingIds(
  database: Database,
  ref: PassRef,
  seenIds: readonly RemoteId[],
): Promise<RemoteId[]> {
  const rows = await database.withTenant(ref.tenant, (tx) =>
    tx.query<{ remote_id: RemoteId }>(SELECT_MISSING, [ref.linkId, seenIds]),
  );
  return rows.map((row) => row.remote_id);
}

/** Not shown, and nobody deleted it: it rests as it was last seen. */
export const LAPSED = 'missing_scans = -1';

const MARK_LAPSED = `
UPDATE sync_items SET ${LAPSED}
WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND remote_id = ANY($2)
  AND remote_status IN ('present', 'faulty')`;

// A scan shows a new id before it can tell that the old one is gone: the newcomer had to take the
// spare key, and gives what was seen of it back to the item it is.
const REUNITE = `
WITH pairs AS (
  SELECT o.key AS key, n.key AS spare_key FROM sync_items n JOIN sync_items o
    ON o.tenant_id = n.tenant_id AND o.link_id = n.link_id AND o.key = left(n.key, -9)
  WHERE n.tenant_id = current_setting('app.tenant') AND n.link_id = $1 AND n.dirty
    AND n.key ~ '~[0-9a-f]{8}$' AND n.remote_status = 'present' AND n.base_hub_hash IS NULL
    AND o.dirty AND o.remote_status = 'absent'
    AND NOT EXISTS (SELECT 1 FROM contexts c
      WHERE c.tenant_id = n.tenant_id AND c.key = n.key AND NOT c.deleted)
), spare AS (
  DELETE FROM sync_items n USING pairs p
  WHERE n.tenant_id = current_setting('app.tenant') AND n.link_id = $1 AND n.key = p.spare_key
  RETURNING p.key, n.remote_id, n.remote_hash, n.remote_version, n.remote_changed_at
)
UPDATE sync_items o SET remote_id = s.remote_id, remote_status = 'present', missing_scans = 0,
  remote_hash = s.remote_hash, remote_version = s.remote_version, remote_changed_at = s.remote_changed_at
FROM spare s WHERE o.tenant_id = current_setting('app.tenant') AND o.link_id = $1 AND o.key = s.key
RETURNING o.key`;

// One statement, two updates of rows apart. Whether there is work is read as it was before them,
// which is the same: none of them makes an item dirty. It is read in index order: after a first sync
// the statistics still speak of a link full of dirty items, and the planner would read all of it to
// find none.
const COMPLETE = `
WITH dirty AS MATERIALIZED (
  SELECT 1 FROM sync_items WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND dirty
  ORDER BY key LIMIT 1
), due AS MATERIALIZED (
  SELECT 1 FROM sync_items WHERE tenant_id = current_setting('app.tenant') AND link_id = $1
    AND retry_at <= now() ORDER BY retry_at LIMIT 1
), back AS MATERIALIZED (
  SELECT remote_id FROM sync_items
  WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND missing_scans <> 0
    AND remote_status <> 'unknown' AND cardinality($2::text[]) > 0
  INTERSECT SELECT unnest($2::text[]) COLLATE "C"
), shown AS (
  UPDATE sync_items i SET missing_scans = 0 FROM back
  WHERE i.tenant_id = current_setting('app.tenant') AND i.link_id = $1 AND i.remote_id = back.remote_id
), cursor AS (
  UPDATE sync_links SET remote_cursor = CASE WHEN $4 THEN $3 ELSE remote_cursor END, cursor_doubted = NOT $4,
    look_whole = look_whole AND NOT $4
  WHERE tenant_id = current_setting('app.tenant') AND id = $1
    AND (cursor_doubted = $4 OR $4 AND (look_whole OR remote_cursor IS DISTINCT FROM $3))
)
SELECT EXISTS (SELECT 1 FROM dirty) OR EXISTS (SELECT 1 FROM due) AS "hasWork"`;

/** How a complete observation ended. */
export interface ObservationEnd {
  /** What its last page showed. */
  readonly sightings: readonly Sighting[];
  readonly cursor: string | null;
  /** Every id a scan showed; null when only changes were listed, or nothing was there to miss. */
  readonly seenIds: readonly RemoteId[] | null;
  /** Those a scan did not show though nobody deleted them; they have missed nothing. */
  readonly lapsedIds?: readonly RemoteId[];
  readonly scansNeeded: number;
}

/**
 * Closes a complete observation. With a scan, items not among `seenIds` have missed it; they count
 * as absent after `scansNeeded` scans in a row. The cursor is kept only when nothing is in doubt;
 * else the one before is doubted, since what is known has moved on from it.
 * `hasWork`: whether any item is left for the plan.
 */
export async function completeObservation(
  database: Database,
  ref: PassRef,
  end: ObservationEnd,
): Promise<{ inDoubt: number; gone: number; hasWork: boolean }> {
  return withFence(database, ref, async (tx) => {
    const complete = (isSure: boolean): Statement => {
      return { sql: COMPLETE, values: [ref.linkId, end.seenIds ?? [], end.cursor, isSure] };
    };
    if (end.seenIds === null && end.sightings.every((s) => s.isKnown)) {
      const answers = await tx.commitWith([...keepKnown(ref, end.sightings), complete(true)]);
      return { inDoubt: 0, gone: 0, hasWork: answers.at(-1)![0]!['hasWork'] as boolean };
    }
    await keepSightings(tx, ref, end.sightings);
    const { inDoubt, gone } = await markMissing(tx, ref, end);
    const [found] = await tx.commitWith([complete(inDoubt === 0)]);
    return { inDoubt, gone, hasWork: found![0]!['hasWork'] as boolean };
  });
}

async function markMissing(
  tx: Transaction,
  ref: PassRef,
  { seenIds, lapsedIds: lapsed = [], scansNeeded }: ObservationEnd,
): Promise<{ inDoubt: number; gone: number }> {
  const missing = seenIds
    ? await tx.query<{ remote_status: string }>(MARK_MISSING, [
        ref.linkId,
        [...seenIds, ...lapsed],
        scansNeeded,
      ])
    : [];
  if (lapsed.length > 0) await tx.query(MARK_LAPSED, [ref.linkId, lapsed]);
  const gone = missing.filter((row) => row.remote_status === 'absent').length;
  if (gone > 0) await tx.query(REUNITE, [ref.linkId]);
  return { inDoubt: missing.length - gone, gone };
}
