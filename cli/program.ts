/** The `syncline` command: all its parts, and one run of it. */
import { Command } from 'commander';
import { addGlobals, createRunner, requireUrl, type CliIo } from './cli-context.ts';
import { addConfig } from './commands/config.ts';
import { addConflicts } from './commands/conflicts.ts';
import { addContext } from './commands/context.ts';
import { addDoctor } from './commands/doctor.ts';
import { addExport } from './commands/export.ts';
import { addImport } from './commands/import.ts';
import { addAudit } from './commands/audit.ts';
import { addKeys } from './commands/keys.ts';
import { addLink } from './commands/link.ts';
import { addStart } from './commands/start.ts';
import { addStoreCommands } from './commands/store-commands.ts';
import { addStats } from './commands/stats.ts';
import { addStatus } from './commands/status.ts';
import { addSync } from './commands/sync.ts';
import { addTenants } from './commands/tenants.ts';
import { explain, explainAsJson } from './exit-code.ts';

const DESCRIPTION = 'One durable, versioned context for every agent, kept in step everywhere.';
const EXIT_CODES =
  '\nExit codes: 0 done, 1 failed, 2 usage, 3 parked by a guard, 4 conflicts left open.';

/** Runs one command line (without node and script); gives the exit code, throws nothing. */
export async function runCli(args: readonly string[], io: CliIo): Promise<number> {
  let code = 0;
  let url = io.environment.url;
  const program = createProgram(io, (result) => {
    code = result.code;
    url = result.url ?? url;
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    const failure = explain(error, url);
    // Commander has said what is wrong with the command line itself, and it knows no JSON.
    const asJson = failure.lines.length > 0 && args.includes('--json');
    const lines = asJson ? [explainAsJson(error, url)] : failure.lines;
    for (const line of lines) io.stderr(`${line}\n`);
    return failure.code;
  }
}

function createProgram(
  io: CliIo,
  onResult: (result: { code: number; url?: string }) => void,
): Command {
  const program = addGlobals(new Command('syncline'))
    .description(DESCRIPTION)
    .version(io.version, '-V, --version', 'print the version')
    .enablePositionalOptions()
    .addHelpText('after', `${EXIT_CODES}\n\nExample:\n  $ syncline status`)
    .configureOutput({ writeOut: io.stdout, writeErr: io.stderr })
    .showHelpAfterError('(see --help)')
    .exitOverride()
    .hook('preAction', (_program, command) => {
      // Also of commands that have no use for it.
      const { url } = command.optsWithGlobals<{ url?: string }>();
      if (url !== undefined) requireUrl(url);
    });
  const runner = createRunner(io, onResult);
  addStart(program, io, (code) => onResult({ code }));
  addStatus(program, runner);
  addStats(program, runner);
  addDoctor(program, runner);
  addConfig(program, io, (code) => onResult({ code }));
  addStoreCommands(program, io, (code) => onResult({ code }));
  addExport(program, runner);
  addImport(program, runner);
  addLink(program, runner);
  addSync(program, runner);
  addConflicts(program, runner);
  addContext(program, runner);
  addKeys(program, runner);
  addTenants(program, runner);
  addAudit(program, runner);
  return program;
}
