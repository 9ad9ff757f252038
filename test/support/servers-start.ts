/** Brings up the servers `npm test` needs, in parallel, and says where they are. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../../domain/errors.ts';
import { startGuardian, type Guardian } from '../../dev/guardian.ts';
import { startRedis } from '../../dev/redis.ts';
import { stepsOf, type ReportStep } from '../../dev/server.ts';
import { startTemporal } from '../../dev/temporal.ts';
import { startTestPostgres } from './servers-postgres.ts';

/** Addresses as environment variables, the way test/support/servers.ts reads them. */
export type TestEnvironment = Readonly<Record<string, string>>;

export interface TestServers {
  readonly env: TestEnvironment;
  /** What could not be started, one sentence each; tests that need it fail, saying so too. */
  readonly missing: readonly string[];
  stop(): Promise<void>;
}

interface Started {
  readonly env: TestEnvironment;
  stop(): Promise<void>;
}

interface Common {
  readonly home: string;
  readonly guardian: Guardian;
  readonly mayInstall: boolean;
  readonly report: ReportStep;
}

/** Starts what the environment does not name already. Never throws: see `missing`. */
export async function startTestServers(report: ReportStep): Promise<TestServers> {
  const home = mkdtempSync(join(tmpdir(), 'syncline-test-'));
  chmodSync(home, 0o755); // the user "postgres" must get through
  const guardian = startGuardian();
  const mayInstall = process.env['SYNCLINE_NO_INSTALL'] !== '1';
  const common: Common = { home, guardian, mayInstall, report };
  const wanted: readonly [string, () => Promise<Started>][] = [
    ['TEST_DATABASE_URL', () => postgres(common)],
    ['TEST_REDIS_URL', () => redis(common)],
    ['TEST_TEMPORAL_ADDRESS', () => temporal(common)],
  ];
  const toStart = wanted.filter(([name]) => !process.env[name]);
  const outcomes = await Promise.allSettled(toStart.map(([, start]) => start()));
  const started = outcomes.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const missing = outcomes.flatMap((one) =>
    one.status === 'rejected' ? [messageOf(one.reason)] : [],
  );
  return {
    env: Object.assign({}, ...started.map((one) => one.env)) as TestEnvironment,
    missing,
    stop: async () => {
      await Promise.allSettled(started.map((one) => one.stop()));
      await guardian.stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function postgres({ home, guardian, mayInstall, report }: Common): Promise<Started> {
  const tell = stepsOf('postgres', report);
  const folder = join(home, 'postgres');
  if (process.env['SYNCLINE_TEST_PG'] === 'pglite') {
    tell('ready', 'PGlite was asked for: tests of concurrency are SKIPPED');
    return { env: {}, stop: () => Promise.resolve() };
  }
  const real = await startTestPostgres({ folder, tell, guardian, mayInstall }).catch(
    (thrown: unknown) => {
      tell('failed', messageOf(thrown));
      return null;
    },
  );
  if (real !== null) return { env: { TEST_DATABASE_URL: real.url }, stop: () => real.stop() };
  tell(
    'failed',
    'NO REAL POSTGRES: every test file gets a PGlite of its own; tests of concurrency are SKIPPED',
  );
  return { env: { SYNCLINE_TEST_PG: 'pglite' }, stop: () => Promise.resolve() };
}

async function redis({ home, guardian, mayInstall, report }: Common): Promise<Started> {
  const tell = stepsOf('redis', report);
  const server = await startRedis({ home, preferredPort: 0, tell, guardian, mayInstall });
  return { env: { TEST_REDIS_URL: server.address }, stop: () => server.stop() };
}

async function temporal({ home, guardian, mayInstall, report }: Common): Promise<Started> {
  const tell = stepsOf('temporal', report);
  const options = { home, preferredPort: 0, tell, guardian, mayInstall, isHeadless: true };
  const server = await startTemporal(options);
  return { env: { TEST_TEMPORAL_ADDRESS: server.address }, stop: () => server.stop() };
}
