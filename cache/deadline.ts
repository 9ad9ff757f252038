/** Waits for an answer, but not for ever. */

/**
 * What `work` answers, if it does so in time. When our own event loop was late, an answer that lies in
 * the socket already still counts.
 *
 * @throws Error when it does not, or what `work` throws
 */
export async function withDeadline<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const giveUp = (): void => reject(new Error(`no answer within ${ms} ms`));
    // Timers run before sockets are read, immediates after.
    timer = setTimeout(() => setImmediate(() => setImmediate(giveUp)), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
