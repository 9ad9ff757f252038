/**
 * The product as its user starts it: `npm start -- --no-demo` in a process of its own, with the
 * embedded stack and a home that is thrown away. Only the build is a cached one.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ContextClient } from '../client/context-client.ts';
import { startChild } from '../dev/child.ts';
import { startGuardian } from '../dev/guardian.ts';
import { choosePort, LOOPBACK } from '../dev/ports.ts';
import { waitUntil } from '../dev/wait-until.ts';
import { builtProgram } from '../test/support/product-build.ts';

const START_MS = 120_000;
const STOP_MS = 60_000;

export interface Product {
  readonly client: ContextClient;
  /** Folder file connectors may open. */
  readonly folder: string;
  /** Stops it, servers first asked and then killed, and removes its folders. */
  close(): Promise<void>;
}

/** Starts it. @throws Error with the end of its log when it does not come up */
export async function startProduct(): Promise<Product> {
  const [program, port] = await Promise.all([builtProgram('start'), choosePort(0)]);
  const base = realpathSync(mkdtempSync(join(tmpdir(), 'syncline-bench-')));
  const folder = join(base, 'workspace');
  mkdirSync(folder);
  const guardian = startGuardian();
  const child = startChild({
    command: process.execPath,
    args: [program, '--no-demo'],
    logFile: join(base, 'product.log'),
    cwd: base,
    env: environment({ home: join(base, 'home'), folder, port }),
    guardian,
  });
  const client = new ContextClient({ url: `http://${LOOPBACK}:${port}`, retries: 0 });
  const close = async (): Promise<void> => {
    client.close();
    await child.stop(STOP_MS);
    await guardian.stop();
    rmSync(base, { recursive: true, force: true });
  };
  const givenUp = (): string | null => (child.hasEnded() ? `it ended:\n${child.logTail()}` : null);
  try {
    await waitUntil(() => answers(client), { timeoutMs: START_MS, everyMs: 50, givenUp });
  } catch (error) {
    await close();
    throw error;
  }
  return { client, folder, close };
}

/** Nothing of the caller's: a DATABASE_URL in the shell would take the place of the embedded one. */
function environment(of: { home: string; folder: string; port: number }): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env;
  return {
    PATH,
    HOME,
    ...(TMPDIR === undefined ? {} : { TMPDIR }),
    SYNCLINE_HOME: of.home,
    CONTEXT_API_PORT: String(of.port),
    SYNCLINE_FILE_ROOTS: of.folder,
    SYNCLINE_STDIO_ALLOW: process.execPath,
  };
}

async function answers(client: ContextClient): Promise<true | null> {
  const health = await client.health().catch(() => null);
  return health?.status === 'ok' ? true : null;
}
