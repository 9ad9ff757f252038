/** `syncline sync …`: runs, plans and undo. */
import type { Command } from 'commander';
import type { Run, RunOp } from '../../client/index.ts';
import { addCommand, addGroup, type CommandContext, type CommandRunner } from '../cli-context.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { safeText, type Output } from '../output.ts';
import { integerOption, secondsOption } from '../read-value.ts';
import { printGuard } from './link-rows.ts';
import { printOpDiffs, printOps, printPlan } from './plan-rows.ts';
import { runSummary, statusCell } from './run-summary.ts';
import { addWait } from './sync-wait.ts';

/** Adds the group. */
export function addSync(program: Command, runner: CommandRunner): void {
  const group = addGroup(program, {
    usage: 'sync',
    summary: 'runs of a link',
    example: 'syncline sync run project --wait',
  });
  addRun(group, runner);
  addAudit(group, runner);
  addPlan(group, runner);
  addApprove(group, runner);
  addUndo(group, runner);
  addRuns(group, runner);
  addShow(group, runner);
  addWait(group, runner);
}

interface WaitOptions {
  readonly wait?: boolean;
  readonly timeout?: number;
}

function withWait(command: Command): Command {
  return command
    .option('--wait', 'wait until the run settles; exits 3 when parked, 4 with open conflicts')
    .option(
      '--timeout <time>',
      'stop waiting after so long, in seconds or like 90s, 5m (600)',
      secondsOption(1),
    );
}

function addRun(group: Command, runner: CommandRunner): void {
  const command = withWait(
    addCommand(group, {
      usage: 'run <link>',
      summary: 'start a run, or join one that waits',
      example: 'syncline sync run project --wait',
    }).option('--reason <text>', 'kept with the run'),
  );
  command.action((link: string) =>
    runner.run(command, async (context) => {
      const options = command.opts<WaitOptions & { readonly reason?: string }>();
      const started = await context.client.runs.start(link, options.reason);
      if (options.wait) return waitAndReport(context, started.runId, options);
      context.out.show(started, () => {
        context.out.line(`Run ${started.runId} is on its way.`);
        context.out.line(`See it: syncline sync show ${started.runId}`);
        if (started.temporalUrl !== null) context.out.line(`Temporal: ${started.temporalUrl}`);
      });
      return EXIT.done;
    }),
  );
}

function addAudit(group: Command, runner: CommandRunner): void {
  const command = withWait(
    addCommand(group, {
      usage: 'audit <link>',
      summary: 'read both sides anew, compare them, and bring together what differs',
      example: 'syncline sync audit project --wait',
    }),
  );
  command.action((link: string) =>
    runner.run(command, async (context) => {
      const options = command.opts<WaitOptions>();
      const started = await context.client.runs.audit(link);
      if (options.wait) return waitAndReport(context, started.runId, options);
      context.out.show(started, () => {
        context.out.line(`Audit ${started.runId} is on its way.`);
        context.out.line(`See what it proves: syncline link show ${link}`);
      });
      return EXIT.done;
    }),
  );
}

function addApprove(group: Command, runner: CommandRunner): void {
  const command = withWait(
    addCommand(group, {
      usage: 'approve <plan>',
      summary: 'execute exactly the plan of a dry or parked run',
      example: 'syncline sync approve 01a1fe21-22de-72e5-a0f2-3ba63570d65e --wait',
    }),
  );
  command.action((plan: string) =>
    runner.run(command, async (context) => {
      const options = command.opts<WaitOptions>();
      const started = await context.client.runs.approve(plan);
      if (options.wait) return waitAndReport(context, started.runId, options);
      context.out.show(started, () => context.out.line(`Approved; run ${started.runId} goes on.`));
      return EXIT.done;
    }),
  );
}

function addPlan(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'plan <link>',
    summary: 'what a run would do, without writing anything; works on a paused link too',
    example: 'syncline sync plan project --diff',
  })
    .option('--diff', 'what each write changes, line by line')
    .option('--reason <text>', 'kept with the plan');
  command.action((link: string) =>
    runner.run(command, async ({ client, out }) => {
      const { diff = false, reason } = command.opts<{ diff?: boolean; reason?: string }>();
      const plan = await client.runs.plan(link, reason === undefined ? {} : { reason });
      out.show(plan, () => printPlan(out, plan, { diff }));
      return plan.guards.length > 0 ? EXIT.parked : EXIT.done;
    }),
  );
}

function addUndo(group: Command, runner: CommandRunner): void {
  const command = withWait(
    addCommand(group, {
      usage: 'undo <run>',
      summary: 'put back what a run wrote, as far as it is still there',
      example: 'syncline sync undo 01a1fe21-22de-72e5-a0f2-3ba63570d65e --wait',
    }).option('--reason <text>', 'kept with the run'),
  );
  command.action((run: string) =>
    runner.run(command, async (context) => {
      const options = command.opts<WaitOptions & { readonly reason?: string }>();
      const started = await context.client.runs.undo(run, options.reason);
      if (options.wait) return waitAndReport(context, started.runId, options);
      context.out.show(started, () => {
        context.out.line(`Undo is on its way as run ${started.runId}.`);
        context.out.line(`See it: syncline sync show ${started.runId}`);
      });
      return EXIT.done;
    }),
  );
}

