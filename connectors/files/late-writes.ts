/**
 * Looks at replaced files for a moment longer: a foreign writer that had the old file open may
 * still write to it, into nowhere. What it wrote is handed to `merge`, so that it is not lost.
 */
import { isMissing } from './places.ts';
import { readHandle, type TextFile } from './read-file.ts';
import type { ReplacedFile } from './safe-write.ts';

/** A slow writer is usually done within milliseconds; after two seconds nobody is waited for. */
export const LATE_LOOKS_MS: readonly number[] = [10, 40, 200, 750, 1000];

/** A replaced file that was written to afterwards. */
export interface LateWrite extends Omit<ReplacedFile, 'handle'> {
  readonly after: TextFile;
}

export interface LateWritesDeps {
  readonly merge: (late: LateWrite) => Promise<void>;
  /** Runs the background looks one after the other with the connector's calls. */
  readonly serially: <T>(work: () => Promise<T>) => Promise<T>;
  readonly onError: (thrown: unknown) => void;
  /** When to look, in ms after the look before. A late write starts the row anew. */
  readonly delaysMs: readonly number[];
}

export interface LateWrites {
  /** Lets go of the oldest where there are too many. Call it serially, with no lock held. */
  keep(replaced: ReplacedFile): Promise<void>;
  /** Looks at all kept files now and merges what is found. Call it serially. */
  look(): Promise<void>;
  /** One last look, then lets go of all files. Call it serially. */
  close(): Promise<void>;
}

interface Kept {
  replaced: ReplacedFile;
  timer: NodeJS.Timeout | null;
}

/** More old files than this are not kept open; the oldest gets its last look early. */
const MAX_KEPT = 16;

export function createLateWrites(deps: LateWritesDeps): LateWrites {
  const kept = new Set<Kept>();

  const letGo = async (one: Kept): Promise<void> => {
    if (one.timer) clearTimeout(one.timer);
    if (kept.delete(one)) await one.replaced.handle.close();
  };

  const lookAt = async (one: Kept): Promise<boolean> => {
    const { handle, ...rest } = one.replaced;
    const after = await readHandle(handle);
    if (after.status !== 'text' || after.hash === rest.before.hash) return false;
    // Noted first: merging writes, and a write may look at the oldest kept files, this one too.
    one.replaced = { ...one.replaced, before: after };
    try {
      await deps.merge({ ...rest, after });
    } catch (thrown) {
      one.replaced = { ...one.replaced, before: rest.before };
      throw thrown;
    }
    return true;
  };

  const lookAgain = (one: Kept, nth: number): void => {
    const delayMs = deps.delaysMs[nth];
    if (!kept.has(one)) return;
    if (delayMs === undefined) {
      void deps.serially(() => letGo(one)).catch(deps.onError);
      return;
    }
    one.timer = setTimeout(() => {
      const work = async (): Promise<boolean> => kept.has(one) && (await lookAt(one));
      void deps.serially(work).then(
        (wasWritten) => lookAgain(one, wasWritten ? 0 : nth + 1),
        (thrown: unknown) => {
          if (!isMissing(thrown)) deps.onError(thrown);
          lookAgain(one, nth + 1);
        },
      );
    }, delayMs);
    // An old file must not keep a finished process alive; `close` looks a last time.
    one.timer.unref();
  };

  const look = async (): Promise<void> => {
    for (const one of [...kept]) if (kept.has(one)) await lookAt(one);
  };

  /** The oldest beyond the bound have their last look early. */
  const trim = async (): Promise<void> => {
    while (kept.size > MAX_KEPT) {
      const [one] = kept;
      if (!one) return;
      // Taken out first: its merge may come back here.
      kept.delete(one);
      if (one.timer) clearTimeout(one.timer);
      try {
        await lookAt(one);
      } catch (thrown) {
        if (!isMissing(thrown)) deps.onError(thrown);
      } finally {
        await one.replaced.handle.close();
      }
    }
  };

  return {
    async keep(replaced) {
      const one: Kept = { replaced, timer: null };
      kept.add(one);
      lookAgain(one, 0);
      await trim();
    },
    look,
    async close() {
      try {
        await look();
      } finally {
        for (const one of [...kept]) await letGo(one);
      }
    },
  };
}
