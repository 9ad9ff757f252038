import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Begun } from '../../activities/contract.ts';
import { AppError } from '../../domain/errors.ts';
import { PROGRESS_QUERY, type SyncProgress } from '../../workflows/contract.ts';
import {
  CHANGED,
  EXECUTED,
  PARKED,
  PLANNED,
  QUIET,
  startScriptedWorker,
  tokenOf,
  type ScriptedLink,
  type ScriptedWorker,
} from './scripted-worker.ts';

const WITHIN = { timeout: 20_000, interval: 10 };
const PARKED_REFUSAL: Begun = { status: 'refused', why: 'parked' };

let worker: ScriptedWorker;

beforeAll(async () => {
  worker = await startScriptedWorker();
}, 60_000);
afterAll(() => worker.close());

/** A promise and the means to keep it waiting. */
function gate(): { readonly passed: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

const namesOf = (link: ScriptedLink): readonly string[] => link.calls.map(([name]) => name);

const triggersOf = (link: ScriptedLink): readonly string[] =>
  link.calls
    .filter(([name]) => name === 'begin')
    .map(([, given]) => (given as { trigger: string }).trigger);

it('looks once when woken, and neither plans nor executes what is quiet', async () => {
  const link = worker.link();
  await link.wake('remote change');
  await link.called('settle', 1);
  expect(namesOf(link)).toEqual(['begin', 'observe', 'settle']);
  expect(triggersOf(link)).toEqual(['remote change']);
});

it('plans, executes and settles what has changed, with the counts of each step', async () => {
  const link = worker.link({ observe: async () => CHANGED });
  await link.wake('hub change');
  await link.called('settle', 1);
  expect(namesOf(link)).toEqual(['begin', 'observe', 'plan', 'execute', 'settle']);
  expect(link.outcomes()).toMatchObject([
    {
      status: 'settled',
      counters: { changedHub: 1, changedRemote: 1, planned: 2, applied: 2 },
      error: null,
    },
  ]);
});

it('answers all wakes that came during a pass with one more look', async () => {
  const held = gate();
  let looks = 0;
  const link = worker.link({
    observe: async () => {
      looks += 1;
      if (looks === 1) await held.passed;
      return QUIET;
    },
  });
  await link.wake('first');
  await link.called('observe', 1);
  for (let nth = 1; nth <= 10; nth += 1) await link.wake(`wake ${nth}`);
  held.open();
  await link.called('settle', 2);
  await vi.waitFor(async () => {
    const progress = await link.handle.query<SyncProgress>(PROGRESS_QUERY);
    expect(progress).toEqual({ phase: 'idle', passes: 2, pendingWakes: 0 });
  }, WITHIN);
  expect(triggersOf(link)).toEqual(['first', 'wake 1']);
});

it('ends when the link is parked, and the next wake starts it again', async () => {
  let isParked = false;
  const link = worker.link({
    begin: async ({ tenant, linkId, trigger }) => {
      if (isParked) return PARKED_REFUSAL;
      return { status: 'begun', pass: tokenOf(tenant, linkId, trigger) };
    },
    observe: async () => CHANGED,
    plan: async () => PARKED,
    settle: async () => {
      isParked = true;
      return { openConflicts: 0 };
    },
  });
  await link.wake('remote change');
  await link.handle.result();
  expect(namesOf(link)).toEqual(['begin', 'observe', 'plan', 'settle']);
  expect(link.outcomes()).toMatchObject([
    { status: 'parked', guard: { code: 'EMPTY_SIDE' }, counters: { applied: 0 } },
  ]);
  await link.wake('interval');
  await link.called('begin', 2);
  await link.handle.result();
  expect(namesOf(link).slice(4)).toEqual(['begin']);
});

it('does not lose a wake that arrives while it is ending', async () => {
  let sentAt = 0;
  const link: ScriptedLink = worker.link({
    // Steps on the queue, so that the ending is a workflow task of its own and nothing before it is redone.
    begin: async ({ tenant, linkId, trigger }) =>
      sentAt > 0
        ? PARKED_REFUSAL
        : { status: 'begun', pass: { ...tokenOf(tenant, linkId, trigger), isBaseline: true } },
    observe: async () => CHANGED,
    plan: async () => PARKED,
    settle: async () => {
      if (sentAt > 0) return {};
      await link.wake('asked for');
      sentAt = link.calls.length;
      return {};
    },
  });
  await link.wake('remote change');
  await vi.waitFor(
    () => expect(namesOf(link).slice(sentAt || Infinity)).toContain('begin'),
    WITHIN,
  );
});

it('settles a pass whose step failed as failed, with the code, and lives on', async () => {
  let isOut = true;
  const link = worker.link({
    observe: async () => {
      if (!isOut) return QUIET;
      throw new AppError('REMOTE_MALFORMED', 'line 3');
    },
  });
  await link.wake('interval');
  await link.called('settle', 1);
  expect(link.outcomes()).toMatchObject([
    { status: 'failed', error: { code: 'REMOTE_MALFORMED', detail: 'line 3' } },
  ]);
  isOut = false;
  await link.wake('interval');
  await link.called('settle', 2);
  expect(link.outcomes()[1]).toMatchObject({ status: 'settled', error: null });
});

it('leaves a run alone that another pass has taken over', async () => {
  const link = worker.link({
    observe: async () => {
      throw new AppError('FENCED', 'another pass');
    },
  });
  await link.wake('interval');
  await link.called('observe', 1);
  await link.wake('interval');
  await link.called('observe', 2);
  expect(namesOf(link)).not.toContain('settle');
});

it('makes a second pass at once when something moved under the first', async () => {
  const answers = [{ ...EXECUTED, applied: 1, stale: 1 }, EXECUTED];
  let looks = 0;
  const link = worker.link({
    observe: async () => {
      looks += 1;
      return looks > 2 ? QUIET : CHANGED;
    },
    execute: async (pass) => ({ ...answers.shift()!, fence: pass.fence }),
  });
  await link.wake('hub change');
  await link.called('settle', 2);
  expect(link.outcomes()).toMatchObject([
    { counters: { applied: 1, skipped: 1 } },
    { counters: { applied: 2, skipped: 0 } },
  ]);
  expect(triggersOf(link)).toEqual(['hub change', 'hub change']);
});

it('looks again by itself while items are in doubt', async () => {
  const doubts = [2, 0];
  const link = worker.link({ observe: async () => ({ ...QUIET, inDoubt: doubts.shift() ?? 0 }) });
  await link.wake('remote change');
  await link.called('settle', 2);
  expect(doubts).toEqual([]);
});

/** What an operator sees of the link in the list of workflows. */
async function attributesOf(link: ScriptedLink): Promise<Record<string, unknown>> {
  const { typedSearchAttributes } = await link.handle.describe();
  const pairs = typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value] as const);
  return Object.fromEntries(pairs);
}

