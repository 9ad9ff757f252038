/** One role of the product as a process of its own, on servers and ports that the test names. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { startChild, type Child } from '../../dev/child.ts';
import type { Guardian } from '../../dev/guardian.ts';
import { waitUntil } from '../../dev/wait-until.ts';
import type { JsonObject } from '../../domain/json.ts';
import { builtProgram } from './product-build.ts';

export interface RoleProcess {
  readonly pid: number;
  log(): string;
  kill(): Promise<void>;
  stop(): Promise<void>;
}

export interface RoleOptions {
  readonly role: 'api' | 'sync-worker' | 'job-worker';
  /** Made; holds its log and its `context.yaml`. */
  readonly folder: string;
  readonly config: JsonObject;
  readonly env: Readonly<Record<string, string>>;
  readonly guardian: Guardian;
  /** Whether it is up. */
  readonly isUp: () => Promise<boolean>;
}

const START_MS = 60_000;
const STOP_MS = 35_000;

/** Starts it and waits until it is up. @throws Error with the log's end when it is not in a minute */
export async function startRole(options: RoleOptions): Promise<RoleProcess> {
  const { role, folder, config, env, guardian } = options;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'context.yaml'), stringify({ home: folder, ...config }));
  const { PATH, HOME, TMPDIR } = process.env;
  const child: Child = startChild({
    command: process.execPath,
    args: [await builtProgram('run'), role],
    logFile: join(folder, `${role}.log`),
    cwd: folder,
    env: { PATH, HOME, ...(TMPDIR === undefined ? {} : { TMPDIR }), NODE_ENV: 'test', ...env },
    guardian,
  });
  const look = async (): Promise<true | null> =>
    (await options.isUp().catch(() => false)) ? true : null;
  const givenUp = (): string | null =>
    child.hasEnded() ? `${role} ended:\n${child.logTail()}` : null;
  await waitUntil(look, { timeoutMs: START_MS, everyMs: 50, givenUp });
  return {
    pid: child.pid,
    log: () => child.logTail(),
    async kill() {
      process.kill(child.pid, 'SIGKILL');
      await child.ended;
    },
    stop: () => child.stop(STOP_MS),
  };
}
