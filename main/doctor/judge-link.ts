/** What Postgres and Temporal together tell of one link. Pure: facts in, sentences out. */
import type { DoctorFinding } from '../../api/contract.ts';
import type { LinkCondition } from '../../store/contract.ts';
import { span } from './problem.ts';

/** A link's workflow, as Temporal describes it. */
export type WorkflowView =
  | { readonly status: 'none' }
  | {
      readonly status: 'running';
      readonly events: number;
      readonly bytes: number;
      /** Attempts at its present workflow task; 0: none is open. */
      readonly taskAttempts: number;
    };

export interface LinkFault extends Pick<DoctorFinding, 'code' | 'explanation' | 'advice'> {
  /** `wake`: make it look. `replace`: end its workflow, then wake. */
  readonly repair: 'wake' | 'replace' | null;
}

/** Longest a link may be due without anybody looking, ms; three pulses if that is longer. */
export const OVERDUE_MS = 30_000;
/** Longest a run that was asked for may wait for its beginning, ms. */
export const REQUEST_WAIT_MS = 15_000;
/** A pass that began longer ago, with no workflow, is over whatever its row says, ms. */
export const PASS_GONE_MS = 60_000;
/** A failed link comes back within five minutes and finishes its intents; twice that is too long. */
export const INTENTS_STALE_MS = 600_000;
/** The workflow starts a new history after 1,000 events; Temporal ends one at 51,200 or 50 MB. */
export const MAX_EVENTS = 10_000;
export const MAX_BYTES = 8 * 1024 * 1024;
/** A workflow task that failed so often will fail again. */
export const MAX_TASK_ATTEMPTS = 5;

const WAKE_ADVICE = 'Let `--fix` wake it, or start a run yourself with `syncline sync run <link>`.';
const REPLACE_ADVICE =
  'Let `--fix` end that workflow and start a new one: it keeps no truth, Postgres does, so nothing is lost.';

/** What is wrong with a link; `workflow` null: Temporal could not be asked. */
export function judgeLink(
  condition: LinkCondition,
  workflow: WorkflowView | null,
  pulseMs: number,
): readonly LinkFault[] {
  const stuck =
    workflow?.status === 'running'
      ? judgeWorkflow(condition, workflow)
      : workflow
        ? judgeAsleep(condition, pulseMs)
        : null;
  return [stuck, judgeParked(condition), judgeConflicts(condition)].filter(
    (fault) => fault !== null,
  );
}

/** Whether a link gives reason to ask Temporal about its workflow. */
export function isSuspect(condition: LinkCondition, pulseMs: number): boolean {
  const { isLive, passAgeMs } = condition;
  return isLive || passAgeMs < PASS_GONE_MS || judgeAsleep(condition, pulseMs) !== null;
}

function judgeWorkflow(
  { link }: LinkCondition,
  { events, bytes, taskAttempts }: Extract<WorkflowView, { status: 'running' }>,
): LinkFault | null {
  if (events > MAX_EVENTS || bytes > MAX_BYTES) {
    const size = `${events} events, ${Math.round(bytes / 1024)} KiB`;
    return {
      code: 'HISTORY_OVERSIZED',
      explanation: `The history of \`${link.name}\`'s workflow is too long (${size}); Temporal ends it at 51,200 events or 50 MiB, and each replay takes longer.`,
      advice: REPLACE_ADVICE,
      repair: 'replace',
    };
  }
  if (taskAttempts < MAX_TASK_ATTEMPTS) return null;
  return {
    code: 'WORKFLOW_STUCK',
    explanation: `The workflow of \`${link.name}\` has failed at the same step ${taskAttempts} times, as it does when its code has changed under it.`,
    advice: REPLACE_ADVICE,
    repair: 'replace',
  };
}

