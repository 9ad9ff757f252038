/** Keeps job schedulers in Redis: set at the start, and put back when Redis has lost them. */
import type { Queue } from 'bullmq';
import { messageOf } from '../domain/errors.ts';

/** How often somebody looks whether they are still there, ms. */
const LOOK_EVERY_MS = 60_000;
/** Longest a start waits until they are set, ms: while Redis is out, that is for later. */
const START_WAIT_MS = 2_000;

export interface KeepScheduledOptions {
  /** Name of a job → how often it comes, ms. */
  readonly everyMs: Readonly<Record<string, number>>;
  readonly log: { warn(fields: object, message: string): void };
  readonly lookEveryMs?: number;
}

export interface KeptSchedule {
  /** Resolves once they are set, or after 2 s: they are set as soon as Redis answers. */
  readonly started: Promise<void>;
  stop(): void;
}

/** Sets the schedulers, and from then on those that are missing. Needs nobody to wait for it. */
export function keepScheduled(
  queue: Queue,
  { everyMs, log, lookEveryMs = LOOK_EVERY_MS }: KeepScheduledOptions,
): KeptSchedule {
  let hasSet = false;
  let underWay: Promise<void> | null = null;
  let isStopped = false;

  async function set(): Promise<void> {
    for (const [name, every] of Object.entries(everyMs)) {
      // One that is there is left alone: set again, it would begin its interval anew.
      if (hasSet && (await queue.getJobScheduler(name))) continue;
      await scheduleJob(queue, name, every);
    }
    hasSet = true;
  }

  /** While Redis is out BullMQ holds the commands back, so one look at a time is enough. */
  function look(): Promise<void> {
    underWay ??= set()
      .catch((error: unknown) => {
        if (!isStopped) log.warn({ error: messageOf(error) }, 'jobs could not be scheduled');
      })
      .finally(() => (underWay = null));
    return underWay;
  }

  const timer = setInterval(() => void look(), lookEveryMs).unref();
  return {
    started: Promise.race([look(), deadline(START_WAIT_MS)]),
    stop() {
      isStopped = true;
      clearInterval(timer);
    },
  };
}

/** Makes sure that a job comes again and again, from now on every `everyMs`. */
export async function scheduleJob(queue: Queue, name: string, everyMs: number): Promise<void> {
  await queue.upsertJobScheduler(name, { every: everyMs }, { name, data: {} });
}

/** Resolves after so long; keeps no process alive. */
export function deadline(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
