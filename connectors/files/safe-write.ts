/**
 * Replaces files whole, each or not at all.
 *
 * The order is: decide, lock the folder, read, decide again if it changed, write a temporary file
 * beside it, flush, look once more that the file is what was decided on, rename; at last flush the
 * folder. Nobody is told that a file is written before its folder is flushed: a write that was
 * answered survives a power cut. Files of one batch share the lock and that last flush.
 *
 * Foreign writers know no lock; between the last look and the rename there are a few microseconds
 * in which a foreign *replacement* of the file would be lost, and that is the whole of it (grade
 * C). A foreign writer that still holds the old file open is not lost: the old file is handed to
 * `onReplaced`.
 */
import { constants, linkSync, renameSync, statSync, unlinkSync, type BigIntStats } from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AppError } from '../../domain/errors.ts';
import type { IdSource } from '../../domain/ids.ts';
import type { ApplyOutcome, RemoteOp } from '../connector.ts';
import { sideBySide } from '../../domain/side-by-side.ts';
import { flushFolder, makeFolder, raced, TEMP_SUFFIX, withFolderLock } from './folder-lock.ts';
import { realPathIn, unreachable, type Place } from './places.ts';
import { bytesOf, openForReading, readHandle, requireText, type TextFile } from './read-file.ts';

/** What to do with a file, decided on its present text; called again when the text has changed. */
export type Decide<T> = (now: TextFile | null) => FileDecision<T> | Promise<FileDecision<T>>;

export type FileDecision<T> =
  | { readonly action: 'keep'; readonly result: T }
  | { readonly action: 'replace'; readonly text: string; readonly result: T }
  | { readonly action: 'remove'; readonly result: T };

/** A file that was replaced or removed; its old content stays readable through the handle. */
export interface ReplacedFile {
  readonly place: Place;
  readonly path: string;
  /** Whoever takes it closes it. */
  readonly handle: FileHandle;
  readonly before: TextFile;
  /** The text we put in its place; null when we removed it. */
  readonly written: string | null;
}

export interface SafeWriteDeps {
  /** Called when no lock is held. */
  readonly onReplaced: (replaced: ReplacedFile) => void | Promise<void>;
  readonly newId: IdSource;
}

/** One file of a batch; `path` is relative to the place. */
export interface FileJob<T> {
  readonly path: string;
  readonly decide: Decide<T>;
}

export interface SafeWrite {
  /**
   * @throws AppError REMOTE_WRITE_RACED when other writers kept interfering; nothing was written
   * @throws AppError CONNECTOR_UNREACHABLE on I/O errors; PATH_ESCAPES_ROOT, REMOTE_* for a faulty file
   */
  <T>(place: Place, path: string, decide: Decide<T>): Promise<T>;
  /** Several files side by side, each on its own: what became of it, or what it would have thrown. */
  all<T>(place: Place, jobs: readonly FileJob<T>[]): Promise<readonly PromiseSettledResult<T>[]>;
}

const MAX_TRIES = 4;
/** Files under one lock: old files stay open until it is released. */
const FILES_PER_LOCK = 128;
/** Files worked on at a time. */
const SIDE_BY_SIDE = 8;

export function createSafeWrite(deps: SafeWriteDeps): SafeWrite {
  async function one<T>(place: Place, path: string, decide: Decide<T>): Promise<T> {
    const [settled] = await all(place, [{ path, decide }]);
    if (settled?.status === 'fulfilled') return settled.value;
    throw settled?.reason;
  }

  async function all<T>(
    place: Place,
    jobs: readonly FileJob<T>[],
  ): Promise<readonly PromiseSettledResult<T>[]> {
    const settled: PromiseSettledResult<T>[] = [];
    for (let at = 0; at < jobs.length; at += FILES_PER_LOCK) {
      settled.push(...(await writeSome(place, jobs.slice(at, at + FILES_PER_LOCK), deps)));
    }
    return settled;
  }

  return Object.assign(one, { all });
}