async function upsertsOf(link: ScriptedLink): Promise<number> {
  const { events } = await link.handle.fetchHistory();
  return (events ?? []).filter((event) => event.upsertWorkflowSearchAttributesEventAttributes)
    .length;
}

describe('what operators see of a link', () => {
  it('is named by the link, not by its id', async () => {
    const link = worker.link();
    await link.wake('hub change');
    expect(await (await link.handle.describe()).staticSummary()).toBe(
      'default · scripted · hub change',
    );
  });

  it('has the conflicts that are open, not those of the last pass, after a quiet pass too', async () => {
    const open = [3, 3, 2];
    const link = worker.link({ settle: async () => ({ openConflicts: open.shift() ?? 2 }) });
    await link.wake('first');
    await vi.waitFor(async () => {
      const seen = await attributesOf(link);
      expect(seen).toMatchObject({ SyncPhase: 'settled', ConflictCount: 3 });
    }, WITHIN);
    await link.wake('second');
    await link.called('settle', 2);
    await link.wake('third');
    await vi.waitFor(async () => {
      expect(await attributesOf(link)).toMatchObject({ ConflictCount: 2 });
    }, WITHIN);
    // What has not changed is not written again: a quiet link costs the server nothing for it.
    expect(await upsertsOf(link)).toBe(2);
  });

  it('no longer says failed once a pass found nothing wrong', async () => {
    let isOut = true;
    const link = worker.link({
      observe: async () => {
        if (!isOut) return QUIET;
        throw new AppError('REMOTE_MALFORMED', 'line 3');
      },
      settle: async () => ({ openConflicts: 1 }),
    });
    await link.wake('interval');
    await vi.waitFor(async () => {
      const seen = await attributesOf(link);
      expect(seen).toMatchObject({ SyncPhase: 'failed', ConflictCount: 1 });
    }, WITHIN);
    isOut = false;
    await link.wake('interval');
    await vi.waitFor(async () => {
      expect(await attributesOf(link)).toMatchObject({ SyncPhase: 'settled' });
    }, WITHIN);
  });
});

