/**
 * `npm start`: from a bare clone to a running Syncline. Checks Node, installs and builds when
 * needed, then goes on as main/start in this same process, so that Ctrl-C reaches it directly.
 * `--run <file.ts> …` installs when needed and runs that file instead (benchmarks).
 */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import { checkNode, ensureBuilt, ensureInstalled } from './prepare.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const args = process.argv.slice(2);

checkNode();
try {
  await ensureInstalled(root);
  if (args[0] === '--run') await runSource(args[1], args.slice(2));
  else await runBuild();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

async function runBuild() {
  await ensureBuilt(root);
  await import('../dist/main/start.js');
}

async function runSource(file, rest) {
  if (file === undefined) throw new Error('usage: bootstrap.mjs --run <file.ts> [arguments]');
  const path = resolve(root, file);
  process.argv = [process.argv[0], path, ...rest];
  const { register } = await import('tsx/esm/api');
  register();
  await import(pathToFileURL(path).href);
}
