/** Rings when somebody committed a change, here or in another process, so that long polls look at once. */
import { Redis } from 'ioredis';
import { channelOf, type Services } from './services.ts';

const POLL_MS = 1_000;

export interface ChangeBell {
  /** Resolves at the next ring, after `timeoutMs` (at most a second: the net), or when aborted. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>;
}

export function createChangeBell({ config, redisUrl, committed, log }: Services): ChangeBell {
  const waiting = new Set<() => void>();
  const ring = (): void => {
    for (const resume of [...waiting]) resume();
  };
  committed.add(ring);
  const subscriber = new Redis(redisUrl, { lazyConnect: true });
  subscriber.on('error', (error: Error) => log.debug({ error: error.message }, 'Redis subscriber'));
  subscriber.on('message', ring);
  subscriber.subscribe(channelOf(config)).catch(() => undefined);
  return {
    wait: (timeoutMs, signal) =>
      new Promise((resolve) => {
        const resume = (): void => {
          clearTimeout(timer);
          waiting.delete(resume);
          signal.removeEventListener('abort', resume);
          resolve();
        };
        const timer = setTimeout(resume, Math.min(timeoutMs, POLL_MS));
        waiting.add(resume);
        signal.addEventListener('abort', resume, { once: true });
      }),
  };
}
