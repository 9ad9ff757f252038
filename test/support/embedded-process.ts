/**
 * The product as `npm start` runs it on a bare machine: one process that brings up its own Postgres
 * (PGlite), Redis and Temporal in a home folder, and the `syncline` command beside it.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ContextClient } from '../../client/context-client.ts';
import { startChild, type Child } from '../../dev/child.ts';
import { startGuardian } from '../../dev/guardian.ts';
import { choosePort, LOOPBACK } from '../../dev/ports.ts';
import { waitUntil } from '../../dev/wait-until.ts';
import { builtProgram } from './product-build.ts';
import { runProgram, type ProgramRun } from './run-program.ts';

/** Three servers come up, on a busy machine. */
const START_MS = 120_000;
const STOP_MS = 70_000;

export interface EmbeddedSyncline {
  /** Folder in which it runs; `.syncline` in it is its home. */
  readonly folder: string;
  readonly url: string;
  readonly client: ContextClient;
  /** Resolves when the API answers. @throws Error with the log's end when the process ends before */
  start(): Promise<void>;
  /** Starts it and waits for its end; how it ended, and what it said. */
  startToEnd(): Promise<{ readonly ended: string; readonly said: string }>;
  /** SIGTERM; resolves when it and its servers are gone. */
  stop(): Promise<void>;
  /** Runs `syncline …` as a program of its own, on this installation. */
  cli(...args: readonly string[]): Promise<ProgramRun>;
  /** Stops it and removes the folder. */
  close(): Promise<void>;
}

/** Makes an installation; nothing runs yet. `env` is for the server and the command alike. */
export async function createEmbedded(
  env: Readonly<Record<string, string>> = {},
): Promise<EmbeddedSyncline> {
  const [program, port] = await Promise.all([builtProgram('start'), choosePort(0)]);
  const command = join(dirname(program), '..', 'cli', 'main.js');
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'syncline-embedded-')));
  const url = `http://${LOOPBACK}:${port}`;
  const client = new ContextClient({ url, retries: 0 });
  const guardian = startGuardian();
  const { PATH, HOME } = process.env;
  const surroundings = {
    PATH,
    HOME,
    SYNCLINE_HOME: join(folder, '.syncline'),
    CONTEXT_API_PORT: String(port),
    NO_COLOR: '1',
    ...env,
  };
  let child: Child | null = null;

  const spawnProduct = (): Child => {
    child = startChild({
      command: process.execPath,
      args: [program, '--no-demo'],
      logFile: join(folder, 'start.log'),
      cwd: folder,
      env: surroundings,
      guardian,
    });
    return child;
  };
  const embedded: EmbeddedSyncline = {
    folder,
    url,
    client,
    async start() {
      const started = spawnProduct();
      const givenUp = (): string | null =>
        started.hasEnded() ? `it ended:\n${started.logTail()}` : null;
      const isUp = async (): Promise<true | null> =>
        (await client.health().catch(() => null))?.status === 'ok' ? true : null;
      await waitUntil(isUp, { timeoutMs: START_MS, everyMs: 50, givenUp });
    },
    async startToEnd() {
      const started = spawnProduct();
      return { ended: await started.ended, said: started.logTail() };
    },
    stop: async () => child?.stop(STOP_MS),
    cli: (...args) => runProgram([command, ...args], { cwd: folder, env: surroundings }),
    async close() {
      await embedded.stop();
      client.close();
      await guardian.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return embedded;
}
