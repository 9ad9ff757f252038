/** `syncline start`: the whole stack, in this terminal. */
import type { Command } from 'commander';
import type { CliIo } from '../cli-context.ts';

/** Adds the command; what it does not know itself it passes on. */
export function addStart(program: Command, io: CliIo, onExit: (code: number) => void): void {
  program
    .command('start')
    .description('start everything: servers that are missing, API and workers; Ctrl-C stops it')
    .argument('[args...]', 'passed on, e.g. --no-demo, --check')
    .allowUnknownOption()
    .passThroughOptions()
    .addHelpText('after', '\nExample:\n  $ syncline start --no-demo')
    .action(async (args: readonly string[]) => onExit(await io.runStart(args)));
}
