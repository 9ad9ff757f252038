/**
 * The life of one pass over a link: begun under a new fence, recorded once it has something to do,
 * finished with its counts. A pass whose fence was taken over can settle nothing any more.
 */
import { AppError, MAX_RETRY_AFTER_MS } from '../../domain/errors.ts';
import type { LinkId, RunId, TenantId } from '../../domain/ids.ts';
import type {
  GuardTrip,
  Link,
  PassMode,
  RunCounters,
  RunMode,
  RunStatus,
} from '../../domain/link.ts';
import { storableJson } from '../../domain/storable.ts';
import { sqlStateOf, type Database, type OpenTransaction, type Transaction } from '../database.ts';
import type { Statement } from '../send-together.ts';
import { JITTERED_INTERVAL, NEXT_WHOLE } from '../due-links.ts';
import { IS_BEHIND } from '../feed.ts';
import { linkOf, openEpoch, type LinkRow } from '../link-store.ts';

/** Names a pass in every call of the engine; small enough to travel through a workflow. */
export interface PassRef {
  readonly tenant: TenantId;
  readonly linkId: LinkId;
  readonly runId: RunId;
  readonly fence: string;
}

export interface PassStart {
  readonly ref: PassRef;
  readonly link: Link;
  readonly trigger: string;
  readonly mode: PassMode;
  /** Cursor of the remote's last complete observation. */
  readonly remoteCursor: string | null;
  /** What is known of the remote has moved on since the cursor was given. */
  readonly isCursorDoubted: boolean;
  /** The remote is to be read whole, whatever the cursor says. */
  readonly mustLookWhole: boolean;
  /** Whether somebody asked for this run, so that it is recorded even if nothing was to do. */
  readonly isRequested: boolean;
  /** Whether another run that was asked for waits for its turn. */
  readonly othersWait: boolean;
  /** Whether a pass that broke off left intents whose outcome nobody recorded. */
  readonly hasOpenIntents: boolean;
}

export type BeginResult =
  | { readonly status: 'begun'; readonly pass: PassStart }
  /**
   * Nothing may run now: the link is gone, paused, waits for an operator, rests because its remote
   * asked for it, or runs only when asked (a run that somebody asks for begins all the same).
   */
  | {
      readonly status: 'refused';
      readonly why: 'gone' | 'paused' | 'parked' | 'resting' | 'manual';
    };

export interface PassEnd {
  readonly status: Exclude<RunStatus, 'running'>;
  readonly mode: PassMode;
  readonly trigger: string;
  readonly counters: RunCounters;
  readonly phases: Readonly<Record<string, number>>;
  readonly guard: GuardTrip | null;
  /** `retryAfterMs`: how long the remote asked to be left alone. */
  readonly error: {
    readonly code: string;
    readonly detail: string;
    readonly retryAfterMs?: number;
  } | null;
  /** Whether the pass is worth a row in the run list. */
  readonly isNotable: boolean;
}

const LOCK_LINK = `
SELECT id, state, trigger, connector, connector_version, prefix, rests_until > now() AS "isResting",
  ${IS_BEHIND} AS "isBehind"
FROM sync_links WHERE tenant_id = current_setting('app.tenant') AND id = $1 FOR UPDATE`;

// Read once the link is locked: a zombie of the pass before has then settled or lost its fence.
// What somebody wants to see or to have done while the link rests is not refused.
const SELECT_UNFINISHED = `
SELECT run.*, EXISTS (SELECT 1 FROM sync_ops WHERE tenant_id = current_setting('app.tenant')
  AND link_id = $1 AND state = 'intended') AS "hasOpenIntents"
FROM (VALUES (1)) AS always
LEFT JOIN LATERAL (
  SELECT id, trigger, begun, mode, approved_at IS NOT NULL AS "isApproved", count(*) OVER () > 1 AS "othersWait"
  FROM sync_runs
  WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND status = 'running'
    AND (mode IN ('plan', 'undo') OR approved_at IS NOT NULL OR NOT EXISTS (
      SELECT 1 FROM sync_links WHERE tenant_id = current_setting('app.tenant') AND id = $1
        AND state = 'paused'))
  ORDER BY begun DESC, started_at LIMIT 1) AS run ON true`;

