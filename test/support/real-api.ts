/** The API on the real store over a database of the test file's own. */
import { randomUUID } from 'node:crypto';
import type { ApiDeps } from '../../api/contract.ts';
import type { ApiServer } from '../../api/server.ts';
import type { SocketLimits } from '../../api/websocket/limits.ts';
import { systemClock, type Clock } from '../../domain/clock.ts';
import { createStore, type FullStore, type StoreDeps } from '../../store/create-store.ts';
import { createDatabase } from '../../store/database.ts';
import { startTestApi, testApiDeps } from './api-under-test.ts';
import { migratedDatabase } from './migrated-database.ts';

export const TEST_MAX_CONTEXT_BYTES = 64 * 1024;

export interface RealApi {
  readonly url: string;
  readonly store: FullStore;
  readonly server: ApiServer;
  /** Time of the store and the API, moved by tests. */
  readonly clock: { offsetMs: number };
  stop(): Promise<void>;
}

/** Starts it, with long polls woken by commits. */
export async function startRealApi(
  overrides: Partial<ApiDeps> = {},
  socketLimits: Partial<SocketLimits> = {},
  storeDeps: Partial<StoreDeps> = {},
): Promise<RealApi> {
  const postgres = await migratedDatabase();
  const database = createDatabase({ url: postgres.url, poolMin: 0, poolMax: 5 });
  const offset = { offsetMs: 0 };
  const clock: Clock = { now: () => systemClock.now() + offset.offsetMs };
  const waiting = new Set<() => void>();
  const store = createStore({
    database,
    clock,
    newId: randomUUID,
    maxContextBytes: TEST_MAX_CONTEXT_BYTES,
    onCommitted: () => waiting.forEach((wake) => wake()),
    ...storeDeps,
  });
  const deps = testApiDeps(store, { clock, waitForChange: waiter(waiting), ...overrides });
  const server = await startTestApi(deps, socketLimits);
  return {
    url: server.url,
    store,
    server,
    clock: offset,
    stop: async () => {
      await server.stop(1000);
      await store.close();
      await postgres.drop();
    },
  };
}

/** A wait that ends when everybody in the set is called, after its time, or when it is aborted. */
export function waiter(waiting: Set<() => void>): ApiDeps['waitForChange'] {
  return (_tenant, timeoutMs, signal) =>
    new Promise((resolve) => {
      const timer = setTimeout(wake, timeoutMs);
      waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
      function wake(): void {
        clearTimeout(timer);
        waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      }
    });
}
