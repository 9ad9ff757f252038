/**
 * `syncline setup|migrate|backup|restore|cleanup`: works on the database itself. Started by the
 * command as a program of its own; exits 0 done, 1 failed, 2 usage.
 */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { EXIT, UsageError } from '../cli/exit-code.ts';
import { createProgress } from '../cli/progress.ts';
import { placeNew, requireFree } from '../cli/whole-file.ts';
import { systemClock } from '../domain/clock.ts';
import { messageOf, toAppError } from '../domain/errors.ts';
import { backupName } from '../store/backup/backup-files.ts';
import { restoreBackup } from '../store/backup/restore-backup.ts';
import { writeBackup } from '../store/backup/write-backup.ts';
import type { BackupProgress } from '../store/contract.ts';
import { cleanUp } from './clean-up.ts';
import { loadConfig, type Config } from './config.ts';
import { loadEnvFile } from './env-file.ts';
import { configuredMasterKeys } from './master-keys.ts';
import { MIGRATION_LOCK, migrate, pendingMigrations } from './migrate.ts';
import { openDatabase, type OpenDatabase } from './open-database.ts';
import { SCHEMA_STEPS } from './schema-steps.ts';
import { setUp } from './set-up.ts';
import { VERSION } from './version.ts';

interface Given {
  readonly file: string | undefined;
  readonly isCheck: boolean;
  readonly isReplace: boolean;
  readonly isForced: boolean;
  readonly config: Config;
  readonly database: OpenDatabase;
  readonly signal: AbortSignal;
}

/** What a command did: for JSON, and for people; `isFailed` exits 1. */
export interface Told {
  readonly value: unknown;
  readonly lines: readonly string[];
  readonly isFailed?: boolean;
}

const COMMANDS: Readonly<Record<string, (given: Given) => Promise<Told>>> = {
  setup: ({ config, database }) => setUp(config, database.url),
  migrate: runMigrate,
  backup: runBackup,
  restore: runRestore,
  cleanup: ({ config, database }) => cleanUp(config, database.url),
};
/** Commands that may make an embedded store where there is none. */
const MAY_CREATE: ReadonlySet<string> = new Set(['setup', 'migrate', 'restore']);

async function runMigrate({ database: { url }, isCheck }: Given): Promise<Told> {
  if (!isCheck) {
    const done = await migrate(url);
    const many = `${done.length} migration(s) done: ${done.join(', ')}`;
    return { value: { done }, lines: [done.length === 0 ? 'The schema is up to date.' : many] };
  }
  const pending = await pendingMigrations(url);
  const isFailed = pending.length > 0;
  const missing = `Missing: ${pending.join(', ')}. Run \`syncline migrate\`.`;
  return {
    value: { pending },
    lines: [isFailed ? missing : 'The schema is up to date.'],
    isFailed,
  };
}

async function runBackup({ file, config, database, signal, isForced }: Given): Promise<Told> {
  const name = file ?? join(config.backup.directory ?? '.', backupName(systemClock.now()));
  const progress = progressOf();
  const result = await writeBackup({
    url: database.url,
    file: name,
    product: VERSION,
    clock: systemClock,
    signal,
    onProgress: progress.at,
    ...(!isForced && { place: placeNew }),
  }).finally(progress.end);
  const mib = (result.bytes / 1024 ** 2).toFixed(1);
  const tables = Object.keys(result.tables).length;
  const line = `Backed up ${result.rows} row(s) of ${tables} tables to ${result.file} (${mib} MiB).`;
  return { value: result, lines: [line] };
}

async function runRestore({ file, config, database, isReplace: replace }: Given): Promise<Told> {
  const progress = progressOf();
  const result = await restoreBackup({
    url: database.url,
    file: resolve(file!),
    replace,
    steps: SCHEMA_STEPS,
    lock: MIGRATION_LOCK,
    clock: systemClock,
    onProgress: progress.at,
  }).finally(progress.end);
  return {
    value: result,
    lines: [
      `Restored ${result.rows} row(s) from ${basename(result.file)}, made ${result.createdAt} by Syncline ${result.product}; every table is proved.`,
      'Every link begins anew and deletes nothing before it has looked at everything; cursors of the change feed from before are expired.',
      ...(database.isRunning
        ? ['Syncline is running: restart it, it may still hold what was there before.']
        : []),
      ...missingKeys(config, result.masterKeys),
    ],
  };
}

