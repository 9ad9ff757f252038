/** At most so many at once; the others wait in line. */

export interface Turns {
  /** Runs the work when it is its turn. */
  take<Result>(work: () => Promise<Result>): Promise<Result>;
}

/** Turns for `limit` pieces of work at once. */
export function createTurns(limit: number): Turns {
  let free = limit;
  const line: (() => void)[] = [];
  return {
    async take(work) {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => line.push(resolve));
      try {
        return await work();
      } finally {
        const next = line.shift();
        if (next) next();
        else free += 1;
      }
    },
  };
}
