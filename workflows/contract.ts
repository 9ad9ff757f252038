/** The workflows' door: names, ids, inputs, signals and queries. Safe to import anywhere. */
import type { ConflictId, LinkId, TenantId } from '../domain/ids.ts';

export const SYNC_TASK_QUEUE = 'syncline-sync';

/** Workflow types, as the server and its UI name them. */
export const SYNC_LINK = 'syncLink';
export const PULSE = 'pulse';
export const RESOLVE_CONFLICT = 'resolveConflict';

/** Signal of `resolveConflict`: look at the conflict anew. It never says what changed. */
export const LOOK_SIGNAL = 'look';
/** Update of `resolveConflict`: a person's decision, by choice and hash. */
export const RESOLVE_UPDATE = 'resolve';

/** Signal of `syncLink`: look at the link soon. It never says what changed. */
export const WAKE_SIGNAL = 'wake';
/** Query of `syncLink`, for operators. */
export const PROGRESS_QUERY = 'progress';

const PULSE_SCHEDULE_ID = 'syncline-pulse';

/** One pulse per task queue: installations that share a Temporal namespace have queues of their own. */
export function pulseScheduleId(taskQueue: string): string {
  return taskQueue === SYNC_TASK_QUEUE ? PULSE_SCHEDULE_ID : `${PULSE_SCHEDULE_ID}-${taskQueue}`;
}

export interface SyncLinkInput {
  readonly tenant: TenantId;
  readonly linkId: LinkId;
}

export interface ResolveConflictInput {
  readonly tenant: TenantId;
  readonly conflictId: ConflictId;
}

/** One workflow per open conflict. */
export function conflictWorkflowId(tenant: string, conflictId: string): string {
  return `resolveConflict/${tenant}/${conflictId}`;
}

export interface SyncProgress {
  readonly phase: string;
  readonly passes: number;
  readonly pendingWakes: number;
}

/** One workflow per link, for as long as it has something to do. */
export function syncWorkflowId(tenant: string, linkId: string): string {
  return `sync/${tenant}/${linkId}`;
}
