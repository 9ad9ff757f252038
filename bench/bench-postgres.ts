/** The Postgres a benchmark runs on: the one `TEST_DATABASE_URL` names, else a throw-away cluster. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '../domain/errors.ts';
import { startGuardian } from '../dev/guardian.ts';
import { startTestPostgres } from '../test/support/servers-postgres.ts';

export interface BenchPostgres {
  /** URL of a superuser. */
  readonly url: string;
  /** Which one it is, for the report. */
  readonly name: string;
  stop(): Promise<void>;
}

/** @throws AppError SERVER_NOT_STARTED when this machine has no Postgres */
export async function startBenchPostgres(): Promise<BenchPostgres> {
  const named = process.env['TEST_DATABASE_URL'];
  if (named)
    return { url: named, name: 'Postgres of TEST_DATABASE_URL', stop: async () => undefined };
  const home = mkdtempSync(join(tmpdir(), 'syncline-bench-'));
  chmodSync(home, 0o755); // the user "postgres" must get through
  const guardian = startGuardian();
  const folder = join(home, 'postgres');
  const server = await startTestPostgres({
    folder,
    tell: () => undefined,
    guardian,
    mayInstall: false,
  });
  const stop = async (): Promise<void> => {
    await server?.stop();
    await guardian.stop();
    rmSync(home, { recursive: true, force: true });
  };
  if (server) return { url: server.url, name: 'a throw-away Postgres without fsync', stop };
  await stop();
  throw new AppError('SERVER_NOT_STARTED', 'there is no real Postgres here: set TEST_DATABASE_URL');
}
