/**
 * Records the histories that replay.test.ts replays: `npx tsx test/replay/record.ts [name…]`; without
 * names, all of them. It starts a Temporal of its own unless TEST_TEMPORAL_ADDRESS names one, and takes
 * about a minute.
 *
 * Record anew only when a change of the workflows is meant to break those under way: before a
 * release, or together with a `patched()` and the old histories kept.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import type { SyncActivities } from '../../activities/contract.ts';
import { PULSE } from '../../workflows/contract.ts';
import { startTestServers } from '../support/servers-start.ts';
import { historyJson } from '../support/temporal-history.ts';
import {
  CHANGED,
  EXECUTED,
  PARKED,
  PLANNED,
  QUIET,
  startScriptedWorker,
  tokenOf,
} from '../workflows/scripted-worker.ts';

interface Scenario {
  readonly script: Partial<SyncActivities>;
  /** Passes to wait for. */
  readonly passes: number;
  /** Whether the workflow ends by itself (after its linger, or because it is parked). */
  readonly ends?: true;
  readonly wakes?: readonly string[];
}

const once = <T>(first: T, then: T): (() => Promise<T>) => {
  let isFirst = true;
  return async () => {
    const answer = isFirst ? first : then;
    isFirst = false;
    return answer;
  };
};

function failingOnce(): () => Promise<typeof QUIET> {
  let isFirst = true;
  return async () => {
    if (!isFirst) return QUIET;
    isFirst = false;
    throw ApplicationFailure.create({
      type: 'CONNECTOR_UNREACHABLE',
      message: 'The remote cannot be reached.',
      nonRetryable: true,
    });
  };
}

/** File name → what happens. Scripted answers: histories hold no body by the activities' contract. */
const SCENARIOS: Readonly<Record<string, Scenario>> = {
  idle: { script: {}, passes: 1, ends: true },
  'two-way-change': {
    script: { observe: once(CHANGED, QUIET), plan: async () => ({ ...PLANNED, merged: 1 }) },
    passes: 2,
    wakes: ['remote change', 'hub change'],
  },
  baseline: {
    script: {
      begin: async ({ tenant, linkId, trigger }) => ({
        status: 'begun',
        pass: { ...tokenOf(tenant, linkId, trigger), isBaseline: true },
      }),
      observe: async () => ({ ...CHANGED, observed: 500, changedRemote: 500 }),
      plan: async () => ({ ...PLANNED, planned: 500 }),
      execute: async () => ({ ...EXECUTED, applied: 500, fence: '2' }),
    },
    passes: 1,
  },
  conflict: {
    script: {
      observe: once(CHANGED, QUIET),
      plan: async () => ({ ...PLANNED, planned: 1, conflicts: 1 }),
    },
    passes: 1,
  },
  parked: {
    script: { observe: async () => CHANGED, plan: async () => PARKED },
    passes: 1,
    ends: true,
  },
  approved: {
    script: {
      begin: async ({ tenant, linkId, trigger }) => ({
        status: 'begun',
        pass: { ...tokenOf(tenant, linkId, trigger), mode: 'approved', isRequested: true },
      }),
      execute: async () => ({ ...EXECUTED, deletedHub: 2, fence: '2' }),
    },
    passes: 1,
  },
  failed: {
    script: {
      observe: async () => {
        throw ApplicationFailure.create({
          type: 'CONNECTOR_UNREACHABLE',
          message: 'The remote cannot be reached.',
          nonRetryable: true,
        });
      },
    },
    passes: 1,
  },
  'stale-then-settled': {
    script: {
      observe: once(CHANGED, CHANGED),
      execute: once({ ...EXECUTED, applied: 1, stale: 1, fence: '1' }, { ...EXECUTED, fence: '1' }),
    },
    passes: 2,
  },
  'in-doubt': { script: { observe: once({ ...QUIET, inDoubt: 2 }, QUIET) }, passes: 2 },
  refused: {
    script: { begin: async () => ({ status: 'refused', why: 'paused' }) },
    passes: 0,
    ends: true,
  },
  // From here on passes tell how many conflicts are open, which those above do not: both must replay.
  'open-conflicts': {
    script: {
      observe: once(CHANGED, QUIET),
      plan: async () => ({ ...PLANNED, conflicts: 1 }),
      settle: once({ openConflicts: 2 }, { openConflicts: 1 }),
    },
    passes: 2,
    wakes: ['remote change', 'hub change'],
  },
  'open-conflicts-large': {
    script: {
      begin: async ({ tenant, linkId, trigger }) => ({
        status: 'begun',
        pass: { ...tokenOf(tenant, linkId, trigger), isBaseline: true },
      }),
      observe: async () => ({ ...CHANGED, observed: 500 }),
      plan: async () => ({ ...PLANNED, planned: 500, conflicts: 3 }),
      execute: async () => ({ ...EXECUTED, applied: 500, fence: '2' }),
      settle: async () => ({ openConflicts: 3 }),
    },
    passes: 1,
  },
  'failed-then-quiet': {
    script: {
      observe: failingOnce(),
      settle: async () => ({ openConflicts: 0 }),
    },
    passes: 2,
    wakes: ['interval', 'interval'],
  },
};

const wanted = process.argv.slice(2);
const isWanted = (name: string): boolean => wanted.length === 0 || wanted.includes(name);

const servers = await startTestServers(({ message }) => console.log(message));
Object.assign(process.env, servers.env);
const folder = join(import.meta.dirname, 'histories');
mkdirSync(folder, { recursive: true });
const worker = await startScriptedWorker();
try {
  const chosen = Object.entries(SCENARIOS).filter(([name]) => isWanted(name));
  await Promise.all(chosen.map(([name, scenario]) => record(name, scenario)));
  if (isWanted('pulse')) await recordPulse();
} finally {
  await worker.close();
  await servers.stop();
}

async function record(
  name: string,
  { script, passes, ends, wakes = ['remote change'] }: Scenario,
): Promise<void> {
  const link = worker.link(script);
  for (const [nth, reason] of wakes.entries()) {
    await link.wake(reason);
    if (nth < wakes.length - 1) await link.called('settle', nth + 1);
  }
  await link.called(passes > 0 ? 'settle' : 'begin', Math.max(passes, 1));
  if (ends) await link.handle.result();
  else await link.handle.query('__stack_trace'); // answered once the step before it is in the history
  save(name, historyJson(await link.handle.fetchHistory()));
}

async function recordPulse(): Promise<void> {
  const { client, taskQueue } = worker;
  const handle = await client.workflow.start(PULSE, {
    workflowId: `pulse-${taskQueue}`,
    taskQueue,
    args: [],
  });
  await handle.result();
  save('pulse', historyJson(await handle.fetchHistory()));
}

function save(name: string, history: string): void {
  writeFileSync(join(folder, `${name}.json`), history);
  console.log(`${name}: ${history.length} characters`);
}
