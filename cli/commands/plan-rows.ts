/** Plans and ops as the commands print them. */
import type { Plan, RunOp } from '../../client/index.ts';
import { prettyJson, safeText, type Output } from '../output.ts';

/** Ops, one a row. */
export function printOps(out: Output, ops: readonly RunOp[]): void {
  if (ops.length === 0) return;
  out.table(
    ['OP', 'SIDE', 'KEY', 'STATE', 'WHY'],
    ops.map((op) => [op.op, op.side, op.key, op.state, op.reason]),
  );
}

/** Ops with what was there and what comes, line by line. */
export function printOpDiffs(out: Output, ops: readonly RunOp[]): void {
  for (const op of ops) {
    out.line(out.paint('bold', `${op.op} ${op.side} ${safeText(op.key)}`));
    out.line(`  ${op.state}: ${safeText(op.reason)}`);
    if (op.isCut) out.line('  too large to be shown with the others: ask for fewer (--limit)');
    for (const [sign, line] of changedLines(op)) {
      const color = sign === '-' ? 'red' : sign === '+' ? 'green' : 'dim';
      out.line(out.paint(color, `  ${sign} ${safeText(line)}`));
    }
  }
}

type DiffLine = readonly [sign: ' ' | '-' | '+', line: string];

/** Lines both have at their ends stay; what lies between goes and comes. */
function changedLines({ before, after }: RunOp): DiffLine[] {
  const [old, next] = [linesOf(before), linesOf(after)];
  const shorter = Math.min(old.length, next.length);
  let head = 0;
  while (head < shorter && old[head] === next[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && old.at(-1 - tail) === next.at(-1 - tail)) tail += 1;
  const signed = (sign: DiffLine[0], lines: readonly string[]) =>
    lines.map((line): DiffLine => [sign, line]);
  return [
    ...signed(' ', old.slice(0, head)),
    ...signed('-', old.slice(head, old.length - tail)),
    ...signed('+', next.slice(head, next.length - tail)),
    ...signed(' ', old.slice(old.length - tail)),
  ];
}

function linesOf(value: RunOp['before']): string[] {
  return value === null ? [] : prettyJson(value).split('\n');
}

/** What a run would do: its ops, what it would decide besides, and what would park it. */
export function printPlan(out: Output, plan: Plan, { diff }: { diff: boolean }): void {
  const { ops, opCount, decisions, guards } = plan;
  const count = (decision: Plan['decisions'][number]['decision']): number =>
    decisions.filter((row) => row.decision === decision).length;
  const besides = [
    [count('conflict'), 'would be in conflict'],
    [count('quarantine'), 'would be set aside'],
    [count('adopt'), 'equal on both sides'],
  ] as const;
  const told = besides.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`);
  out.line([opCount === 1 ? '1 write' : `${opCount} writes`, ...told].join(', '));
  if (diff) printOpDiffs(out, ops);
  else printOps(out, ops);
  if (opCount > ops.length) out.line(`… and ${opCount - ops.length} more`);
  for (const { decision, key, reason } of decisions) {
    if (decision === 'conflict' || decision === 'quarantine')
      out.line(`${decision}: ${safeText(key)} (${safeText(reason)})`);
  }
  for (const guard of guards) {
    out.line(
      out.paint('yellow', `a run would be parked by ${guard.code}: ${safeText(guard.reason)}`),
    );
  }
  if (plan.status === 'planned' || plan.status === 'parked') printWayOn(out, plan);
}

function printWayOn(out: Output, { planId, opCount, expiresAt }: Plan): void {
  if (opCount === 0) return;
  out.line(`Nothing was written. To do exactly this: syncline sync approve ${planId} --wait`);
  if (expiresAt !== null) out.line(`It may be approved until ${expiresAt}.`);
}
