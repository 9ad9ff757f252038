/**
 * The order of one pass: look, plan, execute, settle. It is conducted twice: inside one activity
 * while the pass is small, by the workflow with an activity per step when it is not. So nothing
 * here does I/O, and nothing here may differ from one replay to the next.
 */
import type {
  Executed,
  Observed,
  PassFault,
  PassOutcome,
  PassToken,
  Planned,
  SettledPass,
} from './contract.ts';

/** What a pass has found out and done so far. */
export interface PassParts {
  readonly observed: Observed | null;
  readonly planned: Planned | null;
  readonly executed: Executed | null;
}

export const NOTHING_YET: PassParts = { observed: null, planned: null, executed: null };

/** A grade-C item missing from one scan is looked for again this much later (03-sync). */
export const LOOK_AGAIN_MS = 400;
/** A remote that never stops moving must not keep a run from ending. */
const MAX_LOOKS = 4;

export interface Conductor {
  observe(pass: PassToken): Promise<Observed>;
  plan(pass: PassToken): Promise<Planned>;
  /** `writes`: ops to execute; Infinity where nobody has counted (an approved plan). */
  execute(pass: PassToken, writes: number): Promise<Executed>;
  settle(pass: PassToken, outcome: PassOutcome): Promise<SettledPass | undefined>;
  /** Waits before looking again, within a pass that somebody waits for. */
  pause(ms: number): Promise<void>;
  /** Told of each phase as it begins. */
  enter(phase: string): void;
  /** What a step threw, as the run records it; null: not the run's to record, thrown on. */
  faultOf(error: unknown): PassFault | null;
  /** Whether so many writes are to be done here and now; if not, the pass is handed over. */
  mayExecute(writes: number): boolean;
}

export type PassEnd =
  | ({
      readonly status: 'done';
      readonly outcome: PassOutcome;
      readonly parts: PassParts;
    } & SettledPass)
  | { readonly status: 'handed-over'; readonly parts: PassParts };

interface Course {
  pass: PassToken;
  parts: PassParts;
  readonly marks: { phase: string; at: number }[];
}

/** Takes a begun pass to its end, from what is known of it so far. @throws what `faultOf` will not have */
export async function runPass(
  conductor: Conductor,
  pass: PassToken,
  known: PassParts = NOTHING_YET,
): Promise<PassEnd> {
  const course: Course = { pass, parts: known, marks: [] };
  try {
    if (!(await lookAndAct(conductor, course)))
      return { status: 'handed-over', parts: course.parts };
    enter(conductor, course, 'settle');
    const outcome = outcomeOf(course, null);
    const settled = await conductor.settle(course.pass, outcome);
    return { status: 'done', outcome, parts: course.parts, ...settled };
  } catch (error) {
    const fault = conductor.faultOf(error);
    if (!fault) throw error;
    return recordFailure(conductor, course, fault);
  }
}

/** Answers false where the pass is to be handed over. */
async function lookAndAct(conductor: Conductor, course: Course): Promise<boolean> {
  if (course.pass.mode === 'undo') await planOnce(conductor, course);
  // A plan may be days old when it is approved: only a fresh look shows which of its ops still hold.
  // What else the look finds is planned by the next pass.
  else if (course.pass.mode === 'approved') await lookOnce(conductor, course);
  else await look(conductor, course);
  const { planned, executed } = course.parts;
  // A dry run ends where the writes would begin.
  if (course.pass.mode === 'plan') return true;
  const writes = course.pass.mode === 'approved' ? Infinity : (planned?.planned ?? 0);
  if (writes === 0 || planned?.guard || executed) return true;
  if (!conductor.mayExecute(writes)) return false;
  enter(conductor, course, 'execute');
  const done = await conductor.execute(course.pass, writes);
  course.parts = { ...course.parts, executed: done };
  course.pass = { ...course.pass, fence: done.fence };
  return true;
}

async function lookOnce(conductor: Conductor, course: Course): Promise<void> {
  if (course.parts.observed) return;
  enter(conductor, course, 'observe');
  course.parts = { ...course.parts, observed: await observe(conductor, course.pass) };
}

