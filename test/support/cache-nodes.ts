/** API processes' worth of the product, with their caches, on one Postgres and one Redis. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { startApi } from '../../main/api.ts';
import { loadConfig } from '../../main/config.ts';
import { createLifecycle, type Lifecycle } from '../../main/lifecycle.ts';
import { migrate } from '../../main/migrate.ts';
import { createServices, type Services } from '../../main/services.ts';
import { callApi, type TestAnswer, type TestRequest } from './api-under-test.ts';
import { samplesOf } from './samples.ts';
import { testDatabase, type TestDatabase } from './servers.ts';

const LOG = pino({ level: 'silent' });

export interface CacheNode {
  readonly url: string;
  readonly services: Services;
  call(target: string, request?: TestRequest): Promise<TestAnswer>;
  /** What `X-Cache` says of a read of a key, when it is there. */
  from(key: string): Promise<string | null>;
  /** A sample of its `/metrics`. */
  metric(name: string, labels?: Record<string, string>): Promise<number | undefined>;
  stop(): Promise<void>;
}

export interface CacheNodes {
  readonly database: TestDatabase;
  /** One more process. */
  start(options?: NodeOptions): Promise<CacheNode>;
  stop(): Promise<void>;
}

export interface NodeOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly production?: Readonly<Record<string, unknown>>;
  readonly redis?: Readonly<Record<string, unknown>>;
  /** A prefix of another installation on the same Redis. */
  readonly prefix?: string;
}

/** A database of their own; `redisUrl` is shared by all. */
export async function cacheNodes(redisUrl: string): Promise<CacheNodes> {
  const database = await testDatabase();
  await migrate(database.url);
  const home = mkdtempSync(join(tmpdir(), 'syncline-cache-'));
  const prefix = `t-${randomUUID()}`;
  const running: CacheNode[] = [];
  return {
    database,
    async start(options = {}) {
      const file = join(home, `${randomUUID()}.yaml`);
      const redis = { prefix: options.prefix ?? prefix, ...options.redis };
      const caching = { caching: options.production ?? {} };
      writeFileSync(file, JSON.stringify({ database: { redis }, production: caching }));
      const env = {
        SYNCLINE_HOME: home,
        CONTEXT_API_PORT: '0',
        DATABASE_URL: database.url,
        REDIS_URL: redisUrl,
        // Nothing here asks it.
        TEMPORAL_ADDRESS: '127.0.0.1:1',
        ...options.env,
      };
      const services = await createServices(loadConfig(env, file), LOG, 'api');
      const lifecycle = createLifecycle(LOG);
      const { url } = await startApi(services, lifecycle);
      const node = nodeOf(url, services, lifecycle);
      running.push(node);
      return node;
    },
    async stop() {
      for (const node of running) await node.stop();
      await database.drop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function nodeOf(url: string, services: Services, lifecycle: Lifecycle): CacheNode {
  let stopping: Promise<void> | null = null;
  const call: CacheNode['call'] = (target, request) => callApi(url, target, request);
  return {
    url,
    services,
    call,
    async from(key) {
      const { headers } = await call(`GET /api/context/get/${encodeURIComponent(key)}`);
      return headers.get('x-cache');
    },
    metric: async (name, labels) => (await samplesOf(`${url}/metrics`)).value(name, labels),
    stop() {
      stopping ??= lifecycle.stop().then(() => services.close());
      return stopping;
    },
  };
}
