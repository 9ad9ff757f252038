/** Where the time of one edit went, read from the runs it caused. */
import type { ContextClient, Run } from '../client/index.ts';

/** One edit: when it was made and when its effect was seen, ms since the epoch. */
export interface Trip {
  readonly madeAt: number;
  readonly seenAt: number;
}

/** Phase → ms, in the order they happen. */
export type PhaseTimes = ReadonlyMap<string, number>;

const PAGE = 100;

/** Every recorded run of a link that began at or after a moment, oldest first. */
export async function runsSince(
  client: ContextClient,
  linkId: string,
  since: number,
): Promise<Run[]> {
  const runs: Run[] = [];
  for (let cursor: string | undefined, isLast = false; !isLast;) {
    const page = await client.runs.list(
      linkId,
      cursor === undefined ? { limit: PAGE } : { limit: PAGE, cursor },
    );
    const fresh = page.items.filter((run) => beganAt(run) >= since);
    runs.push(...fresh);
    cursor = page.nextCursor ?? undefined;
    isLast = cursor === undefined || fresh.length < page.items.length;
  }
  return runs.reverse();
}

/**
 * The phases of a trip through one link after another: for each, the wait until its run began, then
 * the run's own phases; at last what was left until the effect was seen. Null when a run is missing
 * (a pass that answered two wakes belongs to the first).
 */
export function phasesOf(
  trip: Trip,
  links: readonly { readonly name: string; readonly runs: readonly Run[] }[],
): PhaseTimes | null {
  const times = new Map<string, number>();
  let at = trip.madeAt;
  for (const { name, runs } of links) {
    const run = runs.find((one) => beganAt(one) >= at && one.counters.applied > 0);
    if (!run || beganAt(run) > trip.seenAt) return null;
    times.set(`${name}: noticed and begun`, beganAt(run) - at);
    at = beganAt(run);
    for (const phase of ['observe', 'plan', 'execute', 'settle']) {
      const tookMs = run.phases[phase] ?? 0;
      times.set(`${name}: ${phase}`, tookMs);
      // The next link, and the watcher of the file, are served before the run itself is closed.
      if (phase !== 'settle') at += tookMs;
    }
  }
  times.set('rest, until seen', trip.seenAt - at);
  return times;
}

const beganAt = (run: Run): number => Date.parse(run.startedAt);
