/** `resolveConflict` on the real Temporal server, its activities replaced by scripted ones. */
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { randomUUID } from 'node:crypto';
import type {
  ConflictActivities,
  ConflictDecision,
  ConflictView,
} from '../../activities/contract.ts';
import { waitUntil } from '../../dev/wait-until.ts';
import type { ConflictId, TenantId } from '../../domain/ids.ts';
import { createConflictWatcher, type ConflictWatcher } from '../../workers/conflict-watcher.ts';
import { conflictWorkflowId, RESOLVE_UPDATE } from '../../workflows/contract.ts';
import { builtWorkflows } from '../support/product-build.ts';
import { testTemporal } from '../support/servers.ts';

type Name = keyof ConflictActivities;

export interface ScriptedConflict {
  readonly ref: { readonly tenant: TenantId; readonly conflictId: ConflictId };
  readonly calls: readonly Name[];
  /** Arguments of the decisions that reached the activity. */
  readonly decisions: readonly ConflictDecision[];
  readonly handle: WorkflowHandle;
  /** What a look answers from now on. */
  now(view: Partial<ConflictView>): void;
  update(decision: unknown): Promise<ConflictView>;
  called(name: Name, times: number): Promise<void>;
}

export interface ConflictWorker {
  readonly client: Client;
  readonly watcher: ConflictWatcher;
  conflict(view?: Partial<ConflictView>, script?: Partial<ConflictActivities>): ScriptedConflict;
  close(): Promise<void>;
}

export const OPEN: ConflictView = {
  status: 'open',
  linkName: 'scripted',
  reason: 'edit/edit',
  places: 1,
  revision: 1,
  dueAt: null,
  dueInMs: null,
  fallback: null,
  isHeld: false,
};

const TENANT = 'default' as TenantId;
const IDENTITY = 'scripted';

export async function startConflictWorker(): Promise<ConflictWorker> {
  quiet();
  const { address, namespace, taskQueue } = testTemporal();
  // First alone: it keeps the process busy for longer than a connection waits.
  const codePath = await builtWorkflows();
  const [connection, native] = await Promise.all([
    Connection.connect({ address }),
    NativeConnection.connect({ address }),
  ]);
  const client = new Client({ connection, namespace, identity: IDENTITY });
  const watcher = createConflictWatcher(client, taskQueue);
  const scripts = new Map<string, ConflictActivities>();
  const worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue,
    identity: IDENTITY,
    workflowBundle: { codePath },
    activities: dispatching(scripts),
    shutdownGraceTime: '1 second',
    stickyQueueScheduleToStartTimeout: '2 seconds',
  });
  const running = worker.run();
  const handles: WorkflowHandle[] = [];

  function conflict(
    view: Partial<ConflictView> = {},
    script: Partial<ConflictActivities> = {},
  ): ScriptedConflict {
    const conflictId = randomUUID() as ConflictId;
    const handle = client.workflow.getHandle(conflictWorkflowId(TENANT, conflictId));
    handles.push(handle);
    const calls: Name[] = [];
    const decisions: ConflictDecision[] = [];
    let now: ConflictView = { ...OPEN, ...view };
    const end = (): ConflictView => (now = { ...now, status: 'resolved' });
    const acts: ConflictActivities = {
      lookAtConflict: async () => now,
      resolveConflict: async () => end(),
      applyFallback: async () => {
        end();
        return { status: 'resolved' };
      },
      ...script,
    };
    scripts.set(conflictId, {
      lookAtConflict: (ref) => (calls.push('lookAtConflict'), acts.lookAtConflict(ref)),
      applyFallback: (ref) => (calls.push('applyFallback'), acts.applyFallback(ref)),
      resolveConflict: (ref, decision) => {
        calls.push('resolveConflict');
        decisions.push(decision);
        return acts.resolveConflict(ref, decision);
      },
    });
    return {
      ref: { tenant: TENANT, conflictId },
      calls,
      decisions,
      handle,
      now: (changes) => (now = { ...now, ...changes }),
      update: (decision) =>
        handle.executeUpdate<ConflictView, [unknown]>(RESOLVE_UPDATE, { args: [decision] }),
      async called(name, times) {
        const count = (): number => calls.filter((called) => called === name).length;
        const look = async (): Promise<true | null> => (count() >= times ? true : null);
        await waitUntil(look, { timeoutMs: 20_000, everyMs: 10 });
      },
    };
  }

  return {
    client,
    watcher,
    conflict,
    async close() {
      await Promise.all(handles.map((handle) => handle.terminate().catch(() => undefined)));
      worker.shutdown();
      await running;
      await native.close();
      await connection.close();
    },
  };
}

function dispatching(scripts: ReadonlyMap<string, ConflictActivities>): ConflictActivities {
  const of = ({ conflictId }: { conflictId: string }): ConflictActivities =>
    scripts.get(conflictId)!;
  return {
    lookAtConflict: (ref) => of(ref).lookAtConflict(ref),
    resolveConflict: (ref, decision) => of(ref).resolveConflict(ref, decision),
    applyFallback: (ref) => of(ref).applyFallback(ref),
  };
}

/** Refused updates are what these tests are about; their warnings are not. */
function quiet(): void {
  try {
    Runtime.install({
      logger: new DefaultLogger('ERROR', () => undefined),
      telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
    });
  } catch {
    // Installed by another test of this process.
  }
}
