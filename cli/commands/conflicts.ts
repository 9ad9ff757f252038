/** `syncline conflicts …` */
import { Option, type Command } from 'commander';
import type { Conflict, Resolution } from '../../client/index.ts';
import type { JsonText } from '../../client/index.ts';
import { addCommand, type CommandRunner } from '../cli-context.ts';
import { UsageError } from '../exit-code.ts';
import { safeText, type Output } from '../output.ts';
import { integerOption, readJsonValue } from '../read-value.ts';
import { printValue } from './link-rows.ts';

/** Adds the group. */
export function addConflicts(program: Command, runner: CommandRunner): void {
  const group = program.command('conflicts').description('items both sides changed');
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
    ['ID', 'KEY', 'STATUS', 'REASON', 'WHERE', 'SINCE'],
    conflicts.map((conflict) => [
      conflict.id,
      conflict.key,
      conflict.status,
      conflict.reason,
      placesText(conflict.pointers),
      conflict.createdAt,
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
  out.line(`Decide: syncline conflicts resolve ${conflict.id} --choice hub|remote|base${merged}`);
  out.line(`    or: syncline conflicts resolve ${conflict.id} --value '<json>'`);
}

interface ResolveOptions {
  readonly choice?: Exclude<Resolution['choice'], 'value'>;
  readonly value?: string;
  readonly by?: string;
}

function addResolve(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'resolve <conflict>',
    summary: 'decide; written to both sides, the other values stay in the history',
    example: 'syncline conflicts resolve 01a1fe21-22de-72e5-a0f2-3ba63570d65e --choice hub',
  })
    .addOption(
      new Option('--choice <choice>', 'which value').choices(['hub', 'remote', 'base', 'merged']),
    )
    .option('--value <json>', 'another value: JSON, @file or -')
    .option('--by <name>', 'who decided');
  command.action((id: string) =>
    runner.run(command, async ({ io, client, out }) => {
      const options = command.opts<ResolveOptions>();
      const value =
        options.value === undefined ? undefined : await readJsonValue(options.value, io);
      const resolved = await client.conflicts.resolve(id, resolutionOf(options, value));
      out.show(resolved, () => {
        out.line(
          `\`${safeText(resolved.key)}\` is ${resolved.status}; the next run writes both sides.`,
        );
      });
    }),
  );
}

function resolutionOf(options: ResolveOptions, value: JsonText | undefined): Resolution {
  const { choice, by } = options;
  if ((choice === undefined) === (value === undefined)) {
    throw new UsageError('give either --choice or --value');
  }
  return {
    choice: choice ?? 'value',
    // Sent as written; the client embeds it.
    ...(value === undefined ? {} : { value: value as unknown as NonNullable<Resolution['value']> }),
    ...(by === undefined ? {} : { by }),
  };
}
