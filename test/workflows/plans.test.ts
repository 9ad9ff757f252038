/** Dry runs, approved plans and undo as the workflow conducts them. */
import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Begun, PassToken } from '../../activities/contract.ts';
import type { LinkRef } from '../../store/contract.ts';
import {
  CHANGED,
  EXECUTED,
  PARKED,
  PLANNED,
  QUIET,
  startScriptedWorker,
  tokenOf,
  type ScriptedWorker,
} from './scripted-worker.ts';

let worker: ScriptedWorker;
beforeAll(async () => {
  worker = await startScriptedWorker();
}, 120_000);
afterAll(() => worker.close());

/** Begins one pass of a kind, then ordinary ones. */
function firstOf(first: Partial<PassToken>) {
  let isFirst = true;
  return async (link: LinkRef & { trigger: string }): Promise<Begun> => {
    const token = tokenOf(link.tenant, link.linkId, link.trigger);
    const pass = isFirst ? { ...token, ...first } : token;
    isFirst = false;
    return { status: 'begun', pass };
  };
}

describe('a dry run', () => {
  it('looks until nothing is in doubt, writes nothing, and is not followed by a run', async () => {
    let inDoubt = 2;
    const link = worker.link({
      begin: firstOf({ mode: 'plan', isRequested: true, isBaseline: true }),
      observe: async () => ({ ...CHANGED, inDoubt: (inDoubt -= 1) }),
      plan: async () => PARKED,
    });
    await link.wake('dry run');
    await link.called('settle', 1);
    expect(link.outcomes()).toMatchObject([{ status: 'planned', guard: PARKED.guard }]);
    expect(link.calls.map(([name]) => name)).toEqual([
      'begin',
      'observe',
      'observe',
      'plan',
      'settle',
    ]);
  });

  it('lets another run that waits have its turn at once', async () => {
    const link = worker.link({
      begin: firstOf({ mode: 'plan', isRequested: true, othersWait: true }),
      observe: async () => QUIET,
    });
    await link.wake('dry run');
    await link.called('settle', 2);
    expect(link.outcomes().map(({ status }) => status)).toEqual(['planned', 'settled']);
  });
});

describe('an approved plan', () => {
  it('is carried out after a look, plans nothing, and a pass follows for the rest', async () => {
    let looks = 0;
    const link = worker.link({
      begin: firstOf({ mode: 'approved' }),
      observe: async () => ((looks += 1) === 1 ? CHANGED : QUIET),
      execute: async (pass) => ({ ...EXECUTED, applied: 2, fence: pass.fence }),
    });
    await link.wake('approved');
    await link.called('settle', 2);
    expect(link.calls.map(([name]) => name)).toEqual([
      'begin',
      'observe',
      'execute',
      'settle',
      'begin',
      'observe',
      'settle',
    ]);
  });

  it('is not carried out when the look fails', async () => {
    const link = worker.link({
      begin: firstOf({ mode: 'approved' }),
      observe: async () => {
        throw ApplicationFailure.create({ type: 'CONNECTOR_UNREACHABLE', nonRetryable: true });
      },
    });
    await link.wake('approved');
    await link.called('settle', 1);
    expect(link.outcomes()).toMatchObject([
      { status: 'failed', error: { code: 'CONNECTOR_UNREACHABLE' } },
    ]);
    expect(link.calls.map(([name]) => name)).toEqual(['begin', 'observe', 'settle']);
  });
});

describe('an undo', () => {
  it('observes nothing, and goes to the queue where it is large', async () => {
    const link = worker.link({
      begin: firstOf({ mode: 'undo', isRequested: true }),
      plan: async () => ({ ...PLANNED, planned: 500, skipped: 3 }),
      execute: async (pass) => ({ ...EXECUTED, applied: 500, fence: pass.fence }),
    });
    await link.wake('undo');
    await link.called('settle', 1);
    expect(link.calls.slice(0, 4).map(([name]) => name)).toEqual([
      'begin',
      'plan',
      'execute',
      'settle',
    ]);
    expect(link.outcomes()[0]).toMatchObject({
      status: 'settled',
      counters: { planned: 500, applied: 500, skipped: 3 },
    });
  });
});

describe('a link that runs only when asked', () => {
  const begins = (calls: readonly (readonly unknown[])[]): unknown[] =>
    calls.filter(([name]) => name === 'begin').map(([, given]) => given);

  it.each(['approved', 'undo'] as const)(
    'carries out what was asked (%s) and nothing after it, whatever the look found',
    async (mode) => {
      const link = worker.link({
        begin: firstOf({ mode, isManual: true }),
        observe: async () => ({ ...CHANGED, heldBack: true }),
        execute: async (pass) => ({ ...EXECUTED, stale: 1, fence: pass.fence }),
      });
      await link.wake('approve');
      await link.called('settle', 1);
      // The next wake is answered by the next pass: nothing ran in between.
      await link.wake('asked');
      await link.called('settle', 2);
      expect(begins(link.calls)).toMatchObject([{ trigger: 'approve' }, { trigger: 'asked' }]);
      expect(begins(link.calls)[1]).not.toHaveProperty('follows');
    },
  );

  it('goes on by itself with what its run has left, and says that it does', async () => {
    const stale = [1, 0];
    const link = worker.link({
      begin: firstOf({ isManual: true, isRequested: true }),
      observe: async () => CHANGED,
      execute: async (pass) => ({ ...EXECUTED, stale: stale.shift() ?? 0, fence: pass.fence }),
    });
    await link.wake('run');
    await link.called('settle', 2);
    expect(begins(link.calls)).toMatchObject([{ trigger: 'run' }, { follows: true }]);
  });

  it('ends at a wake that nobody asked for', async () => {
    const link = worker.link({ begin: async () => ({ status: 'refused', why: 'manual' }) });
    await link.wake('hub change');
    await link.handle.result();
    expect(link.calls.map(([name]) => name)).toEqual(['begin']);
  });
});
