import { WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ConflictDecision } from '../../activities/contract.ts';
import { waitUntil } from '../../dev/wait-until.ts';
import type { LinkId } from '../../domain/ids.ts';
import { historyJson } from '../support/temporal-history.ts';
import {
  OPEN,
  startConflictWorker,
  type ConflictWorker,
  type ScriptedConflict,
} from './conflict-worker.ts';

let worker: ConflictWorker;
beforeAll(async () => {
  worker = await startConflictWorker();
}, 90_000);
afterAll(() => worker.close());

async function refusal(work: Promise<unknown>): Promise<ApplicationFailure> {
  const thrown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  if (thrown instanceof WorkflowUpdateFailedError && thrown.cause instanceof ApplicationFailure) {
    return thrown.cause;
  }
  throw new Error(`not refused: ${String(thrown)}`);
}

const SOON = { dueAt: '2026-11-21T00:00:00.000Z', dueInMs: 300, fallback: 'latest' };

describe('a conflict’s workflow', () => {
  it('waits while the conflict is open, and ends when it hears that it is over', async () => {
    const { watcher, conflict } = worker;
    const one = conflict();
    await watcher.opened(one.ref);
    await one.called('lookAtConflict', 1);
    expect((await one.handle.describe()).status.name).toBe('RUNNING');
    one.now({ status: 'closed' });
    await watcher.ended(one.ref);
    await one.handle.result();
    expect(one.calls).not.toContain('applyFallback');
  });

  it('says whose conflict it is from its start, or from its first look', async () => {
    const linkIdOf = async ({ handle }: ScriptedConflict): Promise<unknown> => {
      const { typedSearchAttributes } = await handle.describe();
      return typedSearchAttributes.getAll().find(({ key }) => key.name === 'LinkId')?.value;
    };
    const linkId = 'link-1' as LinkId;
    const [told, looked] = [worker.conflict(), worker.conflict({ linkId })];
    await worker.watcher.ensure({ ...told.ref, linkId });
    expect(await linkIdOf(told)).toBe(linkId);
    await worker.watcher.opened(looked.ref);
    await looked.called('lookAtConflict', 1);
    await vi.waitFor(async () => expect(await linkIdOf(looked)).toBe(linkId), {
      timeout: 20_000,
      interval: 10,
    });
  });

  it('lets the fallback decide when the conflict is due, and ends', async () => {
    const one = worker.conflict(SOON, {});
    const start = worker.watcher.opened(one.ref);
    await start;
    await one.called('lookAtConflict', 1);
    one.now({ dueInMs: 0 });
    await one.handle.result();
    expect(one.calls.at(-2)).toBe('applyFallback');
    expect(one.calls.filter((name) => name === 'applyFallback')).toHaveLength(1);
  });

  it('tries the fallback again while no pass has looked at what moved', async () => {
    let tries = 0;
    const one = worker.conflict(
      { ...SOON, dueInMs: 0 },
      { applyFallback: async () => ({ status: (tries += 1) < 2 ? 'moved' : 'ended' }) },
    );
    await worker.watcher.opened(one.ref);
    await one.handle.result();
    expect(tries).toBe(2);
  });

  it('decides nothing by itself while the link is paused, and looks when told', async () => {
    const one = worker.conflict({ ...SOON, dueInMs: 0, isHeld: true });
    await worker.watcher.opened(one.ref);
    await one.called('lookAtConflict', 1);
    one.now({ isHeld: false });
    await worker.watcher.opened(one.ref);
    await one.handle.result();
    expect(one.calls).toContain('applyFallback');
  });

  it('takes a decision as an update, passes choice and hash on, and ends', async () => {
    const one = worker.conflict();
    await worker.watcher.opened(one.ref);
    const decision: ConflictDecision = {
      choice: 'value',
      valueHash: 'a'.repeat(64),
      by: 'ann',
      ifRevision: 1,
    };
    expect(await one.update(decision)).toMatchObject({ status: 'resolved' });
    expect(one.decisions).toEqual([decision]);
    await one.handle.result();
  });

  it('refuses a bad decision before it enters the history', async () => {
    const one = worker.conflict();
    await worker.watcher.opened(one.ref);
    await one.called('lookAtConflict', 1);
    const bad: unknown[] = [
      null,
      'hub',
      {},
      { choice: 'theirs' },
      { choice: 'hub', value: { secret: 'SECRET' } },
      { choice: 'hub', valueHash: 'a'.repeat(64) },
      { choice: 'value' },
      { choice: 'value', valueHash: 'SECRET' },
      { choice: 'hub', by: '' },
      { choice: 'hub', by: 'x'.repeat(257) },
      { choice: 'hub', by: 5 },
      { choice: 'hub', ifRevision: 'one' },
    ];
    for (const decision of bad) {
      expect([decision, (await refusal(one.update(decision))).type]).toEqual([
        decision,
        'VALIDATION',
      ]);
    }
    const history = await one.handle.fetchHistory();
    const events = history.events ?? [];
    expect(events.filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes)).toEqual(
      [],
    );
    expect(historyJson(history)).not.toContain('SECRET');
    expect(one.decisions).toEqual([]);
  });

  it('hands the store’s refusal to whoever decided, and stays', async () => {
    const one = worker.conflict(
      {},
      {
        resolveConflict: async () => {
          throw ApplicationFailure.create({
            type: 'CONFLICT_MOVED',
            message: 'the hub has changed since',
            nonRetryable: true,
          });
        },
      },
    );
    await worker.watcher.opened(one.ref);
    const { type, message } = await refusal(one.update({ choice: 'hub' }));
    expect([type, message]).toEqual(['CONFLICT_MOVED', 'the hub has changed since']);
    expect((await one.handle.describe()).status.name).toBe('RUNNING');
  });

  it('can be read in the Temporal UI: summary, details and search attributes, no content', async () => {
    const one = worker.conflict({ ...SOON, dueInMs: 3_600_000 });
    await worker.watcher.opened(one.ref);
    await one.called('lookAtConflict', 1);
    const details = async (): Promise<string | null> => {
      const metadata = await one.handle.query<{ currentDetails?: string }>(
        '__temporal_workflow_metadata',
      );
      return metadata.currentDetails || null;
    };
    const told = await waitUntil(details, { timeoutMs: 10_000, everyMs: 50 });
    expect(told).toContain('edit/edit');
    expect(told).toContain('`latest` decides');
    const { typedSearchAttributes } = await one.handle.describe();
    const shown = typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value]);
    expect(shown).toEqual(
      expect.arrayContaining([
        ['TenantId', 'default'],
        ['SyncPhase', 'open'],
      ]),
    );
  });
});

describe('the watcher', () => {
  it('starts a missing workflow, and leaves one alone that is there', async () => {
    const one = worker.conflict();
    await worker.watcher.ensure(one.ref);
    await one.called('lookAtConflict', 1);
    await worker.watcher.ensure(one.ref);
    expect(one.calls).toEqual(['lookAtConflict']);
  });

  it('has nothing to say to a workflow that is not there', async () => {
    await worker.watcher.ended(worker.conflict(OPEN).ref);
  });
});
