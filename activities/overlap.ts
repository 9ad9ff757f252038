/**
 * Recording batches while the next is being prepared: at most `most` recordings are under way (one
 * unless told, so that they happen in order), and none is left behind when the work ends, however it
 * ends.
 */
export interface Overlap {
  /** Starts a recording once there is room for it. @throws what an earlier one threw */
  start(recording: () => Promise<void>): Promise<void>;
  /** Waits for the recordings under way. @throws what one of them threw */
  rest(): Promise<void>;
}

/** Runs `work`; answers, or throws, only after its last recording has ended. */
export async function overlapping<T>(work: (overlap: Overlap) => Promise<T>, most = 1): Promise<T> {
  const under: Promise<void>[] = [];
  const rest = async (): Promise<void> => {
    while (under.length > 0) await under.shift();
  };
  const overlap: Overlap = {
    async start(recording) {
      while (under.length >= most) await under.shift();
      const started = recording();
      // Whoever waits next hears of it; until then it must not count as unhandled.
      started.catch(() => undefined);
      under.push(started);
    },
    rest,
  };
  try {
    const result = await work(overlap);
    await rest();
    return result;
  } catch (error) {
    await Promise.allSettled(under);
    throw error;
  }
}

/**
 * Calls `step` again and again, `lanes` calls at once, until it answers that nothing is left. Answers,
 * or throws what a step threw, after all have ended; after a failure none is begun.
 */
export async function inLanes(
  lanes: number,
  step: () => Promise<{ readonly isLast: boolean }>,
): Promise<void> {
  let isOver = false;
  const lane = async (): Promise<void> => {
    try {
      while (!isOver) isOver = (await step()).isLast || isOver;
    } catch (error) {
      isOver = true;
      throw error;
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: lanes }, lane));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}
