/**
 * Follows one tenant's change feed and tells each change once, in commit order. Woken by commits;
 * looks by itself each second, so a lost wake-up costs time and nothing else. While Postgres is out
 * it waits, and goes on where it was.
 */
import type { Logger } from 'pino';
import { messageOf } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import type { FeedWatch, WatchedChange, WatchedPage } from '../../store/contract.ts';
import type { ApiDeps } from '../ports.ts';
import { isAfter, parseSnapshot, type Snapshot } from './feed-position.ts';

/** Rows read at once. */
const PAGE = 500;
const LOOK_AGAIN_MS = 1000;
/** Committed changes behind an older transaction are looked for this soon, then less and less. */
const FIRST_HIDDEN_MS = 2;
const MAX_HIDDEN_MS = 50;
const FIRST_RETRY_MS = 50;

interface Pause {
  readonly ms: number;
  /** Whether there is something the feed does not show yet. */
  readonly hasHidden: boolean;
}

/** Where the tailer stands when it has told everything there is. */
export interface Rest {
  readonly position: string;
  /** What was committed at that moment though the feed does not show it yet; null: nothing is. */
  readonly snapshot: Snapshot | null;
}

export interface FeedTailer {
  /** Everything up to here has been told. Null before the first look. */
  position(): string | null;
  /** Calls back once, after a look that began later than this call; then nothing can be missed. */
  settled(then: (rest: Rest) => void): void;
  stop(): void;
}

export interface FeedTailerDeps {
  readonly tenant: TenantId;
  readonly feed: FeedWatch;
  readonly waitForChange: ApiDeps['waitForChange'];
  /** Gets each change, and the position before it. Must not throw. */
  readonly onChange: (watched: WatchedChange, before: string) => void;
  readonly log: Logger;
}

/** A tailer that runs until it is stopped, from the feed's head on. */
export function createFeedTailer(deps: FeedTailerDeps): FeedTailer {
  const { tenant, feed, waitForChange, onChange, log } = deps;
  let position: string | null = null;
  let isStopped = false;
  let asked: ((rest: Rest) => void)[] = [];
  let sleep = new AbortController();

  /** Tells what is new; the pause until the next look, ms. */
  async function look(hiddenLooks: number): Promise<Pause> {
    const answering = asked;
    asked = [];
    let pause: Pause = { ms: LOOK_AGAIN_MS, hasHidden: false };
    const onPage = ({ changes, hasHidden, snapshot }: WatchedPage): void => {
      for (const watched of changes) tell(watched);
      if (changes.length === PAGE) {
        pause = { ms: 0, hasHidden: false };
        return;
      }
      const rest = {
        position: position ?? '',
        snapshot: hasHidden ? parseSnapshot(snapshot) : null,
      };
      for (const then of answering.splice(0)) then(rest);
      const hiddenMs = Math.min(MAX_HIDDEN_MS, FIRST_HIDDEN_MS * 2 ** hiddenLooks);
      pause = { ms: hasHidden ? hiddenMs : LOOK_AGAIN_MS, hasHidden };
    };
    try {
      position ??= await feed.head(tenant);
      await feed.look(tenant, { after: position, limit: PAGE }, onPage);
    } finally {
      // Who was not answered asks again.
      asked.unshift(...answering);
    }
    return pause;
  }

  function tell(watched: WatchedChange): void {
    const { cursor } = watched.change;
    const before = position ?? cursor;
    // A page may come twice, when the transaction it was read in has to be run again.
    if (!isAfter(cursor, before)) return;
    position = cursor;
    onChange(watched, before);
  }

  async function run(): Promise<void> {
    let failures = 0;
    let hiddenLooks = 0;
    while (!stopped()) {
      sleep = new AbortController();
      // Listening begins before the look: what is committed during it must not be slept through.
      const woken = waitForChange(tenant, LOOK_AGAIN_MS, sleep.signal);
      let pauseMs: number;
      try {
        const seen = await look(hiddenLooks);
        failures = 0;
        hiddenLooks = seen.hasHidden ? hiddenLooks + 1 : 0;
        pauseMs = seen.ms;
      } catch (error) {
        failures += 1;
        pauseMs = Math.min(LOOK_AGAIN_MS, FIRST_RETRY_MS * 2 ** failures);
        log.warn({ tenant, error: messageOf(error) }, 'the change feed cannot be read');
      }
      const rested = sleep;
      if (pauseMs === 0) rested.abort();
      const timer = setTimeout(() => rested.abort(), pauseMs);
      await woken;
      clearTimeout(timer);
    }
  }

  // TypeScript would take the flag for what it was when the loop began.
  const stopped = (): boolean => isStopped;

  void run();
  return {
    position: () => position,
    settled(then) {
      asked.push(then);
      sleep.abort();
    },
    stop() {
      isStopped = true;
      sleep.abort();
    },
  };
}