/** A file that is to change, and where it really is. */
interface Target<T> {
  readonly place: Place;
  readonly path: string;
  readonly real: string;
  readonly decide: Decide<T>;
}

/** What became of a file; `replaced` where there was one before. */
interface Swapped<T> {
  readonly result: T;
  readonly replaced: ReplacedFile | null;
}

async function writeSome<T>(
  place: Place,
  jobs: readonly FileJob<T>[],
  deps: SafeWriteDeps,
): Promise<readonly PromiseSettledResult<T>[]> {
  const settled = new Map<FileJob<T>, PromiseSettledResult<T>>();
  const folders = new Map<string, Map<FileJob<T>, Target<T>>>();
  await sideBySide(jobs, SIDE_BY_SIDE, async (job) => {
    const decide = remembering(job.decide);
    const [outcome] = await Promise.allSettled([decidedUnlocked(place, job.path, decide)]);
    if (outcome.status === 'rejected') settled.set(job, outcome);
    else if ('result' in outcome.value) settled.set(job, fulfilled(outcome.value.result));
    else {
      const { real } = outcome.value;
      const folder = folders.get(dirname(real)) ?? new Map<FileJob<T>, Target<T>>();
      folders.set(dirname(real), folder.set(job, { place, path: job.path, real, decide }));
    }
  });
  for (const [folder, targets] of folders) {
    for (const [job, outcome] of await writeInFolder(folder, targets, deps))
      settled.set(job, outcome);
  }
  return jobs.map((job) => settled.get(job)!);
}

/** Most often nothing is to be done; that is found out without a lock. */
async function decidedUnlocked<T>(
  place: Place,
  path: string,
  decide: Decide<T>,
): Promise<{ readonly result: T } | { readonly real: string }> {
  const decision = await decide(await requireText(place, path));
  if (decision.action === 'keep') return { result: decision.result };
  return { real: await realPathIn(place, path) };
}

async function writeInFolder<K, T>(
  folder: string,
  targets: ReadonlyMap<K, Target<T>>,
  deps: SafeWriteDeps,
): Promise<ReadonlyMap<K, PromiseSettledResult<T>>> {
  const settled = new Map<K, PromiseSettledResult<T>>();
  const swapped = new Map<K, Swapped<T>>();
  const isLast = (thrown: unknown): PromiseRejectedResult => ({
    status: 'rejected',
    reason: unreachable([...targets.values()][0]?.path ?? folder, thrown),
  });
  try {
    await makeFolder(folder);
    await withFolderLock(folder, async () => {
      await sideBySide([...targets], SIDE_BY_SIDE, async ([key, target]) => {
        const [outcome] = await Promise.allSettled([replaceUnlessRaced(target, deps)]);
        if (outcome.status === 'fulfilled') swapped.set(key, outcome.value);
        else
          settled.set(key, {
            status: 'rejected',
            reason: unreachable(target.path, outcome.reason),
          });
      });
      if (swapped.size > 0) await flushFolder(folder);
    });
  } catch (thrown) {
    // The lock or the flush failed: nobody may be told that a file is safe.
    for (const key of targets.keys()) if (!settled.has(key)) settled.set(key, isLast(thrown));
  }
  for (const [key, { result, replaced }] of swapped) {
    if (replaced) await deps.onReplaced(replaced);
    if (!settled.has(key)) settled.set(key, fulfilled(result));
  }
  return settled;
}

const fulfilled = <T>(value: T): PromiseFulfilledResult<T> => ({ status: 'fulfilled', value });

/** Decides once for each state of the file; deciding may mean much parsing. */
function remembering<T>(decide: Decide<T>): Decide<T> {
  const known = new Map<string | null, FileDecision<T>>();
  return async (now) => {
    const hash = now?.hash ?? null;
    const decision = known.get(hash) ?? (await decide(now));
    known.set(hash, decision);
    return decision;
  };
}

