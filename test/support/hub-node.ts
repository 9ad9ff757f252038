/** A Syncline instance of its own: database, engine without Temporal, and its API on a free port. */
import type { ApiDeps } from '../../api/contract.ts';
import type { ApiServer } from '../../api/server.ts';
import { hub } from '../../connectors/hub/hub.ts';
import type { AnyConnectorType } from '../../connectors/contract.ts';
import type { ContextKey } from '../../domain/ids.ts';
import type { Json } from '../../domain/json.ts';
import type { Link } from '../../domain/link.ts';
import type { NewLink } from '../../store/contract.ts';
import type { EncryptionDeps } from '../../store/create-store.ts';
import { startTestApi, testApiDeps } from './api-under-test.ts';
import { CALLER, createTestEngine, type TestEngine } from './engine.ts';

export interface HubNode {
  readonly engine: TestEngine;
  readonly url: string;
  readonly server: ApiServer;
  /** Links this node to another's API. */
  linkTo(url: string, more?: Partial<NewLink>): Promise<Link>;
  put(key: string, data: Json, kind?: string): Promise<void>;
  get(key: string): Promise<Json | undefined>;
  kindOf(key: string): Promise<string | undefined>;
  remove(key: string): Promise<void>;
  /** Versions ever made: what a quiet node does not add to. */
  versions(): Promise<number>;
  /** Resolves when the change feed hides nothing. */
  shown(): Promise<void>;
  close(): Promise<void>;
}

export async function startHubNode(
  options: {
    readonly types?: readonly AnyConnectorType[];
    readonly api?: Partial<ApiDeps>;
    readonly encryption?: EncryptionDeps;
  } = {},
): Promise<HubNode> {
  const { types = [], encryption } = options;
  const engine = await createTestEngine({
    types: [...types, hub],
    ...(encryption ? { encryption } : {}),
  });
  const { store, database } = engine;
  const server = await startTestApi(testApiDeps(store, options.api));
  const asKey = (key: string): ContextKey => key as ContextKey;
  return {
    engine,
    url: server.url,
    server,
    linkTo: (url, more) => engine.addLink('hub', { url }, more),
    async put(key, data, kind) {
      const options = { ttl: null, ...(kind === undefined ? {} : { kind }) };
      await store.contexts.store(CALLER, { key: asKey(key), data, options });
    },
    get: async (key) => (await store.contexts.get(CALLER, asKey(key)))?.data,
    kindOf: async (key) => (await store.contexts.get(CALLER, asKey(key)))?.kind,
    async remove(key) {
      await store.contexts.delete(CALLER, { key: asKey(key) });
    },
    async versions() {
      const [row] = await database.withTenant(CALLER.tenant, (tx) =>
        tx.query<{ count: number }>('SELECT count(*)::int AS count FROM context_versions'),
      );
      return row!.count;
    },
    shown: engine.shown,
    async close() {
      await server.stop(1000);
      await engine.close();
    },
  };
}
