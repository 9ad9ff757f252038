/**
 * The life of one pass over a link: begun under a new fence, recorded once it has something to do,
 * finished with its counts. A pass whose fence was taken over can settle nothing any more.
 */
import { AppError } from '../../domain/errors.ts';
import type { LinkId, RunId, TenantId } from '../../domain/ids.ts';
import type { GuardTrip, Link, RunCounters, RunStatus } from '../../domain/link.ts';
import type { Database, Transaction } from '../database.ts';
import { linkOf, type LinkRow } from '../link-store.ts';
import type { RunRow } from '../run-store.ts';

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

const SELECT_UNFINISHED = `
SELECT * FROM sync_runs WHERE tenant_id = current_setting('app.tenant') AND link_id = $1
  AND status = 'running' ORDER BY begun DESC, started_at LIMIT 1`;

const TAKE_FENCE = `
UPDATE sync_links SET fence = fence + 1, next_due_at = now() + interval_ms * interval '1 millisecond',
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
  return database.withTenant(tenant, async (tx) => {
    const [link] = await tx.query<LinkRow>(
      `SELECT * FROM sync_links WHERE tenant_id = current_setting('app.tenant') AND id = $1 FOR UPDATE`,
      [linkId],
    );
    if (!link) return { status: 'refused', why: 'gone' };
    if (link.state === 'paused') return { status: 'refused', why: 'paused' };
    const [run] = await tx.query<RunRow>(SELECT_UNFINISHED, [linkId]);
    // A parked link looks again only when somebody asks for it.
    if (link.state === 'parked' && !run) return { status: 'refused', why: 'parked' };
    const [fenced] = await tx.query<LinkRow>(TAKE_FENCE, [linkId]);
    if (run) await takeUpRun(tx, run);
    const ref = { tenant, linkId, runId: run?.id ?? newRunId, fence: fenced!.fence };
    return {
      status: 'begun',
      pass: {
        ref,
        link: linkOf(fenced!),
        trigger: run?.trigger ?? trigger,
        mode: run?.approved_at ? 'approved' : 'look',
        remoteCursor: fenced!.remote_cursor,
        isRequested: run !== undefined && !run.begun,
      },
    };
  });
}

/** An unfinished run plans anew: what it had planned but not begun is forgotten. */
async function takeUpRun(tx: Transaction, run: RunRow): Promise<void> {
  await tx.query(
    `UPDATE sync_runs SET begun = true WHERE tenant_id = current_setting('app.tenant') AND id = $1`,
    [run.id],
  );
  if (run.approved_at) return;
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

/** Runs `work` in a transaction that fails if another pass has taken over the link. @throws AppError FENCED */
export async function withFence<T>(
  database: Database,
  ref: PassRef,
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  return database.withTenant(ref.tenant, async (tx) => {
    const rows = await tx.query(
      `SELECT 1 FROM sync_links
       WHERE tenant_id = current_setting('app.tenant') AND id = $1 AND fence = $2 FOR SHARE`,
      [ref.linkId, ref.fence],
    );
    if (rows.length === 0) throw new AppError('FENCED', 'another pass has taken over this link');
    return work(tx);
  });
}

/** Makes sure the run has a row, so that ops can refer to it. */
export async function recordRun(tx: Transaction, ref: PassRef, trigger: string): Promise<void> {
  await tx.query(
    `INSERT INTO sync_runs (tenant_id, id, link_id, status, trigger, epoch, begun)
     SELECT current_setting('app.tenant'), $1, id, 'running', $3, epoch, true FROM sync_links
     WHERE tenant_id = current_setting('app.tenant') AND id = $2
     ON CONFLICT DO NOTHING`,
    [ref.runId, ref.linkId, trigger],
  );
}

const FINISH_RUN = `
UPDATE sync_runs SET status = $2, phases = $3, counters = $4, guard = $5, error = $6, ended_at = now()
WHERE tenant_id = current_setting('app.tenant') AND id = $1`;

// After n failures in a row the link rests 2^n intervals, at most five minutes.
const FINISH_LINK = `
UPDATE sync_links SET
  state = CASE $2 WHEN 'parked' THEN 'parked' WHEN 'failed' THEN 'failed' ELSE 'active' END,
  guard = $3,
  failures = CASE $2 WHEN 'failed' THEN failures + 1 ELSE 0 END,
  next_due_at = CASE $2 WHEN 'failed'
    THEN now() + least(interval_ms * power(2, least(failures, 20)), 300000) * interval '1 millisecond'
    ELSE next_due_at END,
  last_settled_at = CASE $2 WHEN 'settled' THEN now() ELSE last_settled_at END
WHERE tenant_id = current_setting('app.tenant') AND id = $1 AND state NOT IN ('paused')`;

/** Closes a pass: run row, link state, next due time. @throws AppError FENCED */
export async function finishPass(database: Database, ref: PassRef, end: PassEnd): Promise<void> {
  await withFence(database, ref, async (tx) => {
    if (end.isNotable) await recordRun(tx, ref, end.trigger);
    const guard = end.guard ? JSON.stringify({ ...end.guard, planId: ref.runId }) : null;
    const error = end.error ? JSON.stringify(end.error) : null;
    await tx.query(FINISH_RUN, [
      ref.runId,
      end.status,
      JSON.stringify(end.phases),
      JSON.stringify(end.counters),
      guard,
      error,
    ]);
    await tx.query(FINISH_LINK, [ref.linkId, end.status, guard]);
  });
}
