/**
 * Recording one batch while the next is being prepared: at most one recording is under way, they
 * happen in order, and none is left behind when the work ends, however it ends.
 */
export interface Overlap {
  /** Starts a recording once the one before has succeeded. @throws what the one before threw */
  start(recording: () => Promise<void>): Promise<void>;
  /** Waits for the recording under way. @throws what it threw */
  rest(): Promise<void>;
}

/** Runs `work`; answers, or throws, only after its last recording has ended. */
export async function overlapping<T>(work: (overlap: Overlap) => Promise<T>): Promise<T> {
  let under: Promise<void> = Promise.resolve();
  const overlap: Overlap = {
    async start(recording) {
      await under;
      under = recording();
      // Whoever waits next hears of it; until then it must not count as unhandled.
      under.catch(() => undefined);
    },
    rest: () => under,
  };
  try {
    const result = await work(overlap);
    await under;
    return result;
  } catch (error) {
    await under.catch(() => undefined);
    throw error;
  }
}
