import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrate } from '../../main/migrate.ts';
import { testDatabase, type TestDatabase } from '../support/servers.ts';

/** Far below what is exported; a process that kept it all would end with an error of V8's. */
const HEAP_MIB = 96;
const CONTEXTS = 400;
const CONTEXT_BYTES = 512 * 1024;
const MIB = 1024 * 1024;

let database: TestDatabase;
let child: ChildProcess;
let url: string;

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
  await fill(database.url);
  const script = fileURLToPath(new URL('../support/api-child.ts', import.meta.url));
  const execArgv = ['--import', import.meta.resolve('tsx'), `--max-old-space-size=${HEAP_MIB}`];
  child = fork(script, [database.url], { execArgv });
  [{ url }] = (await once(child, 'message')) as [{ url: string }];
}, 120_000);
afterAll(async () => {
  child.kill();
  await database.drop();
});

const BODY = `convert_to('"' || lpad(n::text, ${CONTEXT_BYTES - 2}, 'x') || '"', 'UTF8')`;

/** 200 MiB of bodies, made by the database itself. */
async function fill(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query(
    `INSERT INTO context_system.blobs (tenant_id, hash, codec, size, body)
     SELECT 'default', sha256(${BODY}), 'none', ${CONTEXT_BYTES},
       ${BODY}
     FROM generate_series(1, ${CONTEXTS}) n`,
  );
  await client.query(
    `INSERT INTO context_system.contexts (tenant_id, key, version, hash, kind, size, created_at, updated_at)
     SELECT 'default', 'k' || n, 1, sha256(${BODY}), 'json', ${CONTEXT_BYTES}, now(), now()
     FROM generate_series(1, ${CONTEXTS}) n`,
  );
  await client.query(
    `INSERT INTO context_system.context_versions (tenant_id, key, version, hash, change_type, changed_at, kind, size)
     SELECT 'default', 'k' || n, 1, sha256(${BODY}), 'create', now(), 'json', ${CONTEXT_BYTES}
     FROM generate_series(1, ${CONTEXTS}) n`,
  );
  await client.end();
}

async function maxRssMiB(): Promise<number> {
  child.send('memory');
  const [told] = (await once(child, 'message')) as [{ maxRssMiB: number }];
  return told.maxRssMiB;
}

describe('200 MiB through a process with little memory', () => {
  it('are exported and read by an import at the same time, while memory stays far below', async () => {
    const before = await maxRssMiB();
    const exported = await fetch(`${url}/api/context/export`);
    let bytes = 0;
    async function* through(): AsyncGenerator<Uint8Array> {
      for await (const piece of exported.body as AsyncIterable<Uint8Array>) {
        bytes += piece.length;
        yield piece;
      }
    }
    // Straight into an import that finds everything there: both streams at once, each held by the other.
    const imported = await fetch(`${url}/api/context/import`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: ReadableStream.from(through()) as unknown as NonNullable<RequestInit['body']>,
      ...({ duplex: 'half' } as object),
    });
    expect(await imported.json()).toMatchObject({ imported: 0, skipped: CONTEXTS, failed: 0 });
    expect(bytes).toBeGreaterThan(CONTEXTS * CONTEXT_BYTES);
    const grown = (await maxRssMiB()) - before;
    console.log(`${Math.round(bytes / MIB)} MiB exported; memory grew by ${Math.round(grown)} MiB`);
    expect(grown).toBeLessThan(250);
  }, 240_000);
});
