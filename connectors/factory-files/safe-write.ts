/**
 * Replaces one file whole, or not at all.
 *
 * The order is: lock, read, decide, write a temporary file beside it, flush, look once more that
 * the file is what was decided on, rename, flush the folder, read back. Foreign writers know no
 * lock; between the last look and the rename there are a few microseconds in which a foreign
 * *replacement* of the file would be lost, and that is the whole of it (grade C). A foreign writer
 * that still holds the old file open is not lost: the old file is handed to `onReplaced`.
 */
import { constants, linkSync, renameSync, statSync, unlinkSync, type BigIntStats } from 'node:fs';
import { mkdir, open, readdir, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { lock } from 'proper-lockfile';
import { AppError } from '../../domain/errors.ts';
import type { IdSource } from '../../domain/ids.ts';
import type { ApplyOutcome, RemoteOp } from '../connector.ts';
import { isMissing, realPathIn, unreachable, type Place } from './places.ts';
import { bytesOf, openForReading, readHandle, requireText, type TextFile } from './read-file.ts';

/** What to do with a file, decided on its present text; called again when the text has changed. */
export type Decide<T> = (now: TextFile | null) => FileDecision<T>;

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
  readonly onReplaced: (replaced: ReplacedFile) => void;
  readonly newId: IdSource;
}

/**
 * @throws AppError REMOTE_WRITE_RACED when other writers kept interfering; nothing was written
 * @throws AppError CONNECTOR_UNREACHABLE on I/O errors; PATH_ESCAPES_ROOT, REMOTE_* for a faulty file
 */
export type SafeWrite = <T>(place: Place, path: string, decide: Decide<T>) => Promise<T>;

const TEMP_SUFFIX = '.syncline-tmp';
const LOCK_SUFFIX = '.lock';
const MAX_TRIES = 4;

/** Whether a file name is one of the lock or temporary files made here. */
export function isOwnFile(name: string): boolean {
  return name.endsWith(TEMP_SUFFIX) || name.endsWith(LOCK_SUFFIX);
}

export function createSafeWrite(deps: SafeWriteDeps): SafeWrite {
  return async (place, path, decide) => {
    const decideOnce = remembering(decide);
    const decision = decideOnce(await requireText(place, path));
    if (decision.action === 'keep') return decision.result;
    try {
      const real = await realPathIn(place, path);
      await mkdir(dirname(real), { recursive: true });
      return await withLock(real, async () => {
        await removeLeftovers(real);
        return await replaceUnlessRaced({ place, path, real, decide: decideOnce }, deps);
      });
    } catch (thrown) {
      throw unreachable(`${place.idPrefix}${path}`, thrown);
    }
  };
}

/** Decides once for each state of the file; deciding may mean much parsing. */
function remembering<T>(decide: Decide<T>): Decide<T> {
  const known = new Map<string | null, FileDecision<T>>();
  return (now) => {
    const hash = now?.hash ?? null;
    const decision = known.get(hash) ?? decide(now);
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

interface Target<T> {
  readonly place: Place;
  readonly path: string;
  readonly real: string;
  readonly decide: Decide<T>;
}

async function replaceUnlessRaced<T>(target: Target<T>, deps: SafeWriteDeps): Promise<T> {
  for (let tried = 0; tried < MAX_TRIES; tried += 1) {
    const done = await replaceOnce(target, deps);
    if (done) return done.result;
  }
  throw raced(target.path);
}

/** One try; null when the file changed under it. */
async function replaceOnce<T>(
  target: Target<T>,
  deps: SafeWriteDeps,
): Promise<{ readonly result: T } | null> {
  const { place, path, real } = target;
  const handle = await openForReading(real);
  let isHandedOver = false;
  let temp: string | null = null;
  try {
    const now = handle && (await usableText(handle, path));
    const decision = target.decide(now);
    if (decision.action === 'keep') return decision;
    const written = decision.action === 'replace' ? decision.text : null;
    if (written !== null)
      temp = await writeTemp({ real, text: written, now, like: handle, id: deps.newId() });
    const old = handle && now ? { handle, now } : null;
    if (!(await swap(real, temp, old))) return null;
    temp = null;
    await flushFolder(dirname(real));
    isHandedOver = old !== null;
    if (old) deps.onReplaced({ place, path, handle: old.handle, before: old.now, written });
    return decision;
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

async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Temporary files of a writer that died; whoever holds the lock is the only one alive. */
async function removeLeftovers(real: string): Promise<void> {
  const names = await readdir(dirname(real));
  const mine = names.filter(
    (name) => name.startsWith(`.${basename(real)}.`) && name.endsWith(TEMP_SUFFIX),
  );
  await Promise.all(mine.map((name) => rm(join(dirname(real), name), { force: true })));
}

async function withLock<T>(real: string, work: () => Promise<T>): Promise<T> {
  const release = await lock(real, {
    realpath: false,
    lockfilePath: `${real}${LOCK_SUFFIX}`,
    // A lock left by a killed process is waited out, not failed on: the retries take some 7 s.
    stale: 4_000,
    update: 1_000,
    retries: { retries: 30, factor: 1.6, minTimeout: 5, maxTimeout: 250, randomize: true },
    // A lock taken over costs nothing here: the last look before the rename decides.
    onCompromised: () => undefined,
  }).catch((thrown: unknown) => {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ELOCKED') throw raced(real);
    throw thrown;
  });
  try {
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

function raced(path: string): AppError {
  return new AppError('REMOTE_WRITE_RACED', `${path}: another writer kept interfering`, {
    retryable: true,
  });
}
