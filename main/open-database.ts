/** Finds the database of an installation for a command: the one named, or the embedded one. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readOwner } from '../dev/lock.ts';
import { LOOPBACK } from '../dev/ports.ts';
import { readPorts, startStack } from '../dev/stack.ts';
import { AppError } from '../domain/errors.ts';
import type { Config } from './config.ts';

export interface OpenDatabase {
  readonly url: string;
  /** Whether a Syncline of this home folder runs right now. */
  readonly isRunning: boolean;
  /** Ends what was started for the command. Safe to call twice. */
  close(): Promise<void>;
}

/**
 * The database, started if it is the embedded one and nobody runs it.
 * @param mayCreate whether an embedded store may be made where there is none
 * @throws AppError NOT_FOUND, ALREADY_RUNNING, SERVER_NOT_STARTED
 */
export async function openDatabase(
  { database, home, noInstall }: Config,
  { mayCreate }: { readonly mayCreate: boolean },
): Promise<OpenDatabase> {
  const nothing = async (): Promise<void> => undefined;
  const isRunning = readOwner(home) !== null;
  if (database.url) return { url: database.url.reveal(), isRunning, close: nothing };
  if (isRunning) return { url: embeddedUrl(home), isRunning, close: nothing };
  if (!mayCreate && !existsSync(join(home, 'postgres', 'data'))) {
    throw new AppError(
      'NOT_FOUND',
      `there is no store in ${home}; name its database with DATABASE_URL or its folder with SYNCLINE_HOME`,
    );
  }
  const want = { postgres: true };
  const stack = await startStack({ home, want, report: () => undefined, mayInstall: !noInstall });
  return { url: stack.servers.postgres!.address, isRunning, close: () => stack.stop() };
}

function embeddedUrl(home: string): string {
  const { postgres } = readPorts(home);
  if (postgres) return `postgres://postgres:postgres@${LOOPBACK}:${postgres}/postgres`;
  throw new AppError(
    'UNAVAILABLE',
    `Syncline is starting in ${home}, and its database is not up yet; try again in a moment`,
  );
}
