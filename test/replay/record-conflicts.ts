/**
 * Records the histories of `resolveConflict`: `npx tsx test/replay/record-conflicts.ts`. When to
 * record anew, see record.ts.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startTestServers } from '../support/servers-start.ts';
import { historyJson } from '../support/temporal-history.ts';
import {
  startConflictWorker,
  type ConflictWorker,
  type ScriptedConflict,
} from '../workflows/conflict-worker.ts';

const DUE = { dueAt: '2026-11-21T00:00:00.000Z', fallback: 'latest' };

type Scenario = (worker: ConflictWorker) => Promise<ScriptedConflict>;

/** File name → what happens. */
const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'resolve-conflict-open': async (worker) => {
    const one = await opened(worker, worker.conflict({ ...DUE, dueInMs: 3_600_000 }));
    await one.handle.query('__stack_trace');
    return one;
  },
  'resolve-conflict-closed': async (worker) => {
    const one = await opened(worker, worker.conflict());
    one.now({ status: 'closed' });
    await worker.watcher.ended(one.ref);
    return ended(one);
  },
  'resolve-conflict-update': async (worker) => {
    const one = await opened(worker, worker.conflict());
    await one.update({ choice: 'value', valueHash: 'a'.repeat(64), by: 'ann' });
    return ended(one);
  },
  'resolve-conflict-fallback': async (worker) => {
    let tries = 0;
    const one = worker.conflict(
      { ...DUE, dueInMs: 200 },
      { applyFallback: async () => ({ status: (tries += 1) < 2 ? 'moved' : 'ended' }) },
    );
    await opened(worker, one);
    one.now({ dueInMs: 0 });
    return ended(one);
  },
};

async function opened(worker: ConflictWorker, one: ScriptedConflict): Promise<ScriptedConflict> {
  await worker.watcher.opened(one.ref);
  await one.called('lookAtConflict', 1);
  return one;
}

async function ended(one: ScriptedConflict): Promise<ScriptedConflict> {
  await one.handle.result();
  return one;
}

const servers = await startTestServers(({ message }) => console.log(message));
Object.assign(process.env, servers.env);
const worker = await startConflictWorker();
try {
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    const { handle } = await scenario(worker);
    const history = historyJson(await handle.fetchHistory());
    writeFileSync(join(import.meta.dirname, 'histories', `${name}.json`), history);
    console.log(`${name}: ${history.length} characters`);
  }
} finally {
  await worker.close();
  await servers.stop();
}
