/** A queue for one thing only one may have at a time: first come, first served. */
export interface Turns {
  /** Resolves when it is ours. */
  take(): Promise<void>;
  /** Gives it to whoever waited longest. Only who has it may call this. */
  pass(): void;
}

export function createTurns(): Turns {
  const waiting: (() => void)[] = [];
  let isTaken = false;
  return {
    take: () => {
      if (isTaken) return new Promise((resolve) => waiting.push(resolve));
      isTaken = true;
      return Promise.resolve();
    },
    pass: () => {
      const next = waiting.shift();
      if (next === undefined) isTaken = false;
      else next();
    },
  };
}
