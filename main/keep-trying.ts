/** Starts something whose server may be out: once now, and if that fails again and again behind. */
import { messageOf } from '../domain/errors.ts';

export interface KeepTryingOptions {
  /** Starts it whole, or leaves nothing behind. */
  readonly start: () => Promise<{ stop(): Promise<void> }>;
  /** Between two attempts, ms. */
  readonly everyMs: number;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

export interface Trying {
  /** Resolves after the first attempt, however it ended. */
  readonly first: Promise<void>;
  /** Gives up, or stops what was started. */
  stop(): Promise<void>;
}

/** Begins the first attempt. */
export function keepTrying({ start, everyMs, log }: KeepTryingOptions): Trying {
  let attempt = 0;
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  let started: { stop(): Promise<void> } | null = null;
  let underWay: Promise<void> = Promise.resolve();

  async function tryOnce(): Promise<void> {
    attempt += 1;
    try {
      started = await start();
      if (attempt > 1) log.info({ attempt }, 'the sync worker runs: Temporal answers now');
    } catch (error) {
      log.warn(
        { attempt, error: messageOf(error) },
        'the sync worker could not start and tries again; writes go on and are synced later',
      );
      if (!isStopped) timer = setTimeout(again, everyMs);
    }
  }

  function again(): void {
    underWay = tryOnce();
  }

  again();
  return {
    first: underWay,
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await underWay;
      await started?.stop();
    },
  };
}
