/**
 * A real Postgres for tests: a throw-away cluster made with the machine's own programs, on a free
 * port, without fsync (its data is worth nothing after the run).
 */
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { startChild } from '../../dev/child.ts';
import { findCommand, isExecutable, runCommand } from '../../dev/find-command.ts';
import type { Guardian } from '../../dev/guardian.ts';
import { LOOPBACK } from '../../dev/ports.ts';
import { checkPostgres } from '../../dev/postgres.ts';
import type { TellStep } from '../../dev/server.ts';
import { startOnPort } from '../../dev/start-on-port.ts';
import { waitUntil } from '../../dev/wait-until.ts';

export interface TestPostgres {
  /** URL of a superuser on the database `postgres`. */
  readonly url: string;
  stop(): Promise<void>;
  /** An orderly stop, and a start on the same data and port. */
  restart(): Promise<void>;
}

export interface StartTestPostgresOptions {
  /** Folder the cluster may be made in. */
  readonly folder: string;
  readonly tell: TellStep;
  readonly guardian: Guardian;
  readonly mayInstall: boolean;
}

interface User {
  readonly uid: number;
  readonly gid: number;
}

const START_MS = 60_000;
const STOP_MS = 10_000;
const INSTALL_MS = 5 * 60_000;
const SETTINGS = [
  'fsync=off',
  'synchronous_commit=off',
  'full_page_writes=off',
  'max_connections=200',
  'shared_buffers=64MB',
  'unix_socket_directories=',
  `listen_addresses=${LOOPBACK}`,
];

/** Starts a cluster, or gives null when this machine has no Postgres we may use. */
export async function startTestPostgres(
  options: StartTestPostgresOptions,
): Promise<TestPostgres | null> {
  const bin = findPostgres() ?? (await installPostgres(options));
  if (bin === null) return null;
  const isRoot = process.getuid?.() === 0;
  const runAs = isRoot ? userNamed('postgres') : null;
  if (isRoot && runAs === null) {
    options.tell('failed', 'Postgres refuses to run as root, and there is no user "postgres"');
    return null;
  }
  const data = join(options.folder, 'data');
  mkdirSync(options.folder, { recursive: true, mode: 0o755 });
  if (runAs !== null) chownSync(options.folder, runAs.uid, runAs.gid);
  options.tell('starting', `making a throw-away Postgres cluster (${bin})`);
  await makeCluster(bin, data, runAs);
  let server = await run({ bin, data, runAs, port: 0 }, options);
  return {
    url: server.url,
    // SIGQUIT is Postgres's immediate stop: nothing here is worth a checkpoint.
    stop: () => server.stop('SIGQUIT'),
    async restart() {
      await server.stop('SIGINT');
      server = await run({ bin, data, runAs, port: Number(new URL(server.url).port) }, options);
    },
  };
}

/** Copies a running cluster and follows it as a streaming replica. */
export async function startTestReplica(
  primaryUrl: string,
  options: StartTestPostgresOptions,
): Promise<TestPostgres> {
  const bin = findPostgres();
  const copy = bin === null ? null : join(bin, 'pg_basebackup');
  if (bin === null || copy === null) throw new Error('pg_basebackup is not on this machine');
  const runAs = process.getuid?.() === 0 ? userNamed('postgres') : null;
  mkdirSync(options.folder, { recursive: true, mode: 0o755 });
  if (runAs !== null) chownSync(options.folder, runAs.uid, runAs.gid);
  const data = join(options.folder, 'data');
  const copying = startChild({
    command: copy,
    args: ['-d', primaryUrl, '-D', data, '-R', '-X', 'stream', '-c', 'fast', '--no-sync'],
    logFile: join(dirname(options.folder), 'basebackup.log'),
    cwd: options.folder,
    guardian: options.guardian,
    ...(runAs !== null && { runAs }),
  });
  const ended = await copying.ended;
  if (ended !== 'exit code 0') throw new Error(`pg_basebackup: ${ended} ${copying.logTail()}`);
  let server = await run({ bin, data, runAs, port: 0 }, options);
  return {
    url: server.url,
    stop: () => server.stop('SIGQUIT'),
    async restart() {
      await server.stop('SIGINT');
      server = await run({ bin, data, runAs, port: Number(new URL(server.url).port) }, options);
    },
  };
}

