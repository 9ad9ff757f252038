/** One writer of ours per folder: its lock, its temporary files, and what makes its writes last. */
import { constants } from 'node:fs';
import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { lock } from 'proper-lockfile';
import { AppError } from '../../domain/errors.ts';
import { isMissing } from './places.ts';

/** How the names of our temporary files end. */
export const TEMP_SUFFIX = '.syncline-tmp';
const LOCK_NAME = '.syncline.lock';

/** Whether a file name is the lock or one of the temporary files made here. */
export function isOwnFile(name: string): boolean {
  return name.endsWith(TEMP_SUFFIX) || name === LOCK_NAME;
}

/** Makes a folder that is not there yet, to stay. */
export async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true });
  if (first !== undefined) await flushFolder(dirname(first));
}

/** Temporary files of a writer that died; whoever holds the lock is the only one alive. */
async function removeLeftovers(folder: string): Promise<void> {
  const left = (await readdir(folder)).filter((name) => name.endsWith(TEMP_SUFFIX));
  await Promise.all(left.map((name) => rm(join(folder, name), { force: true })));
}

/**
 * Works while no other process of ours writes in the folder; what a dead one left is removed first.
 *
 * @throws AppError REMOTE_WRITE_RACED when another one keeps the lock
 */
export async function withFolderLock<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const release = await lock(folder, {
    realpath: false,
    lockfilePath: join(folder, LOCK_NAME),
    // A lock left by a killed process is waited out, not failed on: the retries take some 7 s.
    stale: 4_000,
    update: 1_000,
    retries: { retries: 30, factor: 1.6, minTimeout: 5, maxTimeout: 250, randomize: true },
    // A lock taken over costs nothing here: the last look before the rename decides.
    onCompromised: () => undefined,
  }).catch((thrown: unknown) => {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ELOCKED')
      throw raced(folder);
    throw thrown;
  });
  try {
    await removeLeftovers(folder);
    return await work();
  } finally {
    await release().catch((thrown: unknown) => {
      if (!isMissing(thrown) && !isReleased(thrown)) throw thrown;
    });
  }
}

function isReleased(thrown: unknown): boolean {
  return (
    thrown instanceof Error &&
    'code' in thrown &&
    /^(?:ERELEASED|ENOTACQUIRED)$/.test(String(thrown.code))
  );
}

/** Makes renames in a folder survive a power cut. */
export async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Somebody else kept writing; nothing of ours was written. */
export function raced(path: string): AppError {
  return new AppError('REMOTE_WRITE_RACED', `${path}: another writer kept interfering`, {
    retryable: true,
  });
}