/** There is no workflow: is there work for one? */
function judgeAsleep(condition: LinkCondition, pulseMs: number): LinkFault | null {
  const { link, passAgeMs, isLive, openRuns, openIntents } = condition;
  const isOver = passAgeMs > PASS_GONE_MS && !isLive;
  if (link.state === 'paused') return judgePaused(condition);
  if (openRuns > 0 && isOver) {
    return wake(
      'RUN_STUCK',
      `A run of \`${link.name}\` is recorded as running since ${span(passAgeMs)}, and nothing runs it: the process that did was lost.`,
      'Let `--fix` wake the link: the next pass takes the run up where it broke off.',
    );
  }
  if (openIntents > 0 && passAgeMs > INTENTS_STALE_MS && !isLive) {
    return judgeIntents(condition);
  }
  const why = pendingWork(condition, pulseMs);
  if (!why) return null;
  return wake('LINK_ASLEEP', `\`${link.name}\` ${why}, and no workflow runs for it.`, WAKE_ADVICE);
}

/** A link that is parked or runs only when asked would not look however often it is woken. */
function judgeIntents({ link, openIntents, passAgeMs }: LinkCondition): LinkFault {
  const needsRun = link.trigger === 'manual' || link.state === 'parked';
  return {
    code: 'INTENTS_OPEN',
    explanation: `\`${link.name}\` has ${openIntents} write(s) whose outcome nobody recorded, since ${span(passAgeMs)}.`,
    advice: `${needsRun ? `Start a run (\`syncline sync run ${link.name}\`)` : 'Let `--fix` wake the link'}: the next pass asks the remote what became of them before it does anything else.`,
    repair: needsRun ? null : 'wake',
  };
}

/** Why somebody should be at work; null: nobody has to. */
function pendingWork(condition: LinkCondition, pulseMs: number): string | null {
  const { link, requestedMs, overdueMs, dirtyMs, isLive, isResting } = condition;
  if (requestedMs !== null && requestedMs > REQUEST_WAIT_MS)
    return `was asked for a run ${span(requestedMs)} ago`;
  if (link.trigger === 'manual' || isResting || isLive) return null;
  if (link.state !== 'active' && link.state !== 'failed') return null;
  const patienceMs = Math.max(OVERDUE_MS, 3 * pulseMs);
  if (overdueMs > patienceMs) return `should have been looked at ${span(overdueMs)} ago`;
  // A failed link rests on purpose; its changes wait with it.
  if (link.state === 'active' && dirtyMs !== null && dirtyMs > 2 * patienceMs)
    return `has had changes to settle for ${span(dirtyMs)}`;
  return null;
}

/** A paused link takes up what was asked of it all the same; only its intents wait for a person. */
function judgePaused({ link, openIntents, requestedMs }: LinkCondition): LinkFault | null {
  if (requestedMs !== null && requestedMs > REQUEST_WAIT_MS) {
    const why = `was asked for a plan or undo ${span(requestedMs)} ago`;
    return wake(
      'LINK_ASLEEP',
      `\`${link.name}\` ${why}, and no workflow runs for it.`,
      WAKE_ADVICE,
    );
  }
  if (openIntents === 0) return null;
  return {
    code: 'INTENTS_OPEN',
    explanation: `\`${link.name}\` was paused with ${openIntents} write(s) whose outcome nobody recorded.`,
    advice: `Resume it (\`syncline link resume ${link.name}\`): its first pass finds out what became of them.`,
    repair: null,
  };
}

function judgeParked({ link, guard }: LinkCondition): LinkFault | null {
  if (link.state !== 'parked') return null;
  const plan = guard?.planId;
  return {
    code: 'LINK_PARKED',
    explanation: `\`${link.name}\` is parked by ${guard?.code ?? 'a guard'}: ${guard?.reason ?? 'no reason was kept.'}`,
    advice: plan
      ? `See \`syncline sync show ${plan}\`; if it is right \`syncline sync approve ${plan}\`, else mend the cause and \`syncline sync run ${link.name}\`.`
      : `Mend the cause and \`syncline sync run ${link.name}\`.`,
    repair: null,
  };
}

function judgeConflicts({ link, overdueConflicts }: LinkCondition): LinkFault | null {
  if (overdueConflicts === 0) return null;
  return {
    code: 'CONFLICTS_OVERDUE',
    explanation: `\`${link.name}\` has ${overdueConflicts} open conflict(s) whose time is over.`,
    advice: 'Decide them: `syncline conflicts list`, `syncline conflicts resolve <id> --choice …`.',
    repair: null,
  };
}

function wake(code: LinkFault['code'], explanation: string, advice: string): LinkFault {
  return { code, explanation, advice, repair: 'wake' };
}
