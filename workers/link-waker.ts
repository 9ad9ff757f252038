/** Wakes a link's workflow, starting it if it is not there. A wake is a hint: it may come twice. */
import { WorkflowIdReusePolicy, type Client } from '@temporalio/client';
import { defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import type { LinkRef } from '../store/contract.ts';
import {
  SYNC_LINK,
  WAKE_SIGNAL,
  syncWorkflowId,
  type SyncLinkInput,
} from '../workflows/contract.ts';

const tenantId = defineSearchAttributeKey('TenantId', 'KEYWORD');
/**
 * How long a worker that died keeps a workflow from the next one. Temporal's own default is 10 s;
 * long local activities extend their task by themselves.
 */
const WORKFLOW_TASK_TIMEOUT = '3 seconds';

const linkIdKey = defineSearchAttributeKey('LinkId', 'KEYWORD');
const paused = defineSearchAttributeKey('Paused', 'BOOL');

export function createLinkWaker(client: Client, taskQueue: string) {
  return async function wake({ tenant, linkId }: LinkRef, reason: string): Promise<void> {
    const input: SyncLinkInput = { tenant, linkId };
    await client.workflow.signalWithStart(SYNC_LINK, {
      workflowId: syncWorkflowId(tenant, linkId),
      taskQueue,
      args: [input],
      signal: WAKE_SIGNAL,
      signalArgs: [reason],
      workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      typedSearchAttributes: attributes(tenant, linkId),
      staticSummary: `${tenant} · ${linkId} · ${reason}`,
    });
  };
}

function attributes(tenant: string, linkId: string): TypedSearchAttributes {
  return new TypedSearchAttributes([
    { key: tenantId, value: tenant },
    { key: linkIdKey, value: linkId },
    { key: paused, value: false },
  ]);
}
