/**
 * Hints that a link's files may have changed. Folders are watched, not only files, so that
 * editors which save by renaming, and files that do not exist yet, are noticed too.
 */
import { join, relative, sep } from 'node:path';
import { watch, type FSWatcher } from 'chokidar';
import type { FileLayout } from './file-layout.ts';
import type { Place } from './places.ts';
import { isOwnFile } from './folder-lock.ts';

export interface WatchRequest {
  readonly layout: FileLayout;
  readonly onHint: () => void;
  readonly onError: (thrown: unknown) => void;
  /** Changes closer together than this give one hint. */
  readonly debounceMs: number;
}

/** Watches until the returned function is called; resolves once changes are noticed. */
export async function watchPlaces(request: WatchRequest): Promise<() => Promise<void>> {
  let timer: NodeJS.Timeout | null = null;
  const hint = (): void => {
    if (timer) clearTimeout(timer);
    timer = setTimeout(request.onHint, request.debounceMs);
  };
  const watchers = await Promise.all(
    request.layout.places.map((place) => watchPlace(place, request, hint)),
  );
  return async () => {
    await Promise.all(watchers.map((watcher) => watcher.close()));
    if (timer) clearTimeout(timer);
  };
}

async function watchPlace(
  place: Place,
  request: WatchRequest,
  hint: () => void,
): Promise<FSWatcher> {
  const watcher = watch(place.base, {
    ignoreInitial: true,
    // Not `atomic`: a file that is gone for a moment deserves a look as well.
    atomic: false,
    ignored: (path) => !isOnTheWay(place, path, request.layout),
  });
  watcher.on('all', hint);
  // chokidar drops a change that follows another within 50 ms; the raw events do not.
  watcher.on('raw', (_event, name, details: unknown) => {
    if (isRelevant(place, { name, details }, request.layout)) hint();
  });
  watcher.on('error', request.onError);
  await new Promise<void>((resolve) => watcher.once('ready', () => resolve()));
  return watcher;
}

interface RawEvent {
  readonly name: string | null;
  readonly details: unknown;
}

function isRelevant(place: Place, { name, details }: RawEvent, layout: FileLayout): boolean {
  const watched = watchedPath(details);
  if (watched === null || name === null) return true;
  // For a watched file the name is the file's own; for a folder it is an entry's.
  const paths = [watched, join(watched, name)].map((path) => pathIn(place, path));
  return !isOwnFile(name) && paths.some((path) => layout.isFile(place, path));
}

function watchedPath(details: unknown): string | null {
  const isKnown = typeof details === 'object' && details !== null && 'watchedPath' in details;
  return isKnown && typeof details.watchedPath === 'string' ? details.watchedPath : null;
}

/** Whether a path is a file of the link, or a folder one may be in. */
function isOnTheWay(place: Place, absolute: string, layout: FileLayout): boolean {
  const path = pathIn(place, absolute);
  return path === '' || layout.isFile(place, path) || layout.isFolder(place, path);
}

function pathIn(place: Place, absolute: string): string {
  return relative(place.base, absolute).split(sep).join('/');
}
