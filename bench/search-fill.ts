/** A store of a benchmark's own, and contexts to fill it with. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { systemClock } from '../domain/clock.ts';
import type { Caller } from '../domain/context.ts';
import type { ContextKey, TenantId } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import { migrate } from '../main/migrate.ts';
import { encodeBody } from '../store/blobs.ts';
import { createStore, type FullStore } from '../store/create-store.ts';
import { createDatabase, type Database } from '../store/database.ts';
import { writeVersions, type VersionWrite } from '../store/write-versions.ts';

export const BENCH_CALLER: Caller = { tenant: 'default' as TenantId, actor: 'bench' };

/** Contexts written by one transaction. */
const BATCH = 500;

export interface SearchBench {
  readonly store: FullStore;
  /** Another store over the same database, which remembers nothing of what was there before. */
  readonly reopened: () => FullStore;
  readonly database: Database;
  /** A superuser's connection to the same database. */
  readonly admin: pg.Client;
  close(): Promise<void>;
}

/** Makes a database on the server of `url`, migrated; `close` drops it. */
export async function openSearchBench(url: string, connections: number): Promise<SearchBench> {
  const name = `bench_${randomUUID().replaceAll('-', '')}`;
  const server = new pg.Client({ connectionString: url });
  await server.connect();
  await server.query(`CREATE DATABASE ${name}`);
  const own = new URL(url);
  own.pathname = `/${name}`;
  await migrate(own.href);
  const database = createDatabase({ url: own.href, poolMin: 0, poolMax: connections });
  const admin = new pg.Client({ connectionString: own.href });
  await admin.connect();
  await admin.query('SET search_path = context_system, public');
  const open = (): FullStore =>
    createStore({
      database,
      clock: systemClock,
      newId: randomUUID,
      maxContextBytes: 1024 * 1024,
      onCommitted: () => undefined,
    });
  const store = open();
  return {
    store,
    reopened: open,
    database,
    admin,
    async close() {
      await store.close();
      await admin.end();
      await server.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await server.end();
    },
  };
}

export interface FilledContext {
  readonly key: string;
  readonly data: Json;
  readonly tags?: readonly string[];
}

/** Writes contexts the way the store does, many at a time. */
export async function fill(database: Database, contexts: readonly FilledContext[]): Promise<void> {
  for (let from = 0; from < contexts.length; from += BATCH) {
    const writes = await Promise.all(contexts.slice(from, from + BATCH).map(writeOf));
    await database.withTenant(BENCH_CALLER.tenant, (tx) => writeVersions(tx, writes, new Date()));
  }
}

async function writeOf({ key, data, tags = [] }: FilledContext): Promise<VersionWrite> {
  const facts = { source: null, parent_id: null, session_id: null, agent_id: null, metadata: {} };
  return {
    key: key as ContextKey,
    previousVersion: 0,
    body: await encodeBody(data),
    facts: { ...facts, kind: 'json', tags: [...tags], compress: null, expires_at: null },
    createdAt: new Date(),
    createdBy: null,
    changeType: 'create',
    reason: null,
    changedBy: null,
    origin: null,
  };
}

/** Numbers from 0 to 1, the same on every run. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return state / 0x8000_0000;
  };
}

/**
 * Contexts that resemble the given texts and say nothing: their words, as often as they come up
 * there, in any order. For a search they are the worst of neighbours.
 */
export function noise(texts: readonly string[], count: number): FilledContext[] {
  const words = texts.flatMap((text) => text.split(/\s+/));
  const random = seeded(1);
  const pick = (): string => words[Math.floor(random() * words.length)] ?? '';
  return Array.from({ length: count }, (_, nth) => ({
    key: `noise/${nth % 100}/${nth}`,
    data: { text: Array.from({ length: 20 + Math.floor(random() * 40) }, pick).join(' ') },
    tags: [`tag-${nth % 50}`],
  }));
}