/** What a pass before left behind; every column of the run is null when there is none. */
interface Unfinished {
  readonly id: RunId | null;
  readonly trigger: string | null;
  readonly begun: boolean | null;
  readonly mode: RunMode | null;
  readonly othersWait: boolean | null;
  readonly isApproved: boolean | null;
  readonly hasOpenIntents: boolean;
}

// Passes that take longer than the lease are few and large; the worst that comes of it is a wake more.
// A dry run and an undo ($2) leave the link's state, guard and times alone.
const TAKE_FENCE = `
UPDATE sync_links SET fence = fence + 1, pass_began_at = now(),
  live_until = now() + interval '1 minute', rests_until = CASE WHEN $2 THEN rests_until END,
  next_due_at = CASE WHEN $2 THEN next_due_at ELSE now() + ${JITTERED_INTERVAL} END,
  state = CASE WHEN state = 'parked' AND NOT $2 THEN 'active' ELSE state END,
  guard = CASE WHEN $2 THEN guard END, connector_version = coalesce($3, connector_version)
WHERE tenant_id = current_setting('app.tenant') AND id = $1 RETURNING *`;

/** Begins a pass, or takes up one that a crash left unfinished. */
export async function beginPass(
  database: Database,
  {
    tenant,
    linkId,
    trigger,
    newRunId,
    follows = false,
    connectorVersion = () => null,
  }: {
    tenant: TenantId;
    linkId: LinkId;
    trigger: string;
    newRunId: RunId;
    /** Whether it only goes on with what the pass before has left: nobody needs to ask for that. */
    follows?: boolean | undefined;
    /** Version of a connector's mapping; null: not known here. */
    connectorVersion?: (connector: string) => number | null;
  },
): Promise<BeginResult> {
  return database.withTenant<BeginResult>(tenant, async (tx) => {
    const [links, runs] = await tx.queryAll([
      { sql: LOCK_LINK, values: [linkId] },
      { sql: SELECT_UNFINISHED, values: [linkId] },
    ]);
    const [link, run] = [links![0] as Lock | undefined, runs![0] as Unfinished | undefined];
    if (!link) return { status: 'refused', why: 'gone' };
    if (link.state === 'paused' && !run?.id) return { status: 'refused', why: 'paused' };
    // A parked link looks again only when somebody asks for it.
    if (link.state === 'parked' && !run?.id) return { status: 'refused', why: 'parked' };
    // Hints and hub writes wait, or a busy remote would be asked all the sooner for being busy.
    if (link.isResting && !run?.id) return { status: 'refused', why: 'resting' };
    if (link.trigger === 'manual' && !run?.id && !follows)
      return { status: 'refused', why: 'manual' };
    const version = connectorVersion(link.connector);
    const wasVersion = link.connector_version;
    // What it has not seen is no longer kept: it cannot tell what was deleted, so it deletes nothing.
    if (link.isBehind) await openEpoch(tx, link);
    // Another version may map items to other keys or bodies: what was agreed on means nothing now.
    else if (version !== null && wasVersion !== null && version !== wasVersion)
      await openEpoch(tx, link);
    const mode: PassMode = run?.isApproved ? 'approved' : (run?.mode ?? 'look');
    if (run?.id) await takeUpRun(tx, run);
    const taking = { sql: TAKE_FENCE, values: [linkId, isAside(mode), version] };
    const [rows] = await tx.commitWith([taking]);
    const fenced = rows![0] as unknown as LinkRow;
    const ref = { tenant, linkId, runId: run?.id ?? newRunId, fence: fenced.fence };
    return {
      status: 'begun',
      pass: {
        ref,
        link: linkOf(fenced),
        trigger: run?.trigger ?? trigger,
        mode,
        remoteCursor: fenced.remote_cursor,
        isCursorDoubted: fenced.cursor_doubted,
        mustLookWhole: fenced.look_whole,
        isRequested: run?.begun === false,
        othersWait: run?.othersWait ?? false,
        hasOpenIntents: run?.hasOpenIntents ?? false,
      },
    };
  });
}

interface Lock extends Pick<
  LinkRow,
  'id' | 'state' | 'trigger' | 'connector' | 'connector_version' | 'prefix'
> {
  readonly isResting: boolean | null;
  readonly isBehind: boolean | null;
}

/** Whether a pass stands beside the link's own life: it changes neither its state nor when it is due. */
function isAside(mode: PassMode): boolean {
  return mode === 'plan' || mode === 'undo';
}

