/** Runs one role against servers that are there: `node dist/main/run.js api|sync-worker|job-worker|backup|all-in-one|migrate`. */
import { AppError, toAppError } from '../domain/errors.ts';
import { startAllInOne } from './all-in-one.ts';
import { startApi } from './api.ts';
import { loadConfig, type Config } from './config.ts';
import { loadEnvFile } from './env-file.ts';
import { startBackups } from './backups.ts';
import { startJobWorker } from './job-worker.ts';
import { createLifecycle, onSignal, type Lifecycle } from './lifecycle.ts';
import { createLogger } from './logger.ts';
import { migrate } from './migrate.ts';
import { startMetricsServer } from './metrics/metrics-server.ts';
import { createServices, type Services } from './services.ts';
import { startSyncWorker } from './sync-worker.ts';

const ROLES = {
  api: startApi,
  'sync-worker': startSyncWorker,
  'job-worker': startJobWorker,
  backup: startBackups,
  'all-in-one': startAllInOne,
} as const;

async function main(role: string | undefined): Promise<void> {
  if (role !== 'migrate' && !isRole(role)) {
    process.stderr.write(`Usage: run <${Object.keys(ROLES).join('|')}|migrate>\n`);
    process.exitCode = 2;
    return;
  }
  loadEnvFile();
  const config = loadConfig(process.env);
  const log = createLogger(config);
  if (role === 'migrate') {
    const done = await migrate(databaseUrlOf(config));
    log.info({ done }, 'schema is up to date');
    return;
  }
  const lifecycle = createLifecycle(log);
  onSignal((signal) => {
    log.info({ signal }, 'stopping');
    void lifecycle.stop().then(() => process.exit(0));
  });
  const services = await createServices(config, log, role);
  lifecycle.add({ name: 'connections', stop: () => services.close() });
  try {
    await ROLES[role](services, lifecycle);
    await serveMetrics(role, services, lifecycle);
    log.info({ role }, 'running');
  } catch (error) {
    await lifecycle.stop();
    throw error;
  }
}

/** @throws AppError CONFIG_INVALID when no Postgres is named */
function databaseUrlOf({ database }: Config): string {
  if (database.url !== null) return database.url.reveal();
  throw new AppError(
    'CONFIG_INVALID',
    'no Postgres is named: set DATABASE_URL, or POSTGRES_HOST with its user and password. The embedded one is set up by `npm start`.',
  );
}

/** An API has `/metrics` on its own port; a worker on one of its own, if it was given one. */
async function serveMetrics(
  role: keyof typeof ROLES,
  { config, metrics, log }: Services,
  lifecycle: Lifecycle,
): Promise<void> {
  const { host, port } = config.metrics;
  if (port === null || role === 'api' || role === 'all-in-one') return;
  const server = await startMetricsServer(metrics, { host, port });
  lifecycle.add({ name: 'metrics', stop: () => server.stop() });
  log.info({ url: server.url }, 'metrics are served');
}

function isRole(role: string | undefined): role is keyof typeof ROLES {
  return role !== undefined && Object.hasOwn(ROLES, role);
}

main(process.argv[2]).catch((error: unknown) => {
  const { code, message } = toAppError(error);
  process.stderr.write(`error ${code}: ${message}\n`);
  process.exit(1);
});
