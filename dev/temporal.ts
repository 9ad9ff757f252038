/** Temporal's development server with its data on disk, its UI, and our search attributes. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { AppError, messageOf } from '../domain/errors.ts';
import { startChild, type Child } from './child.ts';
import { findTemporal } from './find-temporal.ts';
import { LOOPBACK } from './ports.ts';
import type { RunningServer, ServerHealth, StartServerOptions } from './server.ts';
import { ensureSearchAttributes, SEARCH_ATTRIBUTES } from './search-attributes.ts';
import { startOnPort } from './start-on-port.ts';
import { waitUntil } from './wait-until.ts';

/** The UI listens this far above the server's own port. */
export const TEMPORAL_UI_OFFSET = 1000;

/** The default of 20 polls a second adds 50 ms to every hop. */
const DYNAMIC_CONFIG = [
  'history.transferProcessorMaxPollRPS=2000',
  'history.timerProcessorMaxPollRPS=2000',
  'history.visibilityProcessorMaxPollRPS=500',
];

const START_MS = 60_000;
const STOP_MS = 15_000;
const HEALTH_MS = 2000;

export interface StartTemporalOptions extends StartServerOptions {
  /** Leaves the UI out (tests). Default: with UI. */
  readonly isHeadless?: boolean;
}

/**
 * Starts Temporal with its data in `<home>/temporal/temporal.db`; finds or fetches the program
 * first ({@link findTemporal}). Its address is `host:port`, its namespace `default`.
 * Throws `SERVER_NOT_STARTED`.
 */
export async function startTemporal(options: StartTemporalOptions): Promise<RunningServer> {
  const command = await findTemporal(options);
  const folder = join(options.home, 'temporal');
  mkdirSync(folder, { recursive: true });
  options.tell('starting', `starting Temporal (${command})`);
  const isHeadless = options.isHeadless ?? false;
  try {
    return await startOnPort({
      preferredPort: options.preferredPort,
      alsoOffset: isHeadless ? 0 : TEMPORAL_UI_OFFSET,
      graceMs: STOP_MS,
      start: (port) =>
        startChild({
          command,
          args: temporalArgs(folder, port, isHeadless),
          logFile: join(folder, 'temporal.log'),
          guardian: options.guardian,
        }),
      whenReady: (child, port) => whenReady(child, port, options),
    });
  } catch (cause) {
    throw new AppError(
      'SERVER_NOT_STARTED',
      `Temporal did not start: ${messageOf(cause)}\n` +
        `What to do: see ${join(folder, 'temporal.log')}, or set TEMPORAL_ADDRESS to a Temporal of yours.`,
      { cause },
    );
  }
}

/** Asks a Temporal for its version through gRPC; never throws. */
export async function checkTemporal(address: string): Promise<ServerHealth> {
  let connection: Connection | null = null;
  try {
    connection = await Connection.connect({ address, connectTimeout: HEALTH_MS });
    const reachable = connection;
    const info = await reachable.withDeadline(Date.now() + HEALTH_MS, async () => {
      await reachable.workflowService.describeNamespace({ namespace: 'default' });
      return reachable.workflowService.getSystemInfo({});
    });
    return { isHealthy: true, detail: `version ${info.serverVersion}` };
  } catch (thrown) {
    return { isHealthy: false, detail: messageOf(thrown) };
  } finally {
    await connection?.close().catch(() => undefined);
  }
}

async function whenReady(
  child: Child,
  port: number,
  options: StartTemporalOptions,
): Promise<RunningServer> {
  const address = `${LOOPBACK}:${port}`;
  const look = async (): Promise<string | null> => {
    const health = await checkTemporal(address);
    return health.isHealthy ? health.detail : null;
  };
  const givenUp = (): string | null => (child.hasEnded() ? 'it ended at once' : null);
  const waiting = { timeoutMs: START_MS, everyMs: 100, signal: options.signal, givenUp };
  const detail = await waitUntil(look, waiting);
  // Somebody else's server may have answered on the port ours could not get.
  if (child.hasEnded()) throw new Error('it ended at once');
  await addSearchAttributes(address);
  const ui =
    options.isHeadless === true ? '' : `, UI on http://${LOOPBACK}:${port + TEMPORAL_UI_OFFSET}`;
  options.tell('ready', `Temporal on ${address} (${detail})${ui}`);
  return {
    name: 'temporal',
    address,
    port,
    pid: child.pid,
    ended: child.ended,
    stop: () => child.stop(STOP_MS),
    health: () => checkTemporal(address),
  };
}

async function addSearchAttributes(address: string): Promise<void> {
  const connection = await Connection.connect({ address });
  try {
    await ensureSearchAttributes(connection);
  } finally {
    await connection.close();
  }
}

function temporalArgs(folder: string, port: number, isHeadless: boolean): string[] {
  const each = (flag: string, values: readonly string[]): string[] =>
    values.flatMap((value) => [flag, value]);
  const ui = isHeadless ? ['--headless'] : ['--ui-port', String(port + TEMPORAL_UI_OFFSET)];
  return [
    ...['server', 'start-dev', '--ip', LOOPBACK, '--port', String(port), ...ui],
    ...['--db-filename', join(folder, 'temporal.db')],
    ...each('--sqlite-pragma', ['journal_mode=wal', 'synchronous=normal']),
    ...each('--dynamic-config-value', DYNAMIC_CONFIG),
    ...each(
      '--search-attribute',
      Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) => `${name}=${type}`),
    ),
    ...['--log-level', 'warn', '--log-format', 'json'],
  ];
}
