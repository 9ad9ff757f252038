/** Folders of a place, listed so that what cannot be read is never taken for empty. */
import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { AppError } from '../../domain/errors.ts';
import { isMissing, realPathIn, unreachable, type Place } from './places.ts';

/** A walk over more entries than this is refused rather than cut: a cut listing looks like deletes. */
const MAX_ENTRIES = 200_000;
const MAX_DEPTH = 24;

/**
 * Entries of a folder; none when there is no such folder, or it is a file.
 *
 * @throws AppError CONNECTOR_UNREACHABLE when it cannot be read, PATH_ESCAPES_ROOT when it leads out
 */
export async function entriesOf(place: Place, folder: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(await realPathIn(place, folder), { withFileTypes: true });
  } catch (thrown) {
    if (isMissing(thrown) || isNoFolder(thrown)) return [];
    throw unreachable(`${place.idPrefix}${folder}`, thrown);
  }
}

/** Entries of a folder as paths. @throws AppError as {@link entriesOf} */
export async function pathsIn(place: Place, folder: string): Promise<readonly string[]> {
  const entries = await entriesOf(place, folder);
  return entries.map((entry) => `${folder}/${entry.name}`);
}

export interface Walk {
  /** Where it begins; the place itself is ''. */
  readonly folder: string;
  readonly isWanted: (name: string) => boolean;
  readonly isEntered: (name: string) => boolean;
}

/**
 * Paths of all wanted entries below a folder; linked folders are not entered.
 *
 * @throws AppError as {@link entriesOf}; REMOTE_TOO_LARGE when there are too many entries to walk
 */
export async function walk(place: Place, request: Walk): Promise<readonly string[]> {
  const found: string[] = [];
  const folders = [request.folder];
  let seen = 0;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const entries = await entriesOf(place, folder);
    seen += entries.length;
    if (seen > MAX_ENTRIES)
      throw new AppError('REMOTE_TOO_LARGE', `more than ${MAX_ENTRIES} files to look through`);
    for (const entry of entries) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      const isDeep = path.split('/').length >= MAX_DEPTH;
      if (entry.isDirectory()) {
        if (!isDeep && request.isEntered(entry.name)) folders.push(path);
      } else if (request.isWanted(entry.name)) found.push(path);
    }
  }
  return found;
}

function isNoFolder(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOTDIR';
}