async function look(conductor: Conductor, course: Course): Promise<void> {
  await lookOnce(conductor, course);
  if (course.parts.observed?.hasWork) await planOnce(conductor, course);
}

/**
 * Who asked for a run, dry or not, is told how it ended: it looks until nothing is in doubt, because
 * a delete that only a second scan proves may park it. Passes that nobody waits for follow each other
 * instead.
 */
async function observe(conductor: Conductor, pass: PassToken): Promise<Observed> {
  const isAwaited = pass.mode === 'plan' || pass.isRequested;
  let seen = await conductor.observe(pass);
  for (let nth = 1; isAwaited && seen.inDoubt > 0 && nth < MAX_LOOKS; nth += 1) {
    await conductor.pause(LOOK_AGAIN_MS);
    const again = await conductor.observe(pass);
    seen = {
      ...again,
      changedHub: seen.changedHub + again.changedHub,
      changedRemote: seen.changedRemote + again.changedRemote,
      echo: seen.echo + again.echo,
      recovered: seen.recovered + again.recovered,
      quarantined: (seen.quarantined ?? 0) + (again.quarantined ?? 0),
    };
  }
  return seen;
}

async function planOnce(conductor: Conductor, course: Course): Promise<void> {
  if (course.parts.planned) return;
  enter(conductor, course, 'plan');
  course.parts = { ...course.parts, planned: await conductor.plan(course.pass) };
}

function enter(conductor: Conductor, course: Course, phase: string): void {
  conductor.enter(phase);
  course.marks.push({ phase, at: Date.now() });
}

async function recordFailure(
  conductor: Conductor,
  course: Course,
  error: PassFault,
): Promise<PassEnd> {
  const outcome = outcomeOf(course, error);
  const end = { status: 'done', outcome, parts: course.parts } as const;
  // Whoever took over the link closes the run; we have lost the right to.
  if (error.code === 'FENCED') return end;
  try {
    return { ...end, ...(await conductor.settle(course.pass, outcome)) };
  } catch (settleError) {
    if (conductor.faultOf(settleError)?.code !== 'FENCED') throw settleError;
  }
  return end;
}

function outcomeOf({ pass, parts, marks }: Course, error: PassOutcome['error']): PassOutcome {
  const { observed, planned, executed } = parts;
  const guard = error ? null : (planned?.guard ?? null);
  return {
    status: statusOf(pass, { guard, error }),
    counters: {
      observed: observed?.observed ?? 0,
      changedHub: observed?.changedHub ?? 0,
      changedRemote: observed?.changedRemote ?? 0,
      planned: planned?.planned ?? carriedOut(executed),
      applied: executed?.applied ?? 0,
      echo: observed?.echo ?? 0,
      merged: planned?.merged ?? 0,
      conflicts: planned?.conflicts ?? 0,
      quarantined:
        (observed?.quarantined ?? 0) + (planned?.quarantined ?? 0) + (executed?.failed ?? 0),
      deletedHub: executed?.deletedHub ?? 0,
      deletedRemote: executed?.deletedRemote ?? 0,
      skipped: (planned?.skipped ?? 0) + (executed?.stale ?? 0),
    },
    phases: phasesOf(marks),
    guard,
    error,
  };
}

/** An approved plan was made by another pass: what it came to is what there was of it. */
function carriedOut(executed: Executed | null): number {
  return executed ? executed.applied + executed.stale + executed.failed : 0;
}

function statusOf(
  pass: PassToken,
  { guard, error }: Pick<PassOutcome, 'guard' | 'error'>,
): PassOutcome['status'] {
  if (error) return 'failed';
  if (pass.mode === 'plan') return 'planned';
  return guard ? 'parked' : 'settled';
}

function phasesOf(marks: readonly { phase: string; at: number }[]): Record<string, number> {
  const ends = [...marks.slice(1).map((mark) => mark.at), Date.now()];
  return Object.fromEntries(marks.map((mark, nth) => [mark.phase, ends[nth]! - mark.at]));
}
