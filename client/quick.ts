/** One call each, for scripts: they open a client, ask, and close it. */
import type { Context, ContextEnvelope, StoreOptions, UpdateOptions } from '../api/contract.ts';
import { ContextClient, type ClientOptions } from './context-client.ts';
import { SyncError } from './sync-error.ts';

/** Creates a context, or replaces it with a new version. @throws SyncError */
export function storeContext(
  key: string,
  data: unknown,
  options?: StoreOptions,
  server?: ClientOptions,
): Promise<ContextEnvelope> {
  return withClient(server, (client) => client.store(key, data, options));
}

/** The context, or null when there is none. @throws SyncError */
export function getContext(key: string, server?: ClientOptions): Promise<Context | null> {
  return withClient(server, (client) => client.get(key));
}

/**
 * Gives a context new data; one that is not there is created. `client.update` is the strict one.
 *
 * @throws SyncError
 */
export function updateContext(
  key: string,
  data: unknown,
  options?: UpdateOptions,
  server?: ClientOptions,
): Promise<ContextEnvelope> {
  return withClient(server, async (client) => {
    try {
      return await client.update(key, data, options);
    } catch (error) {
      if (codeOf(error) !== 'CONTEXT_NOT_FOUND' || options?.ifVersion !== undefined) throw error;
    }
    try {
      const { changeType: _type, changedBy: _by, ...rest } = options ?? {};
      return await client.store(key, data, { ...rest, ifVersion: 0 });
    } catch (error) {
      // Somebody else created it in between.
      if (codeOf(error) !== 'VERSION_CONFLICT') throw error;
      return client.update(key, data, options);
    }
  });
}

const codeOf = (error: unknown): string | null => (error instanceof SyncError ? error.code : null);

async function withClient<Answer>(
  server: ClientOptions | undefined,
  work: (client: ContextClient) => Promise<Answer>,
): Promise<Answer> {
  const client = new ContextClient(server);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}
