import { describe, expect, it } from 'vitest';
import type { Link } from '../../../domain/link.ts';
import { isSuspect, judgeLink, type WorkflowView } from '../../../main/doctor/judge-link.ts';
import { skewProblem } from '../../../main/doctor/check-servers.ts';
import { judgeOutbox } from '../../../main/doctor/check-queues.ts';
import type { LinkCondition } from '../../../store/contract.ts';
import { quietCondition, sampleLink } from '../../support/sample-link.ts';

const PULSE_MS = 5_000;
const HOUR = 3_600_000;
const NONE: WorkflowView = { status: 'none' };
const RUNNING: WorkflowView = { status: 'running', events: 40, bytes: 9_000, taskAttempts: 1 };

const LINK = sampleLink();
const QUIET = quietCondition(LINK);

function judged(
  change: Partial<Omit<LinkCondition, 'link'>> & { link?: Partial<Link> },
  workflow: WorkflowView | null = NONE,
): string[] {
  const condition = { ...QUIET, ...change, link: { ...LINK, ...change.link } };
  return judgeLink(condition, workflow, PULSE_MS).map(
    ({ code, repair }) => `${code} ${repair ?? 'needs you'}`,
  );
}

describe('a link without a workflow', () => {
  it('is well while nothing waits', () => {
    expect(judged({})).toEqual([]);
    expect(judged({ overdueMs: 29_000, requestedMs: 14_000, dirtyMs: 59_000 })).toEqual([]);
  });

  it('sleeps when it is overdue, when a run waits, when changes stay', () => {
    for (const work of [{ overdueMs: 31_000 }, { requestedMs: 16_000 }, { dirtyMs: 61_000 }]) {
      expect(judged(work)).toEqual(['LINK_ASLEEP wake']);
      expect(judged(work, RUNNING)).toEqual([]);
    }
  });

  it('is left alone while it counts as under way, rests, waits for a person, or backs off', () => {
    const overdue = { overdueMs: HOUR, dirtyMs: HOUR };
    expect(judged({ ...overdue, isLive: true })).toEqual([]);
    expect(judged({ ...overdue, isResting: true })).toEqual([]);
    expect(judged({ ...overdue, link: { trigger: 'manual' } })).toEqual([]);
    expect(judged({ ...overdue, link: { state: 'paused' } })).toEqual([]);
    expect(judged({ dirtyMs: HOUR, link: { state: 'failed' } })).toEqual([]);
    expect(judged({ overdueMs: HOUR, link: { state: 'failed' } })).toEqual(['LINK_ASLEEP wake']);
  });

  it('has lost the process of a run that never ended', () => {
    expect(judged({ openRuns: 1 })).toEqual(['RUN_STUCK wake']);
    expect(judged({ openRuns: 1, passAgeMs: 59_000 })).toEqual([]);
    expect(judged({ openRuns: 1, isLive: true })).toEqual([]);
  });

  it('has stale intents once the back-off of a failed link is over twice', () => {
    expect(judged({ openIntents: 3, passAgeMs: 599_000 })).toEqual([]);
    expect(judged({ openIntents: 3, passAgeMs: 601_000 })).toEqual(['INTENTS_OPEN wake']);
  });

  it('that would not look when woken needs a run to finish its intents', () => {
    const stale = { openIntents: 1, passAgeMs: HOUR };
    for (const link of [{ trigger: 'manual' }, { state: 'parked' }] as const)
      expect(judged({ ...stale, link })).toContain('INTENTS_OPEN needs you');
  });

  it('that was paused in the middle of writes waits for a person', () => {
    expect(judged({ openIntents: 1, link: { state: 'paused' } })).toEqual([
      'INTENTS_OPEN needs you',
    ]);
    expect(judged({ requestedMs: HOUR, link: { state: 'paused' } })).toEqual(['LINK_ASLEEP wake']);
  });
});

describe('a running workflow', () => {
  it('with an oversized history, or stuck in one task, is replaced', () => {
    expect(judged({}, { ...RUNNING, events: 10_000 })).toEqual([]);
    expect(judged({}, { ...RUNNING, events: 10_001 })).toEqual(['HISTORY_OVERSIZED replace']);
    expect(judged({}, { ...RUNNING, bytes: 9_000_000 })).toEqual(['HISTORY_OVERSIZED replace']);
    expect(judged({}, { ...RUNNING, taskAttempts: 5 })).toEqual(['WORKFLOW_STUCK replace']);
  });
});

describe('what needs a person', () => {
  it('is told with Temporal out, and never repaired', () => {
    const guard = { code: 'EMPTY_SIDE', reason: 'It is empty.', planId: 'p1' } as const;
    expect(judged({ guard, overdueConflicts: 2, link: { state: 'parked' } }, null)).toEqual([
      'LINK_PARKED needs you',
      'CONFLICTS_OVERDUE needs you',
    ]);
    expect(judged({ overdueMs: HOUR, openIntents: 1 }, null)).toEqual([]);
  });
});

describe('asking Temporal', () => {
  it('is done for links that are under way or that seem to sleep, not for quiet ones', () => {
    expect(isSuspect(QUIET, PULSE_MS)).toBe(false);
    expect(isSuspect({ ...QUIET, isLive: true }, PULSE_MS)).toBe(true);
    expect(isSuspect({ ...QUIET, passAgeMs: 1_000 }, PULSE_MS)).toBe(true);
    expect(isSuspect({ ...QUIET, overdueMs: HOUR }, PULSE_MS)).toBe(true);
  });
});

describe('clocks', () => {
  it('may be apart by five seconds', () => {
    expect(skewProblem('Postgres', 5_000)).toEqual([]);
    expect(skewProblem('Postgres', -5_001)[0]!.finding.explanation).toBe(
      'The clock of Postgres is 5 s behind that of this process.',
    );
    expect(skewProblem('Redis', 3_600_000)[0]!.finding.explanation).toContain('60 min ahead of');
  });
});

describe('the outbox', () => {
  const calm = { waiting: 0, oldestMs: 0, untakenMs: 0, maxAttempts: 0 };
  const told = (change: object, isTemporalUp = true): string[] =>
    judgeOutbox({ ...calm, ...change }, isTemporalUp).map(({ finding }) => finding.explanation);

  it('is well while its messages are taken', () => {
    expect(told({})).toEqual([]);
    expect(told({ waiting: 500, oldestMs: 9_000, untakenMs: 9_000 })).toEqual([]);
  });

  it('has no relay when nobody takes them', () => {
    expect(told({ waiting: 3, oldestMs: 30_000, untakenMs: 30_000 })).toEqual([
      '3 message(s) wait in the outbox, the oldest for 30 s, and no relay takes them: changes are seen only at the next pulse.',
    ]);
  });

  it('cannot be sent when they are taken again and again, unless Temporal is out', () => {
    const failing = { waiting: 1, oldestMs: 90_000, untakenMs: 0, maxAttempts: 3 };
    expect(told(failing)[0]).toContain('takes them and cannot send them');
    expect(told(failing, false)).toEqual([]);
  });
});
