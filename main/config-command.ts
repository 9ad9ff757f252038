/**
 * `syncline config check|show`: what a process started here would be configured with. Prints no
 * secret. `check` exits 0 when everything is valid, else 1 with every fault.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { readOwner } from '../dev/lock.ts';
import { messageOf } from '../domain/errors.ts';
import { checkSettings } from './config.ts';
import { loadEnvFile } from './env-file.ts';
import { nearest } from './nearest.ts';
import type { SettingsRead, SettingSource } from './read-settings.ts';
import { CONFIG_FILE, SETTINGS, type Setting } from './settings.ts';

const USAGE = 'Usage: syncline config <check|show> [--json] [--config <file>]\n';
const MASK = '***';
const HEADING = `# What a server started from this shell and folder would use.
# One that runs already keeps what it was started with.
`;
/** Variables that are read elsewhere: the command's own, tests', links' secrets, compose's. */
const NOT_SETTINGS = /^(SYNCLINE_(URL|API_KEY|SECRET_|TEST_)|TEMPORAL_POSTGRES_PASSWORD$)/;

/** One setting as a process started here would have it. */
export interface ShownSetting {
  readonly path: string;
  /** Of a secret that is set: `***`. */
  readonly value: unknown;
  readonly from: SettingSource;
  /** The environment variable that may set it. */
  readonly env: string | null;
}

/** The settings, secrets masked. */
export function showSettings({ values, sources }: SettingsRead): readonly ShownSetting[] {
  return SETTINGS.map(({ path, env, isSecret }: Setting) => ({
    path,
    value: isSecret && values[path] !== null ? MASK : values[path],
    from: sources[path] ?? 'default',
    env,
  }));
}

/** What is no fault but worth a look: variables that look misspelt. */
function notesOn(env: NodeJS.ProcessEnv): readonly string[] {
  const known = SETTINGS.flatMap(({ env: name }: Setting) => name ?? []);
  return Object.keys(env)
    .filter((name) => /^(CONTEXT|SYNCLINE|POSTGRES|TEMPORAL|REDIS)_/.test(name))
    .filter((name) => !known.includes(name) && !NOT_SETTINGS.test(name))
    .map((name) => `the variable ${name} is not read${meant(name, known)}`);
}

function meant(name: string, known: readonly string[]): string {
  const like = nearest(name, known);
  return like === null ? '' : `; did you mean ${like}?`;
}

export interface ConfigCommandIo {
  readonly env: NodeJS.ProcessEnv;
  readonly write: (text: string) => void;
  readonly complain: (text: string) => void;
}

/** Runs one command; answers its exit code: 0 valid, 1 faults, 2 usage. */
export function runConfigCommand(args: readonly string[], io: ConfigCommandIo): number {
  const options = optionsOf(args);
  if (typeof options === 'string') {
    io.complain(`${options}\n${USAGE}`);
    return 2;
  }
  try {
    const read = checkSettings(io.env, options.file);
    const result = { file: options.file, notes: notesOn(io.env), read };
    return options.what === 'check'
      ? check(result, options.isJson, io)
      : show(result, options.isJson, io);
  } catch (error) {
    if (options.isJson) io.write(jsonOf({ valid: false, error: messageOf(error) }));
    else io.complain(`${messageOf(error)}\n`);
    return 1;
  }
}

interface Result {
  readonly file: string;
  readonly notes: readonly string[];
  readonly read: SettingsRead;
}

function check({ file, notes, read }: Result, isJson: boolean, io: ConfigCommandIo): number {
  const { faults } = read;
  const code = faults.length > 0 ? 1 : 0;
  if (isJson) {
    io.write(jsonOf({ valid: code === 0, file, faults, notes }));
    return code;
  }
  for (const { pointer, detail } of faults) io.write(`fault  ${pointer}: ${detail}\n`);
  for (const note of notes) io.write(`note   ${note}\n`);
  const count = (source: SettingSource): number =>
    Object.values(read.sources).filter((each) => each === source).length;
  io.write(
    code === 0
      ? `The configuration is valid: ${count('file')} setting(s) from ${file}, ${count('environment')} from the environment, the rest are defaults.\n`
      : `The configuration has ${faults.length} fault(s).\n`,
  );
  return code;
}

function show({ file, notes, read }: Result, isJson: boolean, io: ConfigCommandIo): number {
  const settings = showSettings(read);
  const owner = readOwner(resolve(String(read.values['home'])));
  if (owner !== null)
    io.complain(
      `note   Syncline runs here (process ${owner.pid}) with what it was started with; this may differ.\n`,
    );
  if (isJson) {
    io.write(jsonOf({ file, settings, faults: read.faults, notes }));
    return read.faults.length > 0 ? 1 : 0;
  }
  io.write(HEADING);
  const shown = settings.map(({ path, value, from }) => [path, JSON.stringify(value), from]);
  const widths = [0, 1].map((at) => Math.max(...shown.map((row) => row[at]!.length)));
  for (const [path, value, from] of shown)
    io.write(`${path!.padEnd(widths[0]!)}  ${value!.padEnd(Math.min(widths[1]!, 30))}  ${from}\n`);
  for (const { pointer, detail } of read.faults) io.complain(`fault  ${pointer}: ${detail}\n`);
  return read.faults.length > 0 ? 1 : 0;
}

function jsonOf(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

interface Options {
  readonly what: 'check' | 'show';
  readonly isJson: boolean;
  readonly file: string;
}

/** The options, or what is wrong with them. */
function optionsOf(args: readonly string[]): Options | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        config: { type: 'string', default: CONFIG_FILE },
      },
    });
    const [what, ...more] = positionals;
    if ((what !== 'check' && what !== 'show') || more.length > 0) return 'say `check` or `show`';
    return { what, isJson: values.json, file: values.config };
  } catch (error) {
    return messageOf(error);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  loadEnvFile();
  process.exitCode = runConfigCommand(process.argv.slice(2), {
    env: process.env,
    write: (text) => void process.stdout.write(text),
    complain: (text) => void process.stderr.write(text),
  });
}
