/** The client's connection to Temporal: made when it is first needed, so a process starts without it. */
import { Connection, defaultGrpcRetryOptions, makeGrpcRetryInterceptor } from '@temporalio/client';

export interface TemporalConnection {
  readonly connection: Connection;
  close(): Promise<void>;
}

/** Opens nothing yet; calls while Temporal is out fail after a few seconds of retries. */
export function openTemporal(address: string, apiKey: string | undefined): TemporalConnection {
  const usual = defaultGrpcRetryOptions();
  let isClosing = false;
  let nextRetryAt = 0;
  const retries = makeGrpcRetryInterceptor({
    retryableDecider: (attempt, status) => !isClosing && usual.retryableDecider(attempt, status),
    delayFunction(attempt, status) {
      const delayMs = usual.delayFunction(attempt, status);
      nextRetryAt = Math.max(nextRetryAt, performance.now() + delayMs);
      return delayMs;
    },
  });
  const connection = Connection.lazy({
    address,
    interceptors: [retries],
    ...(apiKey ? { apiKey, tls: true } : {}),
  });
  return {
    connection,
    async close() {
      isClosing = true;
      // A retry that finds its channel closed throws out of a timer, which would end the process.
      const restMs = nextRetryAt - performance.now();
      if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs + SLACK_MS));
      await connection.close();
    },
  };
}

/** Timers are not exact, ms. */
const SLACK_MS = 50;
