/**
 * The life of one pass over a link: begun under a new fence, recorded once it has something to do,
 * finished with its counts. A pass whose fence was taken over can settle nothing any more.
 */
import { AppError } from '../../domain/errors.ts';
import type { LinkId, RunId, TenantId } from '../../domain/ids.ts';
import type { GuardTrip, Link, RunCounters, RunStatus } from '../../domain/link.ts';
import { literal, type Database, type Transaction } from '../database.ts';
import { linkOf, type LinkRow } from '../link-store.ts';

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
  /** `approved`: execute the stored plan of this run, observe nothing. */
  readonly mode: 'look' | 'approved';
  /** Cursor of the remote's last complete observation. */
  readonly remoteCursor: string | null;
  /** Whether somebody asked for this run, so that it is recorded even if nothing was to do. */
  readonly isRequested: boolean;
  /** Whether a pass that broke off left intents whose outcome nobody recorded. */
  readonly hasOpenIntents: boolean;
}

export type BeginResult =
  | { readonly status: 'begun'; readonly pass: PassStart }
  /** Nothing may run now: the link is gone, paused, or waits for an operator. */
  | { readonly status: 'refused'; readonly why: 'gone' | 'paused' | 'parked' };

export interface PassEnd {
  readonly status: Exclude<RunStatus, 'running'>;
  readonly trigger: string;
  readonly counters: RunCounters;
  readonly phases: Readonly<Record<string, number>>;
  readonly guard: GuardTrip | null;
  readonly error: { readonly code: string; readonly detail: string } | null;
  /** Whether the pass is worth a row in the run list. */
  readonly isNotable: boolean;
}

// Read once the link is locked: a zombie of the pass before has then settled or lost its fence.
const SELECT_UNFINISHED = `
SELECT run.*, EXISTS (SELECT 1 FROM sync_ops WHERE tenant_id = current_setting('app.tenant')
  AND link_id = $1 AND state = 'intended') AS "hasOpenIntents"
FROM (VALUES (1)) AS always
LEFT JOIN LATERAL (
  SELECT id, trigger, begun, approved_at IS NOT NULL AS "isApproved" FROM sync_runs
  WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND status = 'running'
  ORDER BY begun DESC, started_at LIMIT 1) AS run ON true`;

/** What a pass before left behind; every column of the run is null when there is none. */
interface Unfinished {
  readonly id: RunId | null;
  readonly trigger: string | null;
  readonly begun: boolean | null;
  readonly isApproved: boolean | null;
  readonly hasOpenIntents: boolean;
}

const TAKE_FENCE = `
UPDATE sync_links SET fence = fence + 1, pass_began_at = now(),
  next_due_at = now() + interval_ms * interval '1 millisecond',
  state = CASE WHEN state = 'parked' THEN 'active' ELSE state END, guard = NULL
WHERE tenant_id = current_setting('app.tenant') AND id = $1 RETURNING *`;

/** Begins a pass, or takes up one that a crash left unfinished. */
export async function beginPass(
  database: Database,
  {
    tenant,
    linkId,
    trigger,
    newRunId,
  }: { tenant: TenantId; linkId: LinkId; trigger: string; newRunId: RunId },
): Promise<BeginResult> {
  const lock = `SELECT state FROM sync_links WHERE ${isLink(tenant, linkId)} FOR UPDATE`;
  return database.withTenantFirst<Pick<LinkRow, 'state'>, BeginResult>(
    tenant,
    lock,
    async (tx, [link]) => {
      if (!link) return { status: 'refused', why: 'gone' };
      if (link.state === 'paused') return { status: 'refused', why: 'paused' };
      const [run] = await tx.query<Unfinished>(SELECT_UNFINISHED, [linkId]);
      // A parked link looks again only when somebody asks for it.
      if (link.state === 'parked' && !run?.id) return { status: 'refused', why: 'parked' };
      const [fenced] = await tx.query<LinkRow>(TAKE_FENCE, [linkId]);
      if (run?.id) await takeUpRun(tx, run);
      const ref = { tenant, linkId, runId: run?.id ?? newRunId, fence: fenced!.fence };
      return {
        status: 'begun',
        pass: {
          ref,
          link: linkOf(fenced!),
          trigger: run?.trigger ?? trigger,
          mode: run?.isApproved ? 'approved' : 'look',
          remoteCursor: fenced!.remote_cursor,
          isRequested: run?.begun === false,
          hasOpenIntents: run?.hasOpenIntents ?? false,
        },
      };
    },
  );
}

