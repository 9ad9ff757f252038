/** Hears one Redis channel for as long as the process lives, whatever Redis does meanwhile. */
import type { Logger } from 'pino';
import { messageOf } from '../domain/errors.ts';
import { connectRedis } from './redis.ts';

export interface ListenOptions {
  readonly url: string;
  readonly channel: string;
  /** Called with each message. Must not throw. */
  readonly onMessage: (message: string) => void;
  /** Called each time it begins to hear: what was said before is lost. Must not throw. */
  readonly onListening?: () => void;
  readonly log: Pick<Logger, 'debug' | 'warn'>;
}

export interface Listener {
  /** Whether messages are heard now. */
  isListening(): boolean;
  stop(): void;
}

/** Subscribes as soon as Redis answers, and again each time it comes back. */
export function listenToRedis({
  url,
  channel,
  onMessage,
  onListening,
  log,
}: ListenOptions): Listener {
  // With a bound on retries a SUBSCRIBE that waits for Redis would be given up for good.
  const subscriber = connectRedis(url, { maxRetriesPerRequest: null });
  let isListening = false;
  subscriber.on('error', (error: Error) => log.debug({ error: error.message }, 'Redis subscriber'));
  subscriber.on('message', (_channel: string, message: string) => onMessage(message));
  subscriber.on('close', () => (isListening = false));
  // A cluster forgets what was asked for before it was reached, so each `ready` asks again.
  subscriber.on('ready', () => {
    subscriber.subscribe(channel).then(
      () => {
        isListening = true;
        onListening?.();
      },
      (error: unknown) =>
        log.warn({ error: messageOf(error), channel }, 'announcements are not heard; we poll'),
    );
  });
  return {
    isListening: () => isListening,
    stop: () => subscriber.disconnect(),
  };
}
