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
const linkIdKey = defineSearchAttributeKey('LinkId', 'KEYWORD');
const paused = defineSearchAttributeKey('Paused', 'BOOL');

/**
 * How long a worker that died keeps a workflow from the next one. Temporal's own default is 10 s;
 * long local activities extend their task by themselves.
 */
const WORKFLOW_TASK_TIMEOUT = '3 seconds';

interface Flight {
  readonly sending: Promise<void>;
  /** The signal to be sent after this one, shared by everybody who asks meanwhile. */
  next: Promise<void> | null;
}

export function createLinkWaker(client: Client, taskQueue: string) {
  const flights = new Map<string, Flight>();

  async function send({ tenant, linkId, name }: LinkRef, reason: string): Promise<void> {
    const input: SyncLinkInput = { tenant, linkId };
    await client.workflow.signalWithStart(SYNC_LINK, {
      workflowId: syncWorkflowId(tenant, linkId),
      taskQueue,
      args: [input],
      signal: WAKE_SIGNAL,
      signalArgs: [reason],
      workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
      // Where the server's queues are fair, tenants take turns at its workers too (a key has 64 bytes).
      priority: { fairnessKey: tenant },
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      typedSearchAttributes: attributes(tenant, linkId),
      staticSummary: `${tenant} · ${name ?? linkId} · ${reason}`,
    });
  }

  function depart(name: string, link: LinkRef, reason: string): Promise<void> {
    const flight: Flight = { sending: send(link, reason), next: null };
    flights.set(name, flight);
    const land = (): void => {
      if (flights.get(name) === flight && !flight.next) flights.delete(name);
    };
    flight.sending.then(land, land);
    return flight.sending;
  }

  /** One signal per link on its way and one waiting: a busy file must not flood a history. */
  return function wake(link: LinkRef, reason: string): Promise<void> {
    const name = syncWorkflowId(link.tenant, link.linkId);
    const flight = flights.get(name);
    if (!flight) return depart(name, link, reason);
    const after = (): Promise<void> => depart(name, link, reason);
    flight.next ??= flight.sending.then(after, after);
    return flight.next;
  };
}

function attributes(tenant: string, linkId: string): TypedSearchAttributes {
  return new TypedSearchAttributes([
    { key: tenantId, value: tenant },
    { key: linkIdKey, value: linkId },
    { key: paused, value: false },
  ]);
}