async function waitAndReport(
  context: CommandContext,
  runId: string,
  options: WaitOptions,
): Promise<ExitCode> {
  const { client, out } = context;
  const progress = createProgress(context);
  const run = await client.runs
    .wait(runId, {
      ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout * 1000 }),
      onProgress: progress.show,
    })
    .finally(progress.clear);
  const openConflicts = run.status === 'settled' ? await countConflicts(context, run) : 0;
  out.show(run, () => {
    out.line(runSummary(out, run));
    if (run.guard) printGuard(out, run.guard);
    printDropped(out, run);
    if (openConflicts > 0) {
      out.line(
        `${openConflicts} open conflict(s). See: syncline conflicts list --link ${run.linkId}`,
      );
    }
  });
  if (run.status === 'parked') return EXIT.parked;
  if (run.status === 'failed') return EXIT.failed;
  return openConflicts > 0 ? EXIT.conflicts : EXIT.done;
}

async function countConflicts({ client }: CommandContext, run: Run): Promise<number> {
  return (await client.links.status(run.linkId)).conflicts;
}

/** One line on stderr that is written over; nothing when stderr is not a terminal. */
function createProgress({ io }: CommandContext): { show: (run: Run) => void; clear: () => void } {
  const clear = (): void => {
    if (io.isStderrTerminal) io.stderr('\r\u001b[K');
  };
  return {
    clear,
    show: (run) => {
      if (!io.isStderrTerminal) return;
      const { observed, planned, applied } = run.counters;
      const phase = Object.keys(run.phases).at(-1) ?? 'waiting';
      io.stderr(`\r\u001b[K${phase} · ${observed} observed · ${applied}/${planned} applied`);
    },
  };
}

function addRuns(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'runs <link>',
    summary: 'runs of a link, newest first',
    example: 'syncline sync runs project --limit 5',
  }).option('--limit <n>', 'how many', integerOption(1), 20);
  command.action((link: string) =>
    runner.run(command, async ({ client, out }) => {
      const { limit } = command.opts<{ limit: number }>();
      const { items } = await client.runs.list(link, { limit });
      out.show(items, () => printRuns(out, items));
    }),
  );
}

function printRuns(out: Output, runs: readonly Run[]): void {
  out.table(
    ['RUN', 'STATUS', 'STARTED', 'WHY', 'PLANNED', 'APPLIED', 'CONFLICTS', 'QUARANTINED', 'ERROR'],
    runs.map((run) => [
      run.id,
      statusCell(run.status),
      run.startedAt,
      run.trigger,
      run.counters.planned,
      run.counters.applied,
      run.counters.conflicts,
      run.counters.quarantined,
      run.error?.code ?? run.guard?.code,
    ]),
  );
  const [newest] = runs;
  if (newest?.error) out.line(`The newest: ${runSummary(out, newest)}`);
}

function addShow(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'show <run>',
    summary: 'what a run wrote or, when parked, would write',
    example: 'syncline sync show 01a1fe21-22de-72e5-a0f2-3ba63570d65e',
  })
    .option('--limit <n>', 'how many ops', integerOption(1), 200)
    .option('--diff', 'what each op changes, line by line');
  command.action((id: string) =>
    runner.run(command, async ({ client, out }) => {
      const { limit, diff = false } = command.opts<{ limit: number; diff?: boolean }>();
      const [run, ops] = await Promise.all([client.runs.get(id), client.runs.ops(id, { limit })]);
      out.show({ ...run, ops }, () => printRun(out, run, { ops, diff }));
    }),
  );
}

function printRun(
  out: Output,
  run: Run,
  { ops, diff }: { ops: readonly RunOp[]; diff: boolean },
): void {
  out.line(runSummary(out, run));
  const phases = Object.entries(run.phases).map(([name, ms]) => `${name} ${Math.round(ms)} ms`);
  const approved = run.approvedAt === null ? '' : `, approved ${run.approvedAt}`;
  out.line(
    `started ${run.startedAt} (${safeText(run.trigger)})${approved}; ${phases.join(', ') || 'no phase done'}`,
  );
  if (run.temporalUrl !== null) out.line(`Temporal: ${run.temporalUrl}`);
  if (run.guard) printGuard(out, run.guard);
  if (run.undoes !== null) out.line(`undoes ${run.undoes}`);
  printDropped(out, run);
  if (diff) printOpDiffs(out, ops);
  else printOps(out, ops);
}

/** Ops that were not carried out, each with the reason. */
function printDropped(out: Output, run: Run): void {
  if (run.dropped.length === 0) return;
  out.line(out.paint('yellow', `${run.dropped.length} not carried out:`));
  for (const { key, side, reason } of run.dropped) {
    out.line(`  ${side} ${safeText(key)}: ${safeText(reason)}`);
  }
}
