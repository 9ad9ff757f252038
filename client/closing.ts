/** That the client is closed. Not an `AbortSignal`: Node warns when many calls listen to one. */
import { SyncError } from './sync-error.ts';

export interface Closing {
  isClosed(): boolean;
  /** Ends everything that waits for it. */
  close(): void;
  /** Calls back at the close; the answer takes that back. */
  onClose(end: () => void): () => void;
}

/** Of a client that is open. */
export function createClosing(): Closing {
  const open = new Set<() => void>();
  let isClosed = false;
  return {
    isClosed: () => isClosed,
    close() {
      isClosed = true;
      for (const end of [...open]) end();
    },
    onClose(end) {
      open.add(end);
      return () => void open.delete(end);
    },
  };
}

/** What calls on a closed client fail with. */
export const closedError = (): SyncError =>
  new SyncError('The client is closed.', { code: 'UNREACHABLE', status: 0 });
