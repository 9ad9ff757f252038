/** `syncline link retry` and `link release`: what an operator says about items set aside. */
import type { Command } from 'commander';
import type { QuarantineChange, QuarantineChoice, QuarantinedItem } from '../../client/index.ts';
import { addCommand, type CommandContext, type CommandRunner } from '../cli-context.ts';
import { EXIT, UsageError } from '../exit-code.ts';
import type { Output } from '../output.ts';

interface Act {
  readonly name: string;
  readonly summary: string;
  readonly done: string;
  readonly act: (
    context: CommandContext,
    link: string,
    choice: QuarantineChoice,
  ) => Promise<QuarantineChange>;
}

/** Adds both commands. */
export function addQuarantine(group: Command, runner: CommandRunner): void {
  addAct(group, runner, {
    name: 'retry',
    summary: 'try items set aside now (all, or these keys)',
    done: 'tried now',
    act: ({ client }, link, choice) => client.links.retryQuarantined(link, choice),
  });
  addAct(group, runner, {
    name: 'release',
    summary:
      'make items set aside ordinary again (all, or these keys): their failures are forgotten',
    done: 'released',
    act: ({ client }, link, choice) => client.links.releaseQuarantined(link, choice),
  });
}

function addAct(group: Command, runner: CommandRunner, { name, summary, done, act }: Act): void {
  const command = addCommand(group, {
    usage: `${name} <link> [keys...]`,
    summary,
    example: `syncline link ${name} project proj/notes`,
  }).option('--all', 'all of the link (the same as naming no key)');
  command.action((link: string, keys: readonly string[]) =>
    runner.run(command, async (context) => {
      const { all } = command.opts<{ readonly all?: boolean }>();
      if (all && keys.length > 0) throw new UsageError('name keys or say --all, not both');
      const choice = keys.length > 0 ? { keys: [...keys] } : ({ all: true } as const);
      const changed = await act(context, link, choice);
      context.out.show(changed, () => {
        context.out.line(`${changed.count} item(s) ${done}`);
        for (const key of changed.skipped) context.out.line(`not set aside: ${key}`);
      });
      return changed.skipped.length > 0 ? EXIT.failed : EXIT.done;
    }),
  );
}

/** What is set aside, one item a row. */
export function printQuarantined(out: Output, items: readonly QuarantinedItem[]): void {
  if (items.length === 0) return out.line('Nothing is set aside.');
  out.table(
    ['KEY', 'CODE', 'ATTEMPTS', 'NEXT TRY', 'DETAIL'],
    items.map((item) => [
      item.key,
      item.code,
      item.attempts,
      item.retryAt ?? 'when it changes',
      item.detail,
    ]),
  );
}
