/** Runs tasks strictly in the order they were given; a failing task does not stop the next. */
export type SerialQueue = <Result>(task: () => Promise<Result>) => Promise<Result>;

/** A queue of its own for one connector. */
export function createSerialQueue(): SerialQueue {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const next = last.then(task);
    // The chain itself never rejects; the caller gets the task's own promise.
    last = next.catch(() => undefined);
    return next;
  };
}
