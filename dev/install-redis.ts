/** Getting Redis from the machine's own package manager, where this user may use it. */
import { AppError } from '../domain/errors.ts';
import { findCommand, runCommand } from './find-command.ts';
import type { StartServerOptions } from './server.ts';

interface Installer {
  readonly manager: string;
  readonly needsRoot: boolean;
  /** Argument lists run one after the other. */
  readonly steps: readonly (readonly string[])[];
  /** What a person would type. */
  readonly byHand: string;
}

const INSTALL_MS = 5 * 60_000;

const INSTALLERS: readonly Installer[] = [
  {
    manager: 'apt-get',
    needsRoot: true,
    steps: [['update'], ['install', '-y', '--no-install-recommends', 'redis-server']],
    byHand: 'sudo apt-get install redis-server',
  },
  {
    manager: 'apk',
    needsRoot: true,
    steps: [['add', '--no-cache', 'redis']],
    byHand: 'sudo apk add redis',
  },
  {
    manager: 'dnf',
    needsRoot: true,
    steps: [['install', '-y', 'redis']],
    byHand: 'sudo dnf install redis',
  },
  {
    manager: 'brew',
    needsRoot: false,
    steps: [['install', 'redis']],
    byHand: 'brew install redis',
  },
];

/** Installs Redis and returns its command. Throws `SERVER_NOT_STARTED` saying what to type. */
export async function installRedis(
  options: Pick<StartServerOptions, 'tell' | 'mayInstall' | 'signal'>,
): Promise<string> {
  const found = INSTALLERS.find(({ manager }) => findCommand(manager) !== null);
  if (found === undefined) throw notFound('no package manager we know is here', 'install Redis');
  if (!options.mayInstall) throw notFound('installing is turned off', found.byHand);
  if (found.needsRoot && process.getuid?.() !== 0) {
    throw notFound(`${found.manager} needs root`, found.byHand);
  }
  options.tell('installing', `Redis is not on this machine: installing it (${found.byHand})`);
  for (const args of found.steps) {
    const result = await runCommand(found.manager, args, {
      timeoutMs: INSTALL_MS,
      signal: options.signal,
      // In a runlevel for single users Debian does not start the new service on its own.
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    });
    const isLast = args === found.steps.at(-1);
    if (!result.isOk && isLast)
      throw notFound(`${found.manager} failed: ${result.output}`, found.byHand);
  }
  const command = findCommand('redis-server', 'valkey-server');
  if (command === null) throw notFound(`${found.manager} brought no redis-server`, found.byHand);
  return command;
}

function notFound(tried: string, byHand: string): AppError {
  return new AppError(
    'SERVER_NOT_STARTED',
    `Redis is not on this machine: neither redis-server nor valkey-server is on PATH, and ${tried}.\n` +
      `What to do: ${byHand}, or set REDIS_URL to a Redis of yours.`,
  );
}