/** What a restored store cannot open, told now and not when somebody reads it. */
function missingKeys(config: Config, needed: readonly string[]): readonly string[] {
  const masters = configuredMasterKeys(config);
  const missing = needed.filter((id) => !masters?.has(id));
  if (missing.length === 0) return [];
  return [
    `Encrypted contexts in it do not open: the master key with the fingerprint ${missing.join(', ')} is not configured. Set it as CONTEXT_ENCRYPTION_KEY, or add it to CONTEXT_ENCRYPTION_OLD_KEYS.`,
  ];
}

/** A bar per phase. */
function progressOf(): { at: (progress: BackupProgress) => void; end: () => void } {
  const words = { write: 'Backing up', verify: 'Verifying', load: 'Restoring', prove: 'Proving' };
  let phase = '';
  let bar: ReturnType<typeof createProgress> | null = null;
  return {
    at(progress) {
      if (progress.phase !== phase) {
        bar?.end();
        phase = progress.phase;
        bar = createProgress({ isStderrTerminal: process.stderr.isTTY }, words[progress.phase]);
      }
      bar!.at(progress.done, progress.total);
    },
    end: () => bar?.end(),
  };
}

/** @throws UsageError */
function parse(args: readonly string[]) {
  const { values, positionals } = parsed(args);
  const [name = '', file, ...more] = positionals;
  if (!Object.hasOwn(COMMANDS, name) || more.length > 0)
    throw new UsageError(`say ${Object.keys(COMMANDS).join(', ')}, and one file at most`);
  if (name === 'restore' && file === undefined) throw new UsageError('restore which file?');
  return { ...values, name, file };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        check: { type: 'boolean', default: false },
        replace: { type: 'boolean', default: false },
        force: { type: 'boolean', default: false },
        config: { type: 'string' },
      },
    });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

/** As with `import`, a file that is not there is a fault of the call. @throws UsageError */
async function requireFile(file: string): Promise<void> {
  try {
    await access(file, constants.R_OK);
    if ((await stat(file)).isFile()) return;
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${messageOf(error)}`);
  }
  throw new UsageError(`${file} cannot be read: it is no file`);
}

/** What the call itself says wrongly, told before anything is opened. @throws UsageError */
async function requireCall(args: readonly string[]): Promise<ReturnType<typeof parse>> {
  const given = parse(args);
  const { name, file, force: isForced } = given;
  if (file === undefined) return given;
  if (name === 'restore') await requireFile(file);
  if (name === 'backup') await requireFree(file, { isForced });
  return given;
}

async function main(args: readonly string[]): Promise<number> {
  const given = await requireCall(args);
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => abort.abort());
  loadEnvFile();
  const config = loadConfig(process.env, given.config);
  const database = await openDatabase(config, { mayCreate: MAY_CREATE.has(given.name) });
  try {
    const { file, check: isCheck, replace: isReplace, force: isForced } = given;
    const { signal } = abort;
    const told = await COMMANDS[given.name]!({
      file,
      isCheck,
      isReplace,
      isForced,
      config,
      database,
      signal,
    });
    const text = given.json ? JSON.stringify(told.value, null, 2) : told.lines.join('\n');
    process.stdout.write(`${text}\n`);
    return told.isFailed ? 1 : 0;
  } finally {
    await database.close();
  }
}

/** Says on stderr what went wrong, as the other commands do; gives the exit code. */
function complain(thrown: unknown, isJson: boolean): number {
  const isUsage = thrown instanceof UsageError;
  const { code, message: detail } = isUsage ? thrown : toAppError(thrown);
  const line = code === 'USAGE' ? `error: ${detail}` : `error ${code}: ${detail}`;
  process.stderr.write(`${isJson ? JSON.stringify({ error: { code, detail } }) : line}\n`);
  return isUsage ? EXIT.usage : EXIT.failed;
}

const args = process.argv.slice(2);
process.exitCode = await main(args).catch((error: unknown) =>
  complain(error, args.includes('--json')),
);
