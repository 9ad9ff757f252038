/**
 * The folders a link works in and the files it may touch there. Every path is resolved through
 * symbolic links before it is opened; one that leads out of its place is refused.
 */
import { realpathSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { AppError, messageOf } from '../../domain/errors.ts';
import type { ConnectorPermissions } from '../connector.ts';

/** One folder tree a link works in: a project, a user's home with its `.factory`, a memory folder. */
export interface Place {
  /** Absolute; file paths of the place are relative to it, with `/`. */
  readonly base: string;
  /** Nothing outside this folder is opened: the project root, or `~/.factory`. */
  readonly boundary: string;
  /** Before the paths of its files, to tell places apart (`~/`); empty for the project. */
  readonly idPrefix: string;
  /** Before the names of its memory items; empty for none. */
  readonly namePrefix: string;
  /** Whether the folder must be there; without it nothing counts as deleted, the run fails. */
  readonly isRequired: boolean;
}

/** @throws AppError CONNECTOR_NOT_ALLOWED unless every place lies within an allowed folder */
export function checkPlaces(places: readonly Place[], permissions: ConnectorPermissions): void {
  const roots = permissions.fileRoots.map(realOrSelf);
  for (const { boundary } of places) {
    const real = realOrSelf(boundary);
    if (roots.some((root) => isWithin(real, root))) continue;
    throw new AppError(
      'CONNECTOR_NOT_ALLOWED',
      `This server may not open the folder ${boundary}: it lies in none of SYNCLINE_FILE_ROOTS.`,
    );
  }
}

/**
 * Before anything is read or written: the places are still allowed and those that must be there are.
 *
 * @throws AppError CONNECTOR_NOT_ALLOWED, CONNECTOR_UNREACHABLE
 */
export async function checkReachable(
  places: readonly Place[],
  permissions: ConnectorPermissions,
): Promise<void> {
  checkPlaces(places, permissions);
  for (const { base } of places.filter(({ isRequired }) => isRequired)) {
    const found = await stat(base).catch((thrown: unknown) => {
      throw unreachable(base, isMissing(thrown) ? new Error('the folder does not exist') : thrown);
    });
    if (!found.isDirectory()) throw unreachable(base, new Error('it is not a folder'));
  }
}

/** Whether a path is a folder or lies below it; both absolute and resolved. */
export function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}

/**
 * The real path of a place's file, which may not exist yet.
 *
 * @throws AppError PATH_ESCAPES_ROOT when a link or `..` leads out of the place
 * @throws AppError CONNECTOR_UNREACHABLE when the way there cannot be followed
 */
export async function realPathIn(place: Place, path: string): Promise<string> {
  const wished = resolve(place.base, path);
  const boundary = await realOfExisting(place.boundary);
  const real = await realOfExisting(wished);
  if (isWithin(real, boundary) && isWithin(wished, place.boundary)) return real;
  throw new AppError('PATH_ESCAPES_ROOT', `${place.idPrefix}${path} leads out of its folder.`);
}

/** A file system error as what it means for the remote: it cannot be read, not "it is gone". */
export function unreachable(path: string, thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  return new AppError('CONNECTOR_UNREACHABLE', `${path}: ${messageOf(thrown)}`, {
    retryable: true,
    cause: thrown,
  });
}

export function isMissing(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT';
}

/** Resolves the part of a path that exists and keeps the rest. */
async function realOfExisting(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (thrown) {
    const parent = dirname(path);
    if (!isMissing(thrown) || parent === path) throw unreachable(path, thrown);
    return join(await realOfExisting(parent), relative(parent, path));
  }
}

/** The real path where it exists, the rest as written; never throws. */
export function realOrSelf(path: string): string {
  const whole = resolve(path);
  try {
    return realpathSync(whole);
  } catch (thrown) {
    const parent = dirname(whole);
    if (!isMissing(thrown) || parent === whole) return whole;
    return join(realOrSelf(parent), relative(parent, whole));
  }
}
