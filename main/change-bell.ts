/** Bells for long polls: somebody committed, or settled, something, here or in another process. */
import { listenToRedis } from './redis-listener.ts';
import { channelOf, settledChannelOf, type Services } from './services.ts';

const POLL_MS = 1_000;

export interface Bell {
  /** Resolves at the next ring, after `timeoutMs` (at most a second: the net), or when aborted. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>;
  /** Whether it hears of other processes now. */
  isListening(): boolean;
  stop(): void;
}

/** Rings when a change was committed. */
export function createChangeBell(services: Services): Bell {
  return createBell(services, services.committed, channelOf(services.config));
}

/** Rings when passes have decided about items. */
export function createSettleBell(services: Services): Bell {
  return createBell(services, services.settled, settledChannelOf(services.config));
}

function createBell({ redisUrl, log }: Services, told: Set<() => void>, channel: string): Bell {
  const waiting = new Set<() => void>();
  const ring = (): void => {
    for (const resume of [...waiting]) resume();
  };
  told.add(ring);
  const listener = listenToRedis({ url: redisUrl, channel, onMessage: ring, log });
  return {
    isListening: () => listener.isListening(),
    stop() {
      told.delete(ring);
      listener.stop();
    },
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
