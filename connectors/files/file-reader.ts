/**
 * Reads files and remembers them: a file that is the same file, of the same size, untouched since,
 * is not read again. File systems keep time coarsely, so a file that changed just before it was
 * read is in doubt, and is read again until it has rested.
 */
import { lstat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../../domain/clock.ts';
import { sideBySide } from '../../domain/side-by-side.ts';
import { realPathIn, type Place } from './places.ts';
import { readTextFile, type FileState, type TextFile } from './read-file.ts';

export interface FileReader {
  /**
   * The files of these paths as they are now, in their order; what is not asked for any more is
   * forgotten.
   *
   * @throws AppError CONNECTOR_UNREACHABLE when one is there but cannot be read
   */
  readAll(place: Place, paths: readonly string[], signal?: AbortSignal): Promise<FileState[]>;
}

/** Coarser than any file system's time stamps: FAT keeps two seconds. */
const RESTED_MS = 2_100;
/** More text than this is not remembered, in UTF-16 code units. */
const MAX_CHARS = 32 * 1024 * 1024;
const SIDE_BY_SIDE = 8;

interface Known {
  readonly mark: string;
  readonly state: TextFile;
}

export function createFileReader({ clock }: { readonly clock: Clock }): FileReader {
  const places = new Map<string, Map<string, Known>>();

  async function readOne(
    place: Place,
    path: string,
    real: string | null,
  ): Promise<Known | FileState> {
    const known = places.get(place.idPrefix)?.get(path);
    // The mark is taken before the bytes: a change in between makes it another one next time.
    const mark = real === null ? null : await markOf(real, clock.now());
    if (mark !== null && known?.mark === mark) return known;
    const state = await readTextFile(place, path);
    return mark !== null && state.status === 'text' ? { mark, state } : state;
  }

  return {
    async readAll(place, paths, signal) {
      const folders = new Map<string, Promise<string | null>>();
      for (const path of paths) {
        const folder = dirname(path);
        if (!folders.has(folder)) folders.set(folder, realFolder(place, folder));
      }
      const seen = new Map<string, Known>();
      let chars = 0;
      const states = await sideBySide(paths, SIDE_BY_SIDE, async (path) => {
        signal?.throwIfAborted();
        const folder = (await folders.get(dirname(path))) ?? null;
        const found = await readOne(place, path, folder && join(folder, basename(path)));
        if (!('mark' in found)) return found;
        chars += found.state.text.length;
        if (chars <= MAX_CHARS) seen.set(path, found);
        return found.state;
      });
      places.set(place.idPrefix, seen);
      return states;
    },
  };
}

/** A folder that leads out of its place, or is none, leaves each file to be judged on its own. */
function realFolder(place: Place, folder: string): Promise<string | null> {
  return realPathIn(place, folder).catch(() => null);
}

/** What changes when a file does; null while that is in doubt, and for what is no plain file. */
async function markOf(path: string, nowMs: number): Promise<string | null> {
  // What is wrong with it is said by whoever reads it.
  const stat = await lstat(path).catch(() => null);
  const hasRested = stat && Math.max(stat.ctimeMs, stat.mtimeMs) + RESTED_MS < nowMs;
  if (!hasRested || !stat.isFile()) return null;
  return [stat.dev, stat.ino, stat.size, stat.mtimeMs, stat.ctimeMs, stat.mode].join(' ');
}
