/** What commands work with; tests give their own. */
import type { Command } from 'commander';
import { ContextClient } from '../client/index.ts';
import type { Environment } from './environment.ts';
import { UsageError, type ExitCode } from './exit-code.ts';
import { createOutput, type Output } from './output.ts';

export interface CliIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly isStdoutTerminal: boolean;
  readonly isStderrTerminal: boolean;
  readonly isStdinTerminal: boolean;
  readonly readStdin: () => Promise<string>;
  /** Asks a yes-or-no question on the terminal; absent where nobody can be asked. */
  readonly confirm?: (question: string) => Promise<boolean>;
  readonly environment: Environment;
  /** Version of this package. */
  readonly version: string;
  /** Runs the stack in this terminal until it ends; gives its exit code. */
  readonly runStart: (args: readonly string[]) => Promise<number>;
  /** Runs a program of `main/` in this terminal; gives its exit code. */
  readonly runMain: (
    name: 'config-command' | 'store-command',
    args: readonly string[],
  ) => Promise<number>;
}

/** What one command gets. */
export interface CommandContext {
  readonly io: CliIo;
  readonly client: ContextClient;
  readonly out: Output;
  readonly url: string;
}

/** Runs commands and remembers how the last one ended. */
export interface CommandRunner {
  readonly io: CliIo;
  /** Wraps what a command does: gives it its context, keeps its exit code. */
  run(
    command: Command,
    act: (context: CommandContext) => Promise<ExitCode | undefined>,
  ): Promise<void>;
}

interface GlobalOptions {
  readonly url?: string;
  readonly apiKey?: string;
  readonly json?: boolean;
}

/** A runner that tells exit codes and the URL in use. */
export function createRunner(
  io: CliIo,
  onResult: (result: { url: string; code: ExitCode }) => void,
): CommandRunner {
  return {
    io,
    async run(command, act) {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const url = globals.url ?? io.environment.url;
      requireUrl(url);
      const apiKey = globals.apiKey ?? io.environment.apiKey;
      onResult({ url, code: 0 });
      const client = new ContextClient({ url, ...(apiKey === null ? {} : { apiKey }) });
      const out = createOutput({
        write: io.stdout,
        isTerminal: io.isStdoutTerminal,
        hasColor: io.environment.hasColor,
        isJson: globals.json === true,
      });
      try {
        onResult({ url, code: (await act({ io, client, out, url })) ?? 0 });
      } finally {
        client.close();
      }
    },
  };
}

/** Whatever is no web address is told as that, and not as a server that is out. @throws UsageError */
export function requireUrl(url: string): void {
  const isWeb = /^https?:\/\//i.test(url) && URL.canParse(url);
  if (!isWeb)
    throw new UsageError(
      `${url} is not a URL; name one like http://127.0.0.1:3100 (--url, SYNCLINE_URL)`,
    );
}

/** Adds a command with the options all have, and an example in its help. */
export function addCommand(
  parent: Command,
  spec: { readonly usage: string; readonly summary: string; readonly example: string },
): Command {
  return addGlobals(parent.command(spec.usage))
    .description(spec.summary)
    .addHelpText('after', `\nExample:\n  $ ${spec.example}`);
}

/** Adds a group of commands, with an example in its help. */
export function addGroup(
  parent: Command,
  spec: { readonly usage: string; readonly summary: string; readonly example: string },
): Command {
  return parent
    .command(spec.usage)
    .description(spec.summary)
    .addHelpText('after', `\nExample:\n  $ ${spec.example}`);
}

/** The options every command takes. */
export function addGlobals(command: Command): Command {
  return command
    .option('--url <url>', 'where Syncline is (SYNCLINE_URL; default: the running one)')
    .option('--api-key <key>', 'api key (SYNCLINE_API_KEY)')
    .option('--json', 'print JSON');
}
