/** `syncline conflicts …` */
import { Option, type Command } from 'commander';
import type { Conflict } from '../../client/index.ts';
import { addCommand, addGroup, type CommandRunner } from '../cli-context.ts';
import { safeText, type Output } from '../output.ts';
import { integerOption } from '../read-value.ts';
import { addResolve } from './conflict-resolve.ts';
import { printValue } from './link-rows.ts';

/** Adds the group. */
export function addConflicts(program: Command, runner: CommandRunner): void {
  const group = addGroup(program, {
    usage: 'conflicts',
    summary: 'items both sides changed',
    example: 'syncline conflicts list',
  });
  addList(group, runner);
  addShow(group, runner);
  addResolve(group, runner);
}

interface ListOptions {
  readonly link?: string;
  readonly status: Conflict['status'] | 'all';
  readonly limit: number;
}

function addList(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'list',
    summary: 'conflicts, the open ones by default',
    example: 'syncline conflicts list --link project',
  })
    .option('--link <link>', 'only of this link')
    .addOption(
      new Option('--status <status>', 'which')
        .choices(['open', 'resolved', 'closed', 'all'])
        .default('open'),
    )
    .option('--limit <n>', 'how many', integerOption(1), 100);
  command.action(() =>
    runner.run(command, async ({ client, out }) => {
      const { link, status, limit } = command.opts<ListOptions>();
      const { items } = await client.conflicts.list({
        limit,
        ...(link === undefined ? {} : { linkId: link }),
        ...(status === 'all' ? {} : { status }),
      });
      out.show(items, () => printConflicts(out, items));
    }),
  );
}

function printConflicts(out: Output, conflicts: readonly Conflict[]): void {
  if (conflicts.length === 0) return out.line('No conflicts.');
  out.table(
    ['ID', 'KEY', 'STATUS', 'REASON', 'WHERE', 'SINCE', 'DUE'],
    conflicts.map((conflict) => [
      conflict.id,
      conflict.key,
      conflict.status,
      conflict.reason,
      placesText(conflict.pointers),
      conflict.createdAt,
      conflict.dueAt ?? '',
    ]),
  );
}

const placesText = (pointers: readonly string[]): string =>
  pointers.map((pointer) => pointer || '(all of it)').join(' ');

function addShow(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'show <conflict>',
    summary: 'base, hub, remote and the proposal',
    example: 'syncline conflicts show 01a1fe21-22de-72e5-a0f2-3ba63570d65e',
  });
  command.action((id: string) =>
    runner.run(command, async ({ client, out }) => {
      const conflict = await client.conflicts.get(id);
      out.show(conflict, () => printConflict(out, conflict));
    }),
  );
}

function printConflict(out: Output, conflict: Conflict): void {
  out.line(`${out.paint('bold', safeText(conflict.key))}  ${conflict.status}  ${conflict.reason}`);
  out.line(`differs at  ${placesText(conflict.pointers) || '(all of it)'}`);
  for (const side of ['base', 'hub', 'remote'] as const) printValue(out, side, conflict[side]);
  if (conflict.proposal !== null)
    printValue(out, 'proposal (what merges, merged)', conflict.proposal);
  if (conflict.status !== 'open') {
    out.line(
      `${conflict.status} ${conflict.resolvedAt ?? ''} by ${conflict.resolvedBy ?? 'itself'}`,
    );
    return;
  }
  const merged = conflict.proposal === null ? '' : '|merged';
  const base = conflict.base === null ? '' : '|base';
  const now = `${conflict.id} --if-revision ${conflict.revision}`;
  if (conflict.dueAt !== null) out.line(`Decided by the link's fallback at ${conflict.dueAt}.`);
  out.line(`Decide: syncline conflicts resolve ${now} --choice hub|remote${base}${merged}`);
  out.line(`    or: syncline conflicts resolve ${now} --value '<json>'`);
}