it('executes a large plan on the queue, under the fence the execution ran with', async () => {
  const link = worker.link({
    observe: async () => CHANGED,
    plan: async () => ({ ...PLANNED, planned: 500 }),
    execute: async () => ({ ...EXECUTED, applied: 500, fence: '7' }),
  });
  await link.wake('hub change');
  await link.called('settle', 1);
  expect(link.calls.at(-1)).toMatchObject([
    'settle',
    { fence: '7' },
    { counters: { applied: 500 } },
  ]);
});

it('goes on as a new run when its history is long, and still answers wakes', async () => {
  const link = worker.link();
  await link.wake('first');
  await link.called('settle', 1);
  const { runId } = await link.handle.describe();
  await vi.waitFor(
    async () => {
      for (let nth = 0; nth < 10; nth += 1) await link.wake('many');
      expect((await link.handle.describe()).runId).not.toBe(runId);
    },
    { timeout: 60_000, interval: 1 },
  );
  expect((await link.handle.describe()).typedSearchAttributes.getAll().length).toBeGreaterThan(1);
  await vi.waitFor(async () => {
    const progress = await link.handle.query<SyncProgress>(PROGRESS_QUERY);
    expect(progress).toMatchObject({ phase: 'idle', pendingWakes: 0 });
  }, WITHIN);
  await link.wake('after');
  await vi.waitFor(() => expect(triggersOf(link)).toContain('after'), WITHIN);
}, 90_000);

it('goes on as a new run without a rejected task, though every pass is woken by its own echo', async () => {
  let isOver = false;
  const link = worker.link({
    observe: async () => {
      // What a remote's watcher tells of our own write arrives while the pass is under way.
      if (!isOver) await link.wake('echo');
      return QUIET;
    },
  });
  await link.wake('first');
  const { runId } = await link.handle.describe();
  try {
    await vi.waitFor(async () => expect((await link.handle.describe()).runId).not.toBe(runId), {
      timeout: 60_000,
      interval: 20,
    });
  } finally {
    isOver = true;
  }
  const before = worker.client.workflow.getHandle(link.handle.workflowId, runId);
  const { events } = await before.fetchHistory();
  const lost = (events ?? []).filter(
    (event) => event.workflowTaskFailedEventAttributes ?? event.workflowTaskTimedOutEventAttributes,
  );
  expect(lost).toEqual([]);
}, 90_000);

it('gets a few signals when it is woken many times at once, the last of them after the last wake', async () => {
  const link = worker.link();
  await Promise.all(Array.from({ length: 200 }, (_, nth) => link.wake(`wake ${nth}`)));
  await link.called('settle', 1);
  // A signal that comes during a workflow task is in the history once that task is done.
  await vi.waitFor(async () => {
    const { events } = await link.handle.fetchHistory();
    const signals = (events ?? []).filter(
      (event) => event.workflowExecutionSignaledEventAttributes,
    );
    expect(signals).toHaveLength(2);
  }, WITHIN);
});
