/** `syncline config check|show`: the configuration a process started here would have. */
import type { Command } from 'commander';
import { addGroup, type CliIo } from '../cli-context.ts';

/** Adds the commands; the program that knows the settings runs in this terminal and answers. */
export function addConfig(program: Command, io: CliIo, onExit: (code: number) => void): void {
  const config = addGroup(program, {
    usage: 'config',
    summary: 'check and show what a server started from this shell and folder would use',
    example: 'syncline config check',
  });
  const commands = [
    ['check', 'say every fault of context.yaml and the environment at once; exits 0 or 1'],
    [
      'show',
      'print every setting a server started from this shell and folder would have, and where it comes from; one that runs keeps what it was started with; secrets are masked',
    ],
  ] as const;
  for (const [name, summary] of commands) {
    const command = config
      .command(name)
      .description(summary)
      .option('--config <file>', 'the file (default: context.yaml)')
      .option('--json', 'print JSON')
      .addHelpText('after', `\nExample:\n  $ syncline config ${name} --json`);
    command.action(async () => {
      const { json, config: file } = command.optsWithGlobals<{ json?: boolean; config?: string }>();
      const args = [
        name,
        ...(json ? ['--json'] : []),
        ...(file === undefined ? [] : ['--config', file]),
      ];
      onExit(await io.runMain('config-command', args));
    });
  }
}
