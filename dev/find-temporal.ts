/**
 * Where the `temporal` program comes from: PATH, our cache outside the checkout, the official
 * download, or the Go tool chain. Each step says what it does, how long it takes, and why it failed.
 */
import { chmodSync, createWriteStream, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError, messageOf } from '../domain/errors.ts';
import { findCommand, isExecutable, runCommand } from './find-command.ts';
import type { StartServerOptions } from './server.ts';

type FindOptions = Pick<StartServerOptions, 'tell' | 'mayInstall' | 'signal'>;

/** From 1.6.0 on `go install` refuses it, because of a `replace` in its module file. */
const GO_MODULE = 'github.com/temporalio/cli/cmd/temporal@v1.5.1';
const DOWNLOAD = 'https://temporal.download/cli/archive/latest';
const MANUAL = 'https://docs.temporal.io/cli#install';
const CONNECT_MS = 5000;
const DOWNLOAD_MS = 120_000;
const GO_INSTALL_MS = 20 * 60_000;
const PROGRESS_MS = 10_000;

/** Folder where programs we fetched are kept, shared by all checkouts of this user. */
export function binCacheFolder(): string {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(cache, 'syncline', 'bin');
}

/** Full path of a `temporal` program. Throws `SERVER_NOT_STARTED` listing what was tried. */
export async function findTemporal(options: FindOptions): Promise<string> {
  const onPath = findCommand('temporal');
  if (onPath !== null) return onPath;
  const cached = join(binCacheFolder(), 'temporal');
  if (isExecutable(cached)) return cached;
  const tried = [`not on PATH`, `not in ${binCacheFolder()}`];
  if (!options.mayInstall) tried.push('fetching it is turned off');
  else if (await fetchTemporal(cached, options, tried)) return cached;
  throw new AppError(
    'SERVER_NOT_STARTED',
    `Temporal's program is not on this machine: ${tried.join('; ')}.\n` +
      `What to do: install the Temporal CLI (${MANUAL}) or Go 1.25 or newer, ` +
      `or set TEMPORAL_ADDRESS to a Temporal of yours.`,
  );
}

async function fetchTemporal(
  target: string,
  options: FindOptions,
  tried: string[],
): Promise<boolean> {
  mkdirSync(binCacheFolder(), { recursive: true });
  // Work beside the target: the final rename must not cross file systems.
  const work = mkdtempSync(join(binCacheFolder(), 'fetch-'));
  try {
    for (const way of [download, goInstall]) {
      try {
        renameSync(await way(work, options), target);
        return true;
      } catch (thrown) {
        options.signal?.throwIfAborted();
        tried.push(messageOf(thrown));
        options.tell('installing', messageOf(thrown));
      }
    }
    return false;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function download(work: string, options: FindOptions): Promise<string> {
  options.tell('installing', 'Temporal is not on this machine: trying the official download');
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const archive = join(work, 'temporal.tar.gz');
  try {
    await downloadFile(`${DOWNLOAD}?platform=${platform}&arch=${arch}`, archive, options.signal);
  } catch (cause) {
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    throw new Error(`the official download did not work (${messageOf(reason)})`, { cause });
  }
  const unpacked = await runCommand('tar', ['-xzf', archive, '-C', work], { timeoutMs: 60_000 });
  const program = join(work, 'temporal');
  if (!unpacked.isOk) throw new Error(`the download could not be unpacked (${unpacked.output})`);
  chmodSync(program, 0o755);
  const version = await runCommand(program, ['--version'], { timeoutMs: 10_000 });
  if (!version.isOk) throw new Error(`the downloaded program does not run (${version.output})`);
  options.tell('installing', `downloaded ${version.output}`);
  return program;
}

async function downloadFile(url: string, file: string, signal?: AbortSignal): Promise<void> {
  // A network that answers nothing must not hold us up: the head of the answer has a short limit.
  const connecting = new AbortController();
  const timer = setTimeout(() => connecting.abort(new Error('no answer within 5 s')), CONNECT_MS);
  const limits = [connecting.signal, AbortSignal.timeout(DOWNLOAD_MS), ...(signal ? [signal] : [])];
  const response = await fetch(url, { signal: AbortSignal.any(limits) }).finally(() =>
    clearTimeout(timer),
  );
  if (!response.ok || response.body === null) throw new Error(`HTTP status ${response.status}`);
  await pipeline(Readable.fromWeb(response.body), createWriteStream(file));
}

async function goInstall(work: string, options: FindOptions): Promise<string> {
  const go = findCommand('go');
  if (go === null) throw new Error('Go is not on PATH');
  options.tell('installing', `building Temporal with Go (${GO_MODULE}); about 5 minutes, once`);
  const begin = performance.now();
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - begin) / 1000);
    options.tell('installing', `still building Temporal with Go (${seconds} s of about 300 s)`);
  }, PROGRESS_MS);
  try {
    const result = await runCommand(go, ['install', GO_MODULE], {
      timeoutMs: GO_INSTALL_MS,
      env: { ...process.env, GOBIN: work, GOFLAGS: '' },
      signal: options.signal,
    });
    if (!result.isOk) throw new Error(`building with Go failed (${result.output.slice(-500)})`);
    return join(work, 'temporal');
  } finally {
    clearInterval(timer);
  }
}