/** An unfinished run plans anew: what it had planned but not begun is forgotten. */
async function takeUpRun(tx: Transaction, run: Unfinished): Promise<void> {
  await tx.query(
    `UPDATE sync_runs SET begun = true WHERE tenant_id = current_setting('app.tenant') AND id = $1`,
    [run.id],
  );
  // The ops of an undo were stored all at once, before any was carried out.
  if (run.isApproved || run.mode === 'undo') return;
  await tx.query(
    `DELETE FROM sync_ops WHERE tenant_id = current_setting('app.tenant') AND run_id = $1 AND state = 'planned'`,
    [run.id],
  );
}

/**
 * A new fence for the same run: a second attempt of an activity shuts the first one out.
 * @throws AppError FENCED when the run is no longer under way
 */
export async function takeOver(database: Database, ref: PassRef): Promise<PassRef> {
  return database.withTenant(ref.tenant, async (tx) => {
    const [link] = await tx.query<{ fence: string }>(
      `UPDATE sync_links SET fence = fence + 1
       WHERE tenant_id = current_setting('app.tenant') AND id = $1 AND EXISTS (
         SELECT 1 FROM sync_runs WHERE tenant_id = current_setting('app.tenant') AND id = $2 AND status = 'running')
       RETURNING fence`,
      [ref.linkId, ref.runId],
    );
    if (!link) throw new AppError('FENCED', 'the run is no longer under way');
    return { ...ref, fence: link.fence };
  });
}

/** What the fence reads of the link while it is at it. */
export interface FencedLink {
  readonly prefix: string;
  readonly hub_cursor: string | null;
}

const FENCE_LOST = 'another pass has taken over this link';

// A lost fence must fail by itself, since what it shuts out is sent along with it: a text that is no
// number, which no other statement casts.
const HOLD_FENCE = `
WITH link AS MATERIALIZED (
  SELECT id, prefix, hub_cursor FROM sync_links
  WHERE tenant_id = current_setting('app.tenant') AND id = $1 AND fence = $2 FOR SHARE
)
SELECT prefix, hub_cursor, (CASE WHEN id IS NULL THEN '${FENCE_LOST}' ELSE '1' END)::int AS held
FROM (VALUES (1)) AS always LEFT JOIN link ON true`;

/** Holds the fence until the transaction ends; it fails where another pass has taken over the link. */
function holdFence(ref: PassRef): Statement {
  return { sql: HOLD_FENCE, values: [ref.linkId, ref.fence] };
}

function isFenceLost(error: unknown): boolean {
  return (
    error instanceof Error && sqlStateOf(error) === '22P02' && error.message.includes(FENCE_LOST)
  );
}

/**
 * Runs `work` in a transaction that fails if another pass has taken over the link. The fence goes with
 * the first statement, in the same message. @throws AppError FENCED
 */
export async function withFence<T>(
  database: Database,
  ref: PassRef,
  work: (tx: OpenTransaction) => Promise<T>,
): Promise<T> {
  return fenced(database.withTenant(ref.tenant, work, [holdFence(ref)]));
}

/** The same for work that must know the link as it is now. @throws AppError FENCED */
export async function withFencedLink<T>(
  database: Database,
  ref: PassRef,
  work: (tx: OpenTransaction, link: FencedLink) => Promise<T>,
): Promise<T> {
  const holding = holdFence(ref);
  return fenced(
    database.withTenant(ref.tenant, async (tx) => {
      const [link] = await tx.query<FencedLink>(holding.sql, holding.values);
      return work(tx, link!);
    }),
  );
}

/** One statement under the fence, in a transaction and a message of its own. @throws AppError FENCED */
export async function commitFenced<Row extends object>(
  database: Database,
  ref: PassRef,
  statement: Statement,
): Promise<Row[]> {
  return withFence(database, ref, async (tx) => (await tx.commitWith([statement]))[0] as Row[]);
}

async function fenced<T>(work: Promise<T>): Promise<T> {
  return work.catch((error: unknown) => {
    throw isFenceLost(error) ? new AppError('FENCED', FENCE_LOST) : error;
  });
}

/** Makes sure the run ($1) of a link ($2) has a row, so that ops can refer to it; $3 is its trigger. */
export const RECORD_RUN = `
INSERT INTO sync_runs (tenant_id, id, link_id, status, trigger, epoch, begun, started_at)
SELECT current_setting('app.tenant'), $1::uuid, id, 'running', $3, epoch, true, pass_began_at FROM sync_links
WHERE tenant_id = current_setting('app.tenant') AND id = $2::uuid
ON CONFLICT DO NOTHING`;

