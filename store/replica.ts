/**
 * Whether a streaming replica is fresh enough to be read. The primary's WAL position is remembered
 * with the time it was asked; what the replica has replayed covers everything up to the newest of
 * these. So the age of a read is bounded even when the replica's connection to the primary is cut,
 * or its replay is paused, or the primary is idle; no clock of another machine is used.
 */
import type pg from 'pg';

/** Who answers a read that may be a little old: the replica, or why the primary does. */
export type ReplicaOutcome = 'replica' | 'lagging' | 'down';

export interface ReplicaDeps {
  readonly primary: Pick<pg.Pool, 'query'>;
  readonly replica: Pick<pg.Pool, 'query'>;
  readonly maxLagMs: number;
  readonly onRead?: (outcome: ReplicaOutcome, lagSeconds: number | null) => void;
  /** Monotonic time, ms. */
  readonly now?: () => number;
}

export interface Replica {
  /** Whether the next read may go there; counts it. Never throws. */
  isFresh(): Promise<boolean>;
  /** It let a read down: it is left alone for some seconds. */
  failed(): void;
}

/** How often positions are compared at most, ms; reads in between use what was found. */
const CHECK_EVERY_MS = 1_000;
/** How long a replica is left alone that did not answer, ms. */
const REST_MS = 5_000;
/** A replica that answers slower than this is as good as down, ms. */
const ANSWER_WITHIN_MS = 2_000;
const MAX_MARKS = 600;

// Positions are bytes since the beginning; a double holds them exactly up to 9 petabytes of WAL.
const PRIMARY_POSITION = `SELECT (pg_current_wal_flush_lsn() - '0/0')::float8 AS at`;
const REPLAYED_POSITION = `SELECT (pg_last_wal_replay_lsn() - '0/0')::float8 AS at`;

interface Mark {
  /** When the primary was asked, ms. */
  readonly time: number;
  readonly position: number;
}

export function createReplica(deps: ReplicaDeps): Replica {
  const { primary, replica, maxLagMs, onRead } = deps;
  const now = deps.now ?? (() => performance.now());
  const everyMs = Math.min(CHECK_EVERY_MS, maxLagMs / 4);
  const marks: Mark[] = [];
  const state = {
    checkedAt: -Infinity,
    restsUntil: -Infinity,
    /** The replica has everything that was committed by then; null: not known. */
    coversUntil: null as number | null,
  };
  let checking: Promise<void> | null = null;

  async function check(): Promise<void> {
    const time = now();
    state.checkedAt = time;
    try {
      const position = await positionOf(primary, PRIMARY_POSITION);
      marks.push({ time, position });
      if (marks.length > MAX_MARKS) marks.shift();
      const replayed = await positionOf(replica, REPLAYED_POSITION);
      const covered = marks.findLastIndex((mark) => mark.position <= replayed);
      if (covered < 0) return;
      state.coversUntil = marks[covered]!.time;
      marks.splice(0, covered);
    } catch {
      // A primary that does not answer is told by the read itself.
      rest();
    }
  }

  function rest(): void {
    state.restsUntil = now() + REST_MS;
    state.coversUntil = null;
  }

  function count(outcome: ReplicaOutcome): boolean {
    const lagMs = state.coversUntil === null ? null : now() - state.coversUntil;
    onRead?.(outcome, lagMs === null ? null : lagMs / 1_000);
    return outcome === 'replica';
  }

  return {
    async isFresh() {
      if (now() < state.restsUntil) return count('down');
      if (now() - state.checkedAt >= everyMs) checking ??= check().finally(() => (checking = null));
      // Only who knows nothing waits for the answer; others go on with what is known.
      if (checking && (state.coversUntil === null || now() - state.coversUntil > maxLagMs))
        await checking;
      if (now() < state.restsUntil) return count('down');
      const { coversUntil } = state;
      return count(coversUntil !== null && now() - coversUntil <= maxLagMs ? 'replica' : 'lagging');
    },
    failed: rest,
  };
}

async function positionOf(pool: Pick<pg.Pool, 'query'>, sql: string): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), ANSWER_WITHIN_MS);
  });
  try {
    const { rows } = await Promise.race([pool.query<{ at: number | null }>(sql), late]);
    const at = rows[0]?.at;
    if (typeof at !== 'number') throw new Error('it is no streaming replica');
    return at;
  } finally {
    clearTimeout(timer);
  }
}
