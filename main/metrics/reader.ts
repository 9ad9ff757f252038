/**
 * Numbers that are read when somebody scrapes. A read that fails or hangs costs its own numbers,
 * never the scrape; scrapes in quick succession share what was read.
 */
import { withDeadline } from '../../domain/with-deadline.ts';

/** Longest a scrape waits for one read, ms; Prometheus gives up after 10 s. */
const DEADLINE_MS = 2_000;

export interface Reader {
  /**
   * @param of what the numbers are of, for the count of failures
   * @param freshMs how long they are good, ms
   * @param read sets the gauges; when it fails, `forget` takes back what may be old
   */
  add(of: string, freshMs: number, read: () => Promise<void>, forget?: () => void): void;
  /** Reads what is due. Never throws. */
  all(): Promise<void>;
}

interface Source {
  readonly of: string;
  readonly freshMs: number;
  readonly read: () => Promise<void>;
  readonly forget: (() => void) | undefined;
  readAt: number;
  underWay: Promise<void> | null;
}

export function createReader(onFailure: (of: string) => void): Reader {
  const sources: Source[] = [];

  async function refresh(source: Source): Promise<void> {
    if (source.readAt > 0 && performance.now() - source.readAt < source.freshMs) return;
    // A read that hangs is waited for by later scrapes too, not begun again.
    source.underWay ??= source.read().finally(() => (source.underWay = null));
    try {
      await withDeadline(source.underWay, DEADLINE_MS);
      source.readAt = performance.now();
    } catch {
      onFailure(source.of);
      source.readAt = 0;
      source.forget?.();
    }
  }

  return {
    add: (of, freshMs, read, forget) =>
      void sources.push({ of, freshMs, read, forget, readAt: 0, underWay: null }),
    all: async () => {
      await Promise.all(sources.map(refresh));
    },
  };
}
