/** How long the server waits for whom, ms. Not settings: nobody should have to think about them. */
export interface TimeLimits {
  /** For a request's headers to be there. */
  readonly headersMs: number;
  /** For a whole request; a body that keeps coming may take that long (an import over a slow line). */
  readonly requestMs: number;
  /** How often a request that is not over yet is looked at. */
  readonly lookMs: number;
  /** Least bytes per second of a body, judged at every look, while we wait for it. */
  readonly minBodyBytesPerSecond: number;
  /** For an answer to begin once the request is there: above every long poll and statement. */
  readonly answerMs: number;
  /** A connection may rest between two requests. */
  readonly keepAliveMs: number;
}

export const TIME_LIMITS: TimeLimits = {
  headersMs: 15_000,
  requestMs: 6 * 3_600_000,
  lookMs: 10_000,
  minBodyBytesPerSecond: 256,
  answerMs: 120_000,
  keepAliveMs: 30_000,
};
