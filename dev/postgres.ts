/** The embedded Postgres: PGlite with pgvector in a process of its own, behind {@link startPostgresFront}. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { AppError, messageOf } from '../domain/errors.ts';
import { startChild } from './child.ts';
import { nodeScript } from './node-script.ts';
import { choosePort, LOOPBACK } from './ports.ts';
import type { RunningServer, ServerHealth, StartServerOptions } from './server.ts';
import { withDeadline } from './wait-until.ts';

const START_MS = 60_000;
const STOP_MS = 10_000;
const HEALTH_MS = 5000;

/**
 * Starts Postgres with its data in `<home>/postgres`; a `postgres://` URL of a superuser is its
 * address. All clients share one session: those outside a transaction wait for the one inside.
 * Throws `SERVER_NOT_STARTED`.
 */
export async function startPostgres(options: StartServerOptions): Promise<RunningServer> {
  const folder = join(options.home, 'postgres');
  mkdirSync(folder, { recursive: true });
  options.tell(
    'starting',
    'starting the embedded Postgres (PGlite); the first start takes a few seconds',
  );
  const script = nodeScript('pglite-process');
  const child = startChild({
    command: script.command,
    args: [...script.args, join(folder, 'data'), String(await choosePort(options.preferredPort))],
    logFile: join(folder, 'postgres.log'),
    hasChannel: true,
    guardian: options.guardian,
  });
  try {
    const message = await withDeadline(child.firstMessage(), START_MS, options.signal);
    const port = (message as { port: number }).port;
    const address = `postgres://postgres:postgres@${LOOPBACK}:${port}/postgres`;
    const health = await checkPostgres(address);
    if (!health.isHealthy) throw new Error(health.detail);
    options.tell('ready', `Postgres on ${LOOPBACK}:${port} (${health.detail})`);
    return {
      name: 'postgres',
      address,
      port,
      pid: child.pid,
      ended: child.ended,
      stop: () => child.stop(STOP_MS),
      health: () => checkPostgres(address),
    };
  } catch (cause) {
    await child.stop(STOP_MS);
    throw new AppError(
      'SERVER_NOT_STARTED',
      `the embedded Postgres did not start: ${messageOf(cause)}\n${child.logTail()}\n` +
        `What to do: see ${join(folder, 'postgres.log')}, or set DATABASE_URL to a Postgres (15 or newer, with pgvector) of yours.`,
      { cause },
    );
  }
}

/** Asks a Postgres for its version; never throws. */
export async function checkPostgres(url: string): Promise<ServerHealth> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: HEALTH_MS });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const answer = await client.query<{ v: string }>(
      `select current_setting('server_version') as v`,
    );
    return { isHealthy: true, detail: `version ${answer.rows[0]?.v ?? 'unknown'}` };
  } catch (thrown) {
    return { isHealthy: false, detail: messageOf(thrown) };
  } finally {
    await client.end().catch(() => undefined);
  }
}