/** Losing a race is a result the engine retries, not an unknown state: nothing was written. */
export async function unlessRaced(
  ops: readonly RemoteOp[],
  work: () => Promise<readonly ApplyOutcome[]>,
): Promise<readonly ApplyOutcome[]> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof AppError) || thrown.code !== 'REMOTE_WRITE_RACED') throw thrown;
    const { code, message: detail } = thrown;
    return ops.map(({ opId }) => ({ status: 'failed', opId, code, detail, isRetryable: true }));
  }
}

async function replaceUnlessRaced<T>(target: Target<T>, deps: SafeWriteDeps): Promise<Swapped<T>> {
  for (let tried = 0; tried < MAX_TRIES; tried += 1) {
    const done = await replaceOnce(target, deps);
    if (done) return done;
  }
  throw raced(target.path);
}

/** One try; null when the file changed under it. */
async function replaceOnce<T>(target: Target<T>, deps: SafeWriteDeps): Promise<Swapped<T> | null> {
  const { place, path, real } = target;
  const handle = await openForReading(real);
  let isHandedOver = false;
  let temp: string | null = null;
  try {
    const now = handle && (await usableText(handle, path));
    const decision = await target.decide(now);
    if (decision.action === 'keep') return { result: decision.result, replaced: null };
    const written = decision.action === 'replace' ? decision.text : null;
    if (written !== null)
      temp = await writeTemp({ real, text: written, now, like: handle, id: deps.newId() });
    const old = handle && now ? { handle, now } : null;
    if (!(await swap(real, temp, old))) return null;
    temp = null;
    isHandedOver = old !== null;
    const replaced = old && { place, path, handle: old.handle, before: old.now, written };
    return { result: decision.result, replaced };
  } finally {
    if (temp) await rm(temp, { force: true });
    if (!isHandedOver) await handle?.close();
  }
}

/** Puts the temporary file in place (or removes the file) if it is still what was decided on. */
async function swap(
  real: string,
  temp: string | null,
  old: { readonly handle: FileHandle; readonly now: TextFile } | null,
): Promise<boolean> {
  if (!old) return temp === null || createExclusively(temp, real);
  const opened = await old.handle.stat({ bigint: true });
  const again = await readHandle(old.handle);
  if (again.status !== 'text' || again.hash !== old.now.hash) return false;
  // From here on synchronous: nothing of ours may run between the last look and the rename.
  const there = statSync(real, { bigint: true, throwIfNoEntry: false });
  if (!there || !isSameFile(opened, there)) return false;
  if (temp === null) unlinkSync(real);
  else renameSync(temp, real);
  return true;
}

function isSameFile(a: BigIntStats, b: BigIntStats): boolean {
  return a.ino === b.ino && a.dev === b.dev && a.size === b.size && a.mtimeNs === b.mtimeNs;
}

/** A hard link fails where a rename would silently replace what somebody just created. */
function createExclusively(temp: string, real: string): boolean {
  try {
    linkSync(temp, real);
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST') {
      unlinkSync(temp);
      return false;
    }
    throw thrown;
  }
  unlinkSync(temp);
  return true;
}

async function usableText(handle: FileHandle, path: string): Promise<TextFile> {
  const state = await readHandle(handle);
  if (state.status === 'text') return state;
  if (state.status === 'missing') throw raced(path);
  throw new AppError(state.code, `${path}: ${state.detail}`);
}

interface TempFile {
  readonly real: string;
  readonly text: string;
  readonly now: TextFile | null;
  readonly like: FileHandle | null;
  readonly id: string;
}

async function writeTemp({ real, text, now, like, id }: TempFile): Promise<string> {
  const temp = join(dirname(real), `.${basename(real)}.${id}${TEMP_SUFFIX}`);
  const stat = await like?.stat();
  const handle = await open(temp, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
  try {
    await handle.writeFile(bytesOf(text, now?.hasBom ?? false));
    if (stat) await handle.chmod(stat.mode & 0o7777);
    // Only root may give a file away; for others it is theirs already, or stays so.
    if (stat) await handle.chown(stat.uid, stat.gid).catch(() => undefined);
    await handle.sync();
  } catch (thrown) {
    await rm(temp, { force: true });
    throw thrown;
  } finally {
    await handle.close();
  }
  return temp;
}