interface RunningPostgres {
  readonly url: string;
  stop(signal: NodeJS.Signals): Promise<void>;
}

function run(
  {
    bin,
    data,
    runAs,
    port: preferredPort,
  }: { bin: string; data: string; runAs: User | null; port: number },
  options: StartTestPostgresOptions,
): Promise<RunningPostgres> {
  return startOnPort({
    preferredPort,
    alsoOffset: 0,
    graceMs: STOP_MS,
    start: (port) =>
      startChild({
        command: join(bin, 'postgres'),
        args: ['-D', data, '-p', String(port), ...SETTINGS.flatMap((setting) => ['-c', setting])],
        logFile: join(dirname(options.folder), 'postgres-server.log'),
        cwd: options.folder,
        guardian: options.guardian,
        ...(runAs !== null && { runAs }),
      }),
    whenReady: async (child, port) => {
      const url = `postgres://postgres@${LOOPBACK}:${port}/postgres`;
      const look = async (): Promise<string | null> => {
        const health = await checkPostgres(url);
        return health.isHealthy ? health.detail : null;
      };
      const givenUp = (): string | null => (child.hasEnded() ? 'it ended at once' : null);
      const detail = await waitUntil(look, { timeoutMs: START_MS, everyMs: 100, givenUp });
      options.tell('ready', `Postgres on ${LOOPBACK}:${port} (${detail})`);
      return { url, stop: (signal) => child.stop(STOP_MS, signal) };
    },
  });
}

async function makeCluster(bin: string, data: string, runAs: User | null): Promise<void> {
  const args = [
    '-D',
    data,
    '-U',
    'postgres',
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--no-locale',
    '--no-sync',
  ];
  const child = spawn(join(bin, 'initdb'), args, {
    cwd: dirname(data),
    stdio: ['ignore', 'ignore', 'pipe'],
    ...runAs,
  });
  let errors = '';
  child.stderr.on('data', (text: Buffer) => (errors += text.toString('utf8')));
  const code = await new Promise((resolve) => {
    child.once('error', resolve);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`initdb failed: ${errors || String(code)}`);
}

/** Folder with `initdb` and `postgres`, of the newest version there is. */
function findPostgres(): string | null {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root) : [];
  const newestFirst = versions.sort((a, b) => Number(b) - Number(a));
  const onPath = findCommand('initdb');
  const folders = [...newestFirst.map((version) => join(root, version, 'bin'))];
  if (onPath !== null) folders.push(dirname(onPath));
  return (
    folders.find(
      (bin) => isExecutable(join(bin, 'initdb')) && isExecutable(join(bin, 'postgres')),
    ) ?? null
  );
}

async function installPostgres(options: StartTestPostgresOptions): Promise<string | null> {
  const apt = findCommand('apt-get');
  if (apt === null || process.getuid?.() !== 0 || !options.mayInstall) return null;
  options.tell('installing', 'Postgres is not on this machine: installing it with apt-get');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  await runCommand(apt, ['update'], { env, timeoutMs: INSTALL_MS });
  for (const name of ['postgresql-15', 'postgresql']) {
    const args = ['install', '-y', '--no-install-recommends', name];
    const result = await runCommand(apt, args, { env, timeoutMs: INSTALL_MS });
    if (result.isOk) return findPostgres();
    options.tell('failed', `apt-get install ${name} failed: ${result.output.slice(-300)}`);
  }
  return null;
}

function userNamed(name: string): User | null {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  return uid === undefined || gid === undefined ? null : { uid: Number(uid), gid: Number(gid) };
}
