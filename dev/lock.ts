/**
 * One Syncline per home folder. The lock names its owner by pid and start time, and the children
 * it started: after a kill -9 the next owner first ends what is left of them, because two
 * servers on one data folder would destroy it.
 */
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '../domain/errors.ts';
import { isAlive, signalGroup, startMark, waitUntilGone } from './process-alive.ts';

/** A process for good: a pid alone may be given to somebody else. */
interface ProcessMark {
  readonly pid: number;
  readonly start: string | null;
}

interface LockFile extends ProcessMark {
  readonly url: string | null;
  readonly children: readonly ProcessMark[];
}

export interface HomeLock {
  /** Where this instance answers; shown to whoever tries to start a second one. */
  setUrl(url: string): void;
  /** A child that uses the home folder; the next owner ends it if we cannot. */
  addChild(pid: number): void;
  removeChild(pid: number): void;
  /** Gives the folder back. Safe to call twice. */
  release(): void;
}

const CHILD_GRACE_MS = 8000;
const TRIES = 5;

/**
 * Takes the lock of a home folder. A lock whose owner is gone is taken over, once its children
 * have ended. Throws `ALREADY_RUNNING` with the owner's pid and URL.
 */
export async function lockHome(home: string): Promise<HomeLock> {
  mkdirSync(home, { recursive: true });
  const file = join(home, 'lock.json');
  let own: LockFile = { ...markOf(process.pid), url: null, children: [] };
  for (let attempt = 0; attempt < TRIES; attempt++) {
    if (createWhole(file, own)) return lockOf(file, own);
    const other = readLock(file);
    if (other !== null && isSame(other)) throw alreadyRunning(home, other);
    const stale = takeAway(file);
    // Between our look and our grip somebody else may have taken over: give it back.
    if (stale !== null && isSame(stale)) {
      createWhole(file, stale);
      throw alreadyRunning(home, stale);
    }
    if (stale !== null) {
      const left = await endChildren(stale.children);
      own = { ...own, children: left };
    }
  }
  throw new AppError('ALREADY_RUNNING', `the lock ${file} keeps changing hands; try again`);
}

/** What the lock of a home folder says, if a live process holds it. */
export function readOwner(
  home: string,
): { readonly pid: number; readonly url: string | null } | null {
  const lock = readLock(join(home, 'lock.json'));
  return lock !== null && isSame(lock) ? { pid: lock.pid, url: lock.url } : null;
}

function lockOf(file: string, first: LockFile): HomeLock {
  let own = first;
  let isHeld = true;
  const change = (next: Partial<LockFile>): void => {
    if (!isHeld) return;
    own = { ...own, ...next };
    const draft = `${file}.${process.pid}`;
    writeFileSync(draft, JSON.stringify(own));
    renameSync(draft, file);
  };
  change({});
  return {
    setUrl: (url) => change({ url }),
    addChild: (pid) => change({ children: [...own.children, markOf(pid)] }),
    removeChild: (pid) => change({ children: own.children.filter((child) => child.pid !== pid) }),
    release: () => {
      if (isHeld) rmSync(file, { force: true });
      isHeld = false;
    },
  };
}

/** Creates the file with its whole content in one step; false when it is there already. */
function createWhole(file: string, content: LockFile): boolean {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(content));
  try {
    linkSync(draft, file);
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw thrown;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Moves a stale lock out of the way; only one of several contenders gets it. */
function takeAway(file: string): LockFile | null {
  const aside = `${file}.stale-${process.pid}`;
  try {
    renameSync(file, aside);
  } catch {
    return null;
  }
  const lock = readLock(aside);
  rmSync(aside, { force: true });
  return lock;
}

function readLock(file: string): LockFile | null {
  try {
    const lock = JSON.parse(readFileSync(file, 'utf8')) as Partial<LockFile>;
    if (typeof lock.pid !== 'number') return null;
    const { pid, start = null, url = null, children = [] } = lock;
    return { pid, start, url, children };
  } catch {
    return null;
  }
}

/** Ends what a dead owner left running; gives back what would not go. */
async function endChildren(children: readonly ProcessMark[]): Promise<readonly ProcessMark[]> {
  const left = (): readonly ProcessMark[] => children.filter(isSame);
  for (const { pid } of left()) signalGroup(pid, 'SIGTERM');
  const pids = left().map(({ pid }) => pid);
  if (await waitUntilGone(pids, CHILD_GRACE_MS)) return [];
  for (const { pid } of left()) signalGroup(pid, 'SIGKILL');
  await waitUntilGone(pids, CHILD_GRACE_MS);
  return left();
}

function markOf(pid: number): ProcessMark {
  return { pid, start: startMark(pid) };
}

function isSame(mark: ProcessMark): boolean {
  return isAlive(mark.pid) && (mark.start === null || startMark(mark.pid) === mark.start);
}

function alreadyRunning(home: string, owner: LockFile): AppError {
  const where = owner.url === null ? 'it is still starting' : owner.url;
  return new AppError(
    'ALREADY_RUNNING',
    `Syncline runs already in ${home} (process ${owner.pid}, ${where}).\n` +
      'What to do: use that one, stop it with Ctrl-C, or set SYNCLINE_HOME to another folder.',
    { extra: { pid: owner.pid, url: owner.url } },
  );
}