/** Condition on a link's row with its values in place, for the first statement of a transaction. */
function isLink(tenant: TenantId, linkId: LinkId): string {
  return `tenant_id = ${literal(tenant)} AND id = ${literal(linkId)}`;
}

/** An unfinished run plans anew: what it had planned but not begun is forgotten. */
async function takeUpRun(tx: Transaction, run: Unfinished): Promise<void> {
  await tx.query(
    `UPDATE sync_runs SET begun = true WHERE tenant_id = current_setting('app.tenant') AND id = $1`,
    [run.id],
  );
  if (run.isApproved) return;
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

/** Runs `work` in a transaction that fails if another pass has taken over the link. @throws AppError FENCED */
export async function withFence<T>(
  database: Database,
  ref: PassRef,
  work: (tx: Transaction, link: FencedLink) => Promise<T>,
): Promise<T> {
  const fence = `SELECT prefix, hub_cursor FROM sync_links
    WHERE ${isLink(ref.tenant, ref.linkId)} AND fence = ${literal(ref.fence)} FOR SHARE`;
  return database.withTenantFirst<FencedLink, T>(ref.tenant, fence, async (tx, [link]) => {
    if (!link) throw new AppError('FENCED', 'another pass has taken over this link');
    return work(tx, link);
  });
}

/** Makes sure the run ($1) of a link ($2) has a row, so that ops can refer to it; $3 is its trigger. */
export const RECORD_RUN = `
INSERT INTO sync_runs (tenant_id, id, link_id, status, trigger, epoch, begun, started_at)
SELECT current_setting('app.tenant'), $1::uuid, id, 'running', $3, epoch, true, pass_began_at FROM sync_links
WHERE tenant_id = current_setting('app.tenant') AND id = $2::uuid
ON CONFLICT DO NOTHING`;

// After n failures in a row the link rests 2^n intervals, at most five minutes.
const FINISH = `
WITH run AS (
  UPDATE sync_runs SET status = $3, phases = $4, counters = $5, guard = $6, error = $7, ended_at = now()
  WHERE tenant_id = current_setting('app.tenant') AND id = $1
)
UPDATE sync_links SET
  state = CASE $3 WHEN 'parked' THEN 'parked' WHEN 'failed' THEN 'failed' ELSE 'active' END,
  guard = $6,
  failures = CASE $3 WHEN 'failed' THEN failures + 1 ELSE 0 END,
  next_due_at = CASE $3 WHEN 'failed'
    THEN now() + least(interval_ms * power(2, least(failures, 20)), 300000) * interval '1 millisecond'
    ELSE next_due_at END,
  last_settled_at = CASE $3 WHEN 'settled' THEN now() ELSE last_settled_at END
WHERE tenant_id = current_setting('app.tenant') AND id = $2 AND state NOT IN ('paused')`;

/** Closes a pass: run row, link state, next due time. @throws AppError FENCED */
export async function finishPass(database: Database, ref: PassRef, end: PassEnd): Promise<void> {
  await withFence(database, ref, async (tx) => {
    if (end.isNotable) await tx.query(RECORD_RUN, [ref.runId, ref.linkId, end.trigger]);
    const guard = end.guard ? JSON.stringify({ ...end.guard, planId: ref.runId }) : null;
    const error = end.error ? JSON.stringify(end.error) : null;
    await tx.query(FINISH, [
      ref.runId,
      ref.linkId,
      end.status,
      JSON.stringify(end.phases),
      JSON.stringify(end.counters),
      guard,
      error,
    ]);
  });
}