// A parked plan waits for a person who may be away; a dry run was asked for just now. An approved one
// that failed may be approved again until it expires; it planned what its plan says, however often.
const CLOSE_RUN = `
UPDATE sync_runs SET status = $3, phases = $4, counters = CASE WHEN approved_at IS NULL THEN $5::jsonb
    ELSE $5::jsonb || jsonb_build_object('planned',
      greatest((counters->>'planned')::int, ($5::jsonb->>'planned')::int)) END::json, guard = $6, error = $7, ended_at = now(),
  expires_at = CASE $3 WHEN 'parked' THEN now() + interval '7 days'
    WHEN 'planned' THEN now() + interval '1 day' WHEN 'failed' THEN expires_at END
WHERE tenant_id = current_setting('app.tenant') AND id = $1`;

const COUNT_OPEN = `(SELECT count(*)::int FROM sync_conflicts WHERE tenant_id = current_setting('app.tenant')
  AND link_id = $2 AND status = 'open') AS "openConflicts"`;

const FINISH_ASIDE = `
WITH run AS (
  ${CLOSE_RUN}
)
UPDATE sync_links SET live_until = NULL WHERE tenant_id = current_setting('app.tenant') AND id = $2
RETURNING ${COUNT_OPEN}`;

// After n failures in a row the link rests 2^n intervals, at most five minutes, and somewhat less so
// that links that failed together do not come back together; never less than the remote asked for ($8).
const FINISH = `
WITH run AS (
  ${CLOSE_RUN}
)
UPDATE sync_links SET
  state = CASE WHEN state = 'paused' THEN state WHEN $3 = 'parked' THEN 'parked'
    WHEN $3 = 'failed' THEN 'failed' ELSE 'active' END,
  guard = $6,
  failures = CASE $3 WHEN 'failed' THEN failures + 1 ELSE 0 END,
  next_due_at = CASE $3 WHEN 'failed'
    THEN now() + greatest($8 * (1 + 0.1 * random()),
      least(interval_ms * power(2, least(failures, 20)), 300000) * (0.8 + 0.2 * random()))
      * interval '1 millisecond'
    ELSE next_due_at END,
  rests_until = now() + $8 * interval '1 millisecond',
  live_until = NULL,
  quiet_looks = CASE WHEN $9 THEN 0 ELSE quiet_looks END,
  whole_due_at = CASE $3 WHEN 'settled' THEN ${NEXT_WHOLE} ELSE whole_due_at END,
  conflicts_accepted = CASE WHEN $3 = 'settled' AND $10 = 'look' THEN 0 ELSE conflicts_accepted END,
  last_settled_at = CASE $3 WHEN 'settled' THEN now() ELSE last_settled_at END
WHERE tenant_id = current_setting('app.tenant') AND id = $2
RETURNING ${COUNT_OPEN}`;

/** How a link stands once a pass over it is closed. */
export interface FinishedPass {
  readonly openConflicts: number;
}

/** Closes a pass: run row, link state, next due time. @throws AppError FENCED */
export async function finishPass(
  database: Database,
  ref: PassRef,
  end: PassEnd,
): Promise<FinishedPass> {
  return withFence(database, ref, async (tx) => {
    const recording: Statement[] = end.isNotable
      ? [{ sql: RECORD_RUN, values: [ref.runId, ref.linkId, end.trigger] }]
      : [];
    const guard = end.guard ? JSON.stringify({ ...end.guard, planId: ref.runId }) : null;
    const error = end.error
      ? storableJson({ code: end.error.code, detail: end.error.detail })
      : null;
    const closing = [
      ref.runId,
      ref.linkId,
      end.status,
      JSON.stringify(end.phases),
      JSON.stringify(end.counters),
      guard,
      error,
    ];
    const told = end.error?.retryAfterMs;
    const retryAfterMs = told === undefined ? null : Math.min(told, MAX_RETRY_AFTER_MS);
    const finishing = isAside(end.mode)
      ? { sql: FINISH_ASIDE, values: closing }
      : { sql: FINISH, values: [...closing, retryAfterMs, end.isNotable, end.mode] };
    const answers = await tx.commitWith([...recording, finishing]);
    return answers.at(-1)![0] as unknown as FinishedPass;
  });
}
