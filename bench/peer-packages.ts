/**
 * The peers' packages. They are no dependencies of the product: `bench/package.json` names them and
 * the first benchmark that needs them installs them beside itself.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { AppError, messageOf } from '../domain/errors.ts';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const requirePeer = createRequire(import.meta.url);

/** Installs what is missing, saying so. @throws AppError SERVER_NOT_STARTED when npm cannot */
export async function installPeers(tell: (line: string) => void): Promise<void> {
  if (existsSync(`${FOLDER}node_modules/.package-lock.json`)) return;
  tell('installing the peers into bench/node_modules (npm ci, once)');
  // Their native parts come prebuilt inside the packages: no install script has to run.
  const npm = spawn('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: FOLDER,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const code = await new Promise<number | null>((resolve) => {
    npm.once('error', () => resolve(null)).once('exit', resolve);
  });
  if (code !== 0)
    throw new AppError('SERVER_NOT_STARTED', 'the peers could not be installed: see npm above');
}

/** A package of a peer; where it wraps its export, what is inside. @throws AppError SERVER_NOT_STARTED */
export async function importPeer(name: string): Promise<unknown> {
  try {
    const found = (await import(requirePeer.resolve(name))) as { readonly default?: unknown };
    return isWrapped(found) ? found.default : found;
  } catch (error) {
    throw new AppError('SERVER_NOT_STARTED', `${name} does not load: ${messageOf(error)}`);
  }
}

/** CommonJS in ES module's clothing has one useful export. */
function isWrapped(found: { readonly default?: unknown }): boolean {
  return typeof found.default === 'function';
}
