/** `syncline link fallback`: what decides a conflict nobody decided in time. */
import { Option, type Command } from 'commander';
import type { LinkPatch } from '../../client/index.ts';
import { addCommand, type CommandRunner } from '../cli-context.ts';
import { UsageError } from '../exit-code.ts';
import { integerOption } from '../read-value.ts';

type Fallback = NonNullable<LinkPatch['conflictFallback']>;

interface FallbackOptions {
  readonly strategy?: Fallback['strategy'];
  readonly afterMs?: number;
  readonly off?: boolean;
}

const STRATEGIES: readonly Fallback['strategy'][] = [
  'latest',
  'union',
  'intersection',
  'prefer-hub',
  'prefer-remote',
];

/** Adds the command. */
export function addFallback(group: Command, runner: CommandRunner): void {
  const command = addCommand(group, {
    usage: 'fallback <link>',
    summary: 'what decides a conflict nobody decided in time; open ones get the new due time',
    example:
      'syncline link fallback project --strategy latest --after-ms 28800000\n  $ syncline link fallback project --off',
  })
    .addOption(new Option('--strategy <strategy>', 'which decides').choices(STRATEGIES))
    .option('--after-ms <ms>', 'so long after the conflict opened', integerOption(1000))
    .option('--off', 'conflicts wait for a person');
  command.action((name: string) =>
    runner.run(command, async ({ client, out }) => {
      const conflictFallback = fallbackOf(command.opts<FallbackOptions>());
      const link = await client.links.patch(name, { conflictFallback });
      out.show(link, () => {
        out.line(
          conflictFallback
            ? `\`${link.name}\`: ${conflictFallback.strategy} decides ${conflictFallback.afterMs} ms after a conflict opened.`
            : `\`${link.name}\`: conflicts wait for a person.`,
        );
      });
    }),
  );
}

function fallbackOf({ strategy, afterMs, off }: FallbackOptions): Fallback | null {
  if (off) {
    if (strategy !== undefined || afterMs !== undefined) {
      throw new UsageError('give either --off, or --strategy and --after-ms');
    }
    return null;
  }
  if (strategy === undefined || afterMs === undefined) {
    throw new UsageError('give --strategy and --after-ms, or --off');
  }
  return { strategy, afterMs };
}
