/** Writes a file that appears under its name when it is whole, or never; replaces none unasked. */
import { randomUUID } from 'node:crypto';
import { createWriteStream, rmSync } from 'node:fs';
import { link, lstat, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { messageOf, UsageError } from './exit-code.ts';

const EXIT_AFTER_SIGNAL = { SIGINT: 130, SIGTERM: 143 } as const;

export interface FileOptions {
  /** Whether a file of that name may be replaced. */
  readonly isForced: boolean;
}

/**
 * Writes pieces to a file in a folder that is there. Ctrl-C leaves nothing behind.
 * @throws UsageError FILE_EXISTS
 */
export async function writeWholeFile(
  name: string,
  pieces: AsyncIterable<Uint8Array>,
  { isForced }: FileOptions,
): Promise<void> {
  const file = resolve(name);
  const draft = `${file}.${randomUUID().slice(0, 8)}.part`;
  const giveUp = (signal: keyof typeof EXIT_AFTER_SIGNAL): void => {
    rmSync(draft, { force: true });
    process.exit(EXIT_AFTER_SIGNAL[signal]);
  };
  process.on('SIGINT', giveUp);
  process.on('SIGTERM', giveUp);
  try {
    await pipeline(Readable.from(pieces), createWriteStream(draft, { flags: 'wx', mode: 0o600 }));
    const handle = await open(draft, 'r');
    await handle.sync().finally(() => handle.close());
    await (isForced ? rename(draft, file) : placeNew(draft, file));
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  } finally {
    process.off('SIGINT', giveUp);
    process.off('SIGTERM', giveUp);
  }
}

/**
 * Refuses, before any work is done, a name that cannot be written under.
 * @throws UsageError FILE_EXISTS (unless forced), FOLDER_NOT_FOUND, USAGE for a folder
 */
export async function requireFree(name: string, { isForced }: FileOptions): Promise<void> {
  const file = resolve(name);
  await requireFolder(dirname(file));
  const found = await lstat(file).catch(absent);
  if (found?.isDirectory()) throw new UsageError(`${name} is a folder; name a file`);
  if (found !== null && !isForced) throw taken(file);
}

/**
 * Gives a finished draft its name; of several at once one wins.
 * @throws UsageError FILE_EXISTS: there is such a file by now; the draft is left
 */
export async function placeNew(draft: string, file: string, hardLink = link): Promise<void> {
  try {
    await hardLink(draft, file);
  } catch (error) {
    if (isCode(error, 'EEXIST')) throw taken(file);
    return claimAndRename(draft, file);
  }
  await rm(draft);
}

/** For file systems without hard links: what is replaced is an empty file of ours. */
async function claimAndRename(draft: string, file: string): Promise<void> {
  const claim = await open(file, 'wx').catch((error: unknown) => {
    throw isCode(error, 'EEXIST') ? taken(file) : error;
  });
  await claim.close();
  try {
    await rename(draft, file);
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
}

async function requireFolder(folder: string): Promise<void> {
  const fault = await stat(folder).then(
    (found) => (found.isDirectory() ? null : 'is no folder'),
    (error: unknown) =>
      isCode(error, 'ENOENT') ? 'does not exist' : `cannot be used: ${messageOf(error)}`,
  );
  if (fault !== null) throw new UsageError(`the folder ${folder} ${fault}`, 'FOLDER_NOT_FOUND');
}

function taken(file: string): UsageError {
  return new UsageError(`${file} exists; name another, or replace it with --force`, 'FILE_EXISTS');
}

function absent(error: unknown): null {
  if (isCode(error, 'ENOENT')) return null;
  throw error;
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
