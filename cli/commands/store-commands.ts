/**
 * `syncline setup|migrate|backup|restore|cleanup`: what works on the database itself, with or without
 * a running server. The program that knows the configuration runs in this terminal and answers.
 */
import { Option, type Command } from 'commander';
import type { CliIo } from '../cli-context.ts';

interface Spec {
  readonly usage: string;
  readonly summary: string;
  readonly example: string;
  readonly options?: readonly (readonly [flags: string, about: string])[];
}

const COMMANDS: readonly Spec[] = [
  {
    usage: 'setup',
    summary: 'check this machine and bring the schema up to date; says what comes next',
    example: 'syncline setup',
  },
  {
    usage: 'migrate',
    summary: 'bring the schema up to date',
    example: 'syncline migrate --check',
    options: [['--check', 'only say what is missing; exits 1 when something is']],
  },
  {
    usage: 'backup [file]',
    summary: 'write everything, all tenants, to one compressed file; the server may run meanwhile',
    example: 'syncline backup before-upgrade.backup',
    options: [['--force', 'replace a file of that name; without it that is refused']],
  },
  {
    usage: 'restore <file>',
    summary: 'put a backup back, whole or not at all; the file is proved first',
    example: 'syncline restore before-upgrade.backup --replace',
    options: [['--replace', 'lose what the store holds now; without it the store must be empty']],
  },
  {
    usage: 'cleanup',
    summary: 'delete what expired and what retention does not keep, now; prints the counts',
    example: 'syncline cleanup',
  },
];

/** Adds the commands. */
export function addStoreCommands(
  program: Command,
  io: CliIo,
  onExit: (code: number) => void,
): void {
  for (const { usage, summary, example, options = [] } of COMMANDS) {
    const command = program
      .command(usage)
      .description(summary)
      .option('--config <file>', 'the configuration (default: context.yaml)')
      .option('--json', 'print JSON')
      .addHelpText('after', `\nExample:\n  $ ${example}`);
    for (const [flags, about] of options) command.addOption(new Option(flags, about));
    command.action(async () => onExit(await io.runMain('store-command', argumentsOf(command))));
  }
}

function argumentsOf(command: Command): string[] {
  const given = command.optsWithGlobals<Readonly<Record<string, unknown>>>();
  const flags = ['json', 'check', 'replace', 'force'].filter((name) => given[name] === true);
  const { config } = given;
  return [
    command.name(),
    ...flags.map((name) => `--${name}`),
    ...(typeof config === 'string' ? ['--config', config] : []),
    // A file may be called like an option.
    ...(command.args.length > 0 ? ['--', ...command.args] : []),
  ];
}
