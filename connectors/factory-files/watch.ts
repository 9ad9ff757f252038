/**
 * Hints that a link's files may have changed. Folders are watched, not only files, so that
 * editors which save by renaming, and files that do not exist yet, are noticed too.
 */
import { join, relative, sep } from 'node:path';
import { watch, type FSWatcher } from 'chokidar';
import type { Include } from './factory-files-config.ts';
import { isDocumentPath, isEntered } from './list-documents.ts';
import { MEMORY_PATH, type Place } from './places.ts';
import { isOwnFile } from './safe-write.ts';

export interface WatchRequest {
  readonly places: readonly Place[];
  readonly include: readonly Include[];
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
    request.places.map((place) => watchPlace(place, request, hint)),
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
    ignored: (path) => !isOnTheWay(place, path, request.include),
  });
  watcher.on('all', hint);
  // chokidar drops a change that follows another within 50 ms; the raw events do not.
  watcher.on('raw', (_event, name, details: unknown) => {
    if (isRelevant(place, { name, details }, request.include)) hint();
  });
  watcher.on('error', request.onError);
  await new Promise<void>((resolve) => watcher.once('ready', () => resolve()));
  return watcher;
}

interface RawEvent {
  readonly name: string | null;
  readonly details: unknown;
}

function isRelevant(
  place: Place,
  { name, details }: RawEvent,
  include: readonly Include[],
): boolean {
  const watched = watchedPath(details);
  if (watched === null || name === null) return true;
  // For a watched file the name is the file's own; for a folder it is an entry's.
  const paths = [watched, join(watched, name)].map((path) => pathIn(place, path));
  return !isOwnFile(name) && paths.some((path) => isFile(place, path, include));
}

function watchedPath(details: unknown): string | null {
  const isKnown = typeof details === 'object' && details !== null && 'watchedPath' in details;
  return isKnown && typeof details.watchedPath === 'string' ? details.watchedPath : null;
}

/** Whether a path is a file of the link, or a folder one may be in. */
function isOnTheWay(place: Place, absolute: string, include: readonly Include[]): boolean {
  const path = pathIn(place, absolute);
  if (path === '' || isFile(place, path, include)) return true;
  if (path === '.factory') return true;
  const parts = path.split('/');
  if (parts[0] === '.factory') return include.some((one) => parts[1] === one) && parts.length <= 3;
  const mayHoldAgents = include.includes('agents') && place.idPrefix === '';
  return mayHoldAgents && parts.every(isEntered) && !/\.[a-z0-9]+$/i.test(parts.at(-1) ?? '');
}

function isFile(place: Place, path: string, include: readonly Include[]): boolean {
  if (path === MEMORY_PATH) return include.includes('memories');
  return isDocumentPath(place, path, include);
}

function pathIn(place: Place, absolute: string): string {
  return relative(place.base, absolute).split(sep).join('/');
}
