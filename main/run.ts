/** Runs one role against servers that are there: `node dist/main/run.js api|sync-worker|job-worker|all-in-one|migrate`. */
import { toAppError } from '../domain/errors.ts';
import { startAllInOne } from './all-in-one.ts';
import { startApi } from './api.ts';
import { loadConfig } from './config.ts';
import { startJobWorker } from './job-worker.ts';
import { createLifecycle, onSignal } from './lifecycle.ts';
import { createLogger } from './logger.ts';
import { migrate } from './migrate.ts';
import { createServices } from './services.ts';
import { startSyncWorker } from './sync-worker.ts';

const ROLES = {
  api: startApi,
  'sync-worker': startSyncWorker,
  'job-worker': startJobWorker,
  'all-in-one': startAllInOne,
} as const;

async function main(role: string | undefined): Promise<void> {
  if (role !== 'migrate' && !isRole(role)) {
    process.stderr.write(`Usage: run <${Object.keys(ROLES).join('|')}|migrate>\n`);
    process.exitCode = 2;
    return;
  }
  const config = loadConfig(process.env);
  const log = createLogger(config);
  if (role === 'migrate') {
    const done = await migrate(config.database.url?.reveal() ?? '');
    log.info({ done }, 'schema is up to date');
    return;
  }
  const lifecycle = createLifecycle(log);
  onSignal((signal) => {
    log.info({ signal }, 'stopping');
    void lifecycle.stop().then(() => process.exit(0));
  });
  const services = await createServices(config, log);
  lifecycle.add({ name: 'connections', stop: () => services.close() });
  try {
    await ROLES[role](services, lifecycle);
    log.info({ role }, 'running');
  } catch (error) {
    await lifecycle.stop();
    throw error;
  }
}

function isRole(role: string | undefined): role is keyof typeof ROLES {
  return role !== undefined && Object.hasOwn(ROLES, role);
}

main(process.argv[2]).catch((error: unknown) => {
  const { code, message } = toAppError(error);
  process.stderr.write(`error ${code}: ${message}\n`);
  process.exit(1);
});
