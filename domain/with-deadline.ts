/** Waits for an answer, but not for ever. */

/**
 * What `work` answers, if it does so in time; it goes on behind if it does not. When our own event
 * loop was late, an answer that lies in the socket already still counts.
 *
 * @param late what to throw when the time is over
 * @throws that, or what `work` throws
 */
export async function withDeadline<T>(
  work: Promise<T>,
  ms: number,
  late: () => Error = () => new Error(`no answer within ${ms} ms`),
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<never>((_, reject) => {
    const giveUp = (): void => reject(late());
    // Timers run before sockets are read, immediates after.
    timer = setTimeout(() => setImmediate(() => setImmediate(giveUp)), ms);
  });
  return Promise.race([work, over]).finally(() => clearTimeout(timer));
}
