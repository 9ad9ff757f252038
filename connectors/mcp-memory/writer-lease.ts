/**
 * One writing Syncline per memory file, across processes. A lock folder beside the file is kept
 * fresh while held; one left by a crash counts as abandoned after {@link STALE_MS}.
 * It keeps our own processes apart, not foreign writers: those know nothing of it.
 */
import { basename, dirname, join } from 'node:path';
import { lock } from 'proper-lockfile';
import { AppError } from '../../domain/errors.ts';
import type { ConnectorLog } from '../connector.ts';
import { realFile } from './memory-file.ts';

/** Age in ms at which a lock nobody refreshes is taken over. */
const STALE_MS = 4_000;
const REFRESH_MS = 1_000;
const RETRY = { retries: 120, factor: 1, minTimeout: 50, maxTimeout: 150, randomize: true };

export interface WriterLease {
  /** @throws AppError REMOTE_WRITE_RACED when another process took the lease over */
  assertHeld(): void;
  release(): Promise<void>;
}

/**
 * Waits up to about 12 s for the lease.
 *
 * @throws AppError REMOTE_WRITE_RACED when another process keeps it, CONNECTOR_UNREACHABLE when the
 * folder takes no lock
 */
export async function takeWriterLease(file: string, log: ConnectorLog): Promise<WriterLease> {
  const path = await realFile(file);
  let isHeld = true;
  const release = await lock(path, {
    realpath: false,
    lockfilePath: join(dirname(path), `.${basename(path)}.syncline-lock`),
    stale: STALE_MS,
    update: REFRESH_MS,
    retries: RETRY,
    onCompromised: () => {
      isHeld = false;
      log.warn({ file }, 'the writer lease was taken over');
    },
  }).catch((cause: unknown) => {
    throw leaseError(path, cause);
  });
  return {
    assertHeld() {
      if (!isHeld) throw raced(path);
    },
    // A lease that was taken over has nothing left to release.
    release: () => release().catch(() => undefined),
  };
}

/** The lease of a remote whose file we do not know: nothing to hold. */
export const NO_LEASE: WriterLease = {
  assertHeld: () => undefined,
  release: () => Promise.resolve(),
};

function leaseError(path: string, cause: unknown): AppError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
  if (code === 'ELOCKED') return raced(path);
  const message = `The folder of the memory file ${path} takes no lock (${code}).`;
  return new AppError('CONNECTOR_UNREACHABLE', message, { retryable: true, cause });
}

function raced(path: string): AppError {
  const message = `Another Syncline process is writing to ${path}.`;
  return new AppError('REMOTE_WRITE_RACED', message, { retryable: true });
}
