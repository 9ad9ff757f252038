/**
 * Starts, wakes and ends the workflows of conflicts. Nothing depends on it but the fallback's timer
 * and what operators see in Temporal: decisions are made in Postgres.
 */
import {
  WorkflowExecutionAlreadyStartedError,
  WorkflowIdReusePolicy,
  WorkflowNotFoundError,
  type Client,
} from '@temporalio/client';
import { defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import type { ConflictRef } from '../store/contract.ts';
import { conflictWorkflowId, LOOK_SIGNAL, RESOLVE_CONFLICT } from '../workflows/contract.ts';

const tenantId = defineSearchAttributeKey('TenantId', 'KEYWORD');
const linkIdKey = defineSearchAttributeKey('LinkId', 'KEYWORD');
const syncPhase = defineSearchAttributeKey('SyncPhase', 'KEYWORD');

export interface ConflictWatcher {
  /** Its workflow runs and looks. */
  opened(ref: ConflictRef): Promise<void>;
  /** Its workflow, if there is one, looks and so ends. */
  ended(ref: ConflictRef): Promise<void>;
  /** Its workflow runs; one that does is left alone. */
  ensure(ref: ConflictRef): Promise<void>;
}

export function createConflictWatcher(client: Client, taskQueue: string): ConflictWatcher {
  const startOptions = ({ tenant, conflictId, linkId }: ConflictRef) => ({
    workflowId: conflictWorkflowId(tenant, conflictId),
    taskQueue,
    args: [{ tenant, conflictId }],
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    typedSearchAttributes: new TypedSearchAttributes([
      { key: tenantId, value: tenant },
      // A message of an older process does not name it; then the workflow's first look does.
      ...(linkId === undefined ? [] : [{ key: linkIdKey, value: linkId }]),
      { key: syncPhase, value: 'open' },
    ]),
    staticSummary: `${tenant} · conflict ${conflictId}`,
  });
  return {
    async opened(ref) {
      const signal = { signal: LOOK_SIGNAL, signalArgs: [] };
      await client.workflow.signalWithStart(RESOLVE_CONFLICT, { ...startOptions(ref), ...signal });
    },
    async ended({ tenant, conflictId }) {
      const handle = client.workflow.getHandle(conflictWorkflowId(tenant, conflictId));
      await ignoring(WorkflowNotFoundError, handle.signal(LOOK_SIGNAL));
    },
    async ensure(ref) {
      const started = client.workflow.start(RESOLVE_CONFLICT, startOptions(ref));
      await ignoring(WorkflowExecutionAlreadyStartedError, started);
    },
  };
}

async function ignoring(
  expected: abstract new (...args: never[]) => Error,
  work: Promise<unknown>,
): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof expected)) throw error;
  }
}
