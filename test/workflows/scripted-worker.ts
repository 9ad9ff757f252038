/**
 * `syncLink` on the real Temporal server with its activities replaced by scripted ones: what the
 * workflow asks for, in which order, and what it makes of the answers.
 */
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { randomUUID } from 'node:crypto';
import type {
  Observed,
  PassOutcome,
  PassToken,
  Planned,
  SyncActivities,
} from '../../activities/contract.ts';
import { runSmallPass } from '../../activities/small-pass.ts';
import { waitUntil } from '../../dev/wait-until.ts';
import type { LinkId, RunId, TenantId } from '../../domain/ids.ts';
import { createLinkWaker } from '../../workers/link-waker.ts';
import { syncWorkflowId } from '../../workflows/contract.ts';
import { builtWorkflows } from '../support/product-build.ts';
import { testTemporal } from '../support/servers.ts';

/** One call of an activity: its name, and what it was given last (the outcome, the trigger). */
export type Call = readonly [name: keyof SyncActivities, ...args: readonly unknown[]];

export interface ScriptedLink {
  readonly calls: readonly Call[];
  readonly handle: WorkflowHandle;
  wake(reason: string): Promise<void>;
  /** Resolves once an activity was called so often. */
  called(name: keyof SyncActivities, times: number): Promise<void>;
  /** Outcomes that were settled, oldest first. */
  outcomes(): readonly PassOutcome[];
}

export interface ScriptedWorker {
  readonly client: Client;
  readonly taskQueue: string;
  /** A link of its own, whose activities do what the script says. */
  link(script?: Partial<Script>): ScriptedLink;
  close(): Promise<void>;
}

export const QUIET: Observed = {
  observed: 3,
  changedHub: 0,
  changedRemote: 0,
  echo: 0,
  inDoubt: 0,
  heldBack: false,
  recovered: 0,
  hasWork: false,
};
export const CHANGED: Observed = { ...QUIET, changedHub: 1, changedRemote: 1, hasWork: true };
export const PLANNED: Planned = {
  planned: 2,
  merged: 0,
  conflicts: 0,
  quarantined: 0,
  skipped: 0,
  deletesHub: 0,
  deletesRemote: 0,
  guard: null,
};
export const PARKED: Planned = {
  ...PLANNED,
  deletesHub: 2,
  guard: { code: 'EMPTY_SIDE', reason: 'The remote has 0 of 2 items it had.' },
};
export const EXECUTED = { applied: 2, stale: 0, failed: 0, deletedHub: 0, deletedRemote: 0 };

const NO_LIFE = { heartbeat: () => undefined, signal: new AbortController().signal };
const TENANT = 'default' as TenantId;
const WITHIN = { timeoutMs: 20_000, everyMs: 10 };
/** In place of `pid@host`: recorded histories must not say where they were made. */
const IDENTITY = 'scripted';

export async function startScriptedWorker(): Promise<ScriptedWorker> {
  quiet();
  const { address, namespace, taskQueue } = testTemporal();
  // First, because it may compile for seconds, and a connection that waits for that gives up.
  const codePath = await builtWorkflows();
  const [connection, native] = await Promise.all([
    Connection.connect({ address }),
    NativeConnection.connect({ address }),
  ]);
  const client = new Client({ connection, namespace, identity: IDENTITY });
  const wake = createLinkWaker(client, taskQueue);
  const scripts = new Map<string, SyncActivities>();
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

  function link(script: Partial<Script> = {}): ScriptedLink {
    const linkId = randomUUID() as LinkId;
    const calls: Call[] = [];
    const handle = client.workflow.getHandle(syncWorkflowId(TENANT, linkId));
    handles.push(handle);
    scripts.set(linkId, recorded({ ...defaults(), ...script }, calls));
    return {
      calls,
      handle,
      wake: (reason) => wake({ tenant: TENANT, linkId, name: 'scripted' }, reason),
      async called(name, times) {
        const count = (): number => calls.filter(([called]) => called === name).length;
        await waitUntil(async () => (count() >= times ? true : null), WITHIN).catch(() => {
          throw new Error(
            `${name} was called ${count()} times, not ${times}: ${JSON.stringify(calls)}`,
          );
        });
      },
      outcomes: () =>
        calls.filter(([name]) => name === 'settle').map((call) => call.at(-1) as PassOutcome),
    };
  }

  return {
    client,
    taskQueue,
    link,
    async close() {
      // Lingering workflows would wait for a worker that is gone.
      await Promise.all(handles.map((handle) => handle.terminate().catch(() => undefined)));
      worker.shutdown();
      await running;
      await native.close();
      await connection.close();
    },
  };
}

/** The steps; the whole pass is always the real one over them. */
type Script = Omit<SyncActivities, 'pass'>;

/** Every pass begins, sees nothing, settles. */
function defaults(): Script {
  return {
    begin: async ({ tenant, linkId, trigger }) => ({
      status: 'begun',
      pass: tokenOf(tenant, linkId, trigger),
    }),
    observe: async () => QUIET,
    plan: async () => PLANNED,
    execute: async (pass) => ({ ...EXECUTED, fence: pass.fence }),
    settle: async () => ({ openConflicts: 0 }),
    pulse: async () => ({ woken: 0 }),
  };
}

export function tokenOf(tenant: TenantId, linkId: LinkId, trigger: string): PassToken {
  return {
    tenant,
    linkId,
    runId: randomUUID() as RunId,
    fence: '1',
    linkName: 'scripted',
    trigger,
    mode: 'look',
    isRequested: false,
    isBaseline: false,
    startedAtMs: 0,
  };
}

function recorded(script: Script, calls: Call[]): SyncActivities {
  const note =
    <Args extends unknown[], Answer>(
      name: keyof SyncActivities,
      act: (...args: Args) => Promise<Answer>,
    ) =>
    (...args: Args): Promise<Answer> => {
      calls.push([name, ...args]);
      return act(...args);
    };
  const steps = {
    begin: note('begin', script.begin),
    observe: note('observe', script.observe),
    plan: note('plan', script.plan),
    execute: note('execute', script.execute),
    settle: note('settle', script.settle),
    pulse: note('pulse', script.pulse),
  };
  // The order of the real one; what each step answers is the script's.
  return { ...steps, pass: (link) => runSmallPass(steps, link, { life: NO_LIFE }) };
}

/** One worker for all links of a file: each call goes to its link's script. */
function dispatching(scripts: ReadonlyMap<string, SyncActivities>): SyncActivities {
  const of = ({ linkId }: { linkId: string }): SyncActivities => scripts.get(linkId)!;
  return {
    pass: (link) => of(link).pass(link),
    begin: (link) => of(link).begin(link),
    observe: (pass) => of(pass).observe(pass),
    plan: (pass) => of(pass).plan(pass),
    execute: (pass) => of(pass).execute(pass),
    settle: (pass, outcome) => of(pass).settle(pass, outcome),
    pulse: async () => ({ woken: scripts.size }),
  };
}

/** Failing activities are what these tests are about; their warnings are not. */
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
