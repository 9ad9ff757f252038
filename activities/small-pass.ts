/**
 * A whole pass inside one activity, while it is small: each activity more costs about 20 ms on the
 * embedded server (03-sync, Temporal), which is most of what a single edit takes. A pass that turns
 * out large is handed over to the workflow, with what is known of it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { faultOf, isOut } from './as-failure.ts';
import type {
  Begun,
  PassOutcome,
  PassRequest,
  PassToken,
  SettledPass,
  SmallPass,
  SyncActivities,
} from './contract.ts';
import type { StepLife } from './create-activities.ts';
import { NOTHING_YET, runPass, type Conductor } from './run-pass.ts';

export interface SmallPassLimits {
  /** Most writes that are done here. */
  readonly maxWrites: number;
  /** How long looking and planning may take, ms. */
  readonly budgetMs: number;
}

export const SMALL: SmallPassLimits = { maxWrites: 25, budgetMs: 20_000 };

/** The steps a pass is made of, as activities have them. */
export interface PassSteps {
  begin(link: PassRequest): Promise<Begun>;
  observe(pass: PassToken, life: StepLife): ReturnType<SyncActivities['observe']>;
  plan(pass: PassToken, life: StepLife): ReturnType<SyncActivities['plan']>;
  execute(pass: PassToken, life: StepLife): ReturnType<SyncActivities['execute']>;
  settle(pass: PassToken, outcome: PassOutcome): Promise<SettledPass>;
}

export interface SmallPassOptions {
  readonly life: StepLife;
  readonly limits?: SmallPassLimits;
  /** How a pass waits between two looks; by the clock unless told. */
  readonly pause?: (ms: number) => Promise<void>;
}

/** Begins a pass and takes it to its end, or as far as its limits allow. @throws AppError UNAVAILABLE */
export async function runSmallPass(
  steps: PassSteps,
  link: PassRequest,
  { life, limits = SMALL, pause }: SmallPassOptions,
): Promise<SmallPass> {
  const begun = await steps.begin(link);
  if (begun.status === 'refused') return begun;
  const { pass } = begun;
  // A first look, an audit and an approved plan may be of any size.
  if (
    limits.maxWrites < Infinity &&
    (pass.isBaseline || pass.mode === 'approved' || pass.mode === 'audit')
  ) {
    return { status: 'handed-over', pass, parts: NOTHING_YET };
  }
  const budget = AbortSignal.timeout(limits.budgetMs);
  try {
    const end = await runPass(conductorOf(steps, life, { limits, budget, pause }), pass);
    return { ...end, pass };
  } catch (error) {
    if (!budget.aborted || life.signal.aborted) throw error;
    return { status: 'handed-over', pass, parts: NOTHING_YET };
  }
}

function conductorOf(
  steps: PassSteps,
  life: StepLife,
  {
    limits,
    budget,
    pause,
  }: {
    limits: SmallPassLimits;
    budget: AbortSignal;
    pause: SmallPassOptions['pause'] | undefined;
  },
): Conductor {
  const brief = { ...life, signal: AbortSignal.any([life.signal, budget]) };
  return {
    observe: (pass) => steps.observe(pass, brief),
    plan: (pass) => steps.plan(pass, brief),
    execute: (pass) => steps.execute(pass, life),
    settle: (pass, outcome) => steps.settle(pass, outcome),
    pause: pause ?? ((ms) => delay(ms, undefined, { signal: brief.signal })),
    enter: () => undefined,
    mayExecute: (writes) => writes <= limits.maxWrites && !budget.aborted,
    faultOf(error) {
      if (budget.aborted || life.signal.aborted) return null;
      const fault = faultOf(error);
      // Ours that is out is waited for: the whole pass is tried again.
      return isOut(fault.code) ? null : fault;
    },
  };
}
