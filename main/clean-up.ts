/** `syncline cleanup`: what the maintenance jobs do, done now and once. */
import { randomUUID } from 'node:crypto';
import { systemClock } from '../domain/clock.ts';
import { createStore } from '../store/create-store.ts';
import { createDatabase } from '../store/database.ts';
import { collectGarbage } from '../workers/collect-garbage.ts';
import type { Config } from './config.ts';

const BATCH = 1_000;

/** Expires contexts, forgets old answers, collects what retention does not keep. */
export async function cleanUp(
  config: Config,
  url: string,
): Promise<{ readonly value: unknown; readonly lines: readonly string[] }> {
  const database = createDatabase({ url, poolMin: 0, poolMax: 2 });
  const store = createStore({
    database,
    clock: systemClock,
    newId: randomUUID,
    maxContextBytes: config.context.maxBytes,
    onCommitted: () => undefined,
  });
  try {
    const expired = await allOf((limit) => store.sweeps.expireContexts(limit));
    const answers = await allOf((limit) => store.sweeps.forgetAnswers(limit));
    const counts = {
      expired,
      answers,
      ...(await collectGarbage(store.retention, config.retention)),
    };
    const lines = Object.entries(counts).map(([name, count]) => `${name.padEnd(10)} ${count}`);
    return { value: counts, lines: ['Deleted:', ...lines] };
  } finally {
    await store.close();
  }
}

async function allOf(sweep: (limit: number) => Promise<number>): Promise<number> {
  for (let total = 0; ;) {
    const done = await sweep(BATCH);
    total += done;
    if (done < BATCH) return total;
  }
}
