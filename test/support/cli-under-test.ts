/** The command line in this process: what it printed, and how it ended. */
import type { CliIo } from '../../cli/cli-context.ts';
import { runCli } from '../../cli/program.ts';

export interface CliRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliSurroundings extends Partial<Omit<CliIo, 'environment' | 'stdout' | 'stderr'>> {
  /** Without colour and without a key unless told. */
  readonly environment: Pick<CliIo['environment'], 'url'> & Partial<CliIo['environment']>;
}

/** Runs one command, away from a terminal unless told, with an empty standard input. */
export async function runTestCli(
  args: readonly string[],
  { environment, ...more }: CliSurroundings,
): Promise<CliRun> {
  let stdout = '';
  let stderr = '';
  const code = await runCli(args, {
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    isStdoutTerminal: false,
    isStderrTerminal: false,
    isStdinTerminal: true,
    readStdin: async () => '',
    version: '9.9.9',
    runStart: async () => 0,
    runMain: async () => 0,
    ...more,
    environment: { apiKey: null, hasColor: false, ...environment },
  });
  return { code, stdout, stderr };
}
