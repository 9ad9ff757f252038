/** `syncline context versions|diff|rollback`: the history of a context. */
import type { Command } from 'commander';
import { jsonText, type ContextDiff } from '../../client/index.ts';
import { addCommand, type CommandRunner } from '../cli-context.ts';
import { UsageError } from '../exit-code.ts';
import type { Color, Output } from '../output.ts';
import { safeText } from '../output.ts';
import { integerOption } from '../read-value.ts';

/** Adds the commands to the group. */
export function addHistory(group: Command, runner: CommandRunner): void {
  addVersions(group, runner);
  addDiff(group, runner);
  addRollback(group, runner);
}

function addVersions(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'versions <key>',
    summary: 'history, newest first',
    example: 'syncline context versions proj/notes',
  }).option('--limit <n>', 'how many', integerOption(1), 100);
  command.action((key: string) =>
    runner.run(command, async ({ client, out }) => {
      const { limit } = command.opts<{ limit: number }>();
      if (limit > 1000) throw new UsageError('--limit is at most 1000');
      const { items } = await client.versions(key, { limit });
      out.show(items, () =>
        out.table(
          ['VERSION', 'CHANGE', 'WHEN', 'BY', 'SIZE', 'WHY'],
          items.map((row) => [
            row.version,
            row.changeType,
            row.changedAt,
            row.changedBy,
            row.size,
            row.reason,
          ]),
        ),
      );
    }),
  );
}

function addDiff(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'diff <key>',
    summary: 'what changed between two versions; by default since the one before',
    example: 'syncline context diff proj/notes --from 1 --to 3',
  })
    .option('--from <n>', 'the older version', integerOption(1))
    .option('--to <n>', 'the newer version (default: the current one)', integerOption(1));
  command.action((key: string) =>
    runner.run(command, async ({ client, out }) => {
      const { from, to } = command.opts<{ from?: number; to?: number }>();
      const diff = await client.diff(key, {
        ...(from === undefined ? {} : { from }),
        ...(to === undefined ? {} : { to }),
      });
      out.show(diff, () => printDiff(out, diff));
    }),
  );
}

const MARKS = {
  add: ['+', 'green'],
  remove: ['-', 'red'],
  replace: ['~', 'yellow'],
} as const satisfies Record<string, readonly [string, Color]>;

function printDiff(out: Output, { from, to, patch }: ContextDiff): void {
  if (patch.length === 0) return out.line(`Versions ${from} and ${to} are equal.`);
  out.line(`From version ${from} to ${to}:`);
  for (const { op, path, value } of patch) {
    const [mark, color] = MARKS[op];
    const place = path === '' ? '(all)' : path;
    const text = op === 'remove' ? `${mark} ${place}` : `${mark} ${place} ${jsonText(value)}`;
    out.line(out.paint(color, safeText(text)));
  }
}

interface RollbackOptions {
  readonly to: number;
  readonly by?: string;
  readonly ifVersion?: number;
}

function addRollback(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'rollback <key>',
    summary: 'make the data of an old version current again, as a new version',
    example: 'syncline context rollback proj/notes --to 1',
  })
    .requiredOption('--to <n>', 'the version to go back to', integerOption(1))
    .option('--by <name>', 'who does it; kept in the history')
    .option('--if-version <n>', 'only if this is the version', integerOption(0));
  command.action((key: string) =>
    runner.run(command, async ({ client, out }) => {
      const { to, by, ifVersion } = command.opts<RollbackOptions>();
      const envelope = await client.rollback(key, to, { changedBy: by, ifVersion });
      out.show(envelope, () =>
        out.line(
          `\`${envelope.key}\` has the data of version ${to} again, as version ${envelope.version}`,
        ),
      );
    }),
  );
}
