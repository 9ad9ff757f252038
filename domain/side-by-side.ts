/**
 * Runs work on many things, a few at a time; answers in order. After a failure nothing new is begun,
 * and nothing is under way any more when it is thrown.
 */
export async function sideBySide<From, To>(
  items: readonly From[],
  atOnce: number,
  work: (item: From) => Promise<To>,
): Promise<To[]> {
  const results = new Array<To>(items.length);
  const next = items.entries();
  let hasFailed = false;
  async function lane(): Promise<void> {
    for (const [at, item] of next) {
      if (hasFailed) return;
      try {
        results[at] = await work(item);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  }
  const lanes = await Promise.allSettled(Array.from({ length: atOnce }, lane));
  const failed = lanes.find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
  return results;
}
