/**
 * What must be there before any of our TypeScript can run: a Node new enough, the dependencies,
 * the build. Plain JavaScript without dependencies; each step that does something says so, with
 * its time, and needs no network when there is nothing to do.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join, relative } from 'node:path';
import { bundleClient } from './bundle-client.mjs';

const NEEDED_NODE = [20, 19];
/** What tsconfig.build.json compiles, and nothing else: folders of the user's are none of ours. */
export const ROOMS = [
  'activities',
  'api',
  'cache',
  'cli',
  'client',
  'connectors',
  'dev',
  'domain',
  'entities',
  'main',
  'migrations',
  'store',
  'sync',
  'workers',
  'workflows',
];
const CONFIGS = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];

/** Ends the process with a friendly word when Node is too old. */
export function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > NEEDED_NODE[0] || (major === NEEDED_NODE[0] && minor >= NEEDED_NODE[1])) return;
  console.error(
    `Syncline needs Node ${NEEDED_NODE.join('.')} or newer; this is Node ${process.versions.node}.\n` +
      'What to do: install a newer Node (https://nodejs.org), then run this again.',
  );
  process.exit(1);
}

/** Installs the dependencies when they are missing or package-lock.json has changed since. */
export async function ensureInstalled(root) {
  const stamp = join(root, 'node_modules', '.syncline-stamp');
  const wanted = hashOf([join(root, 'package-lock.json')], root);
  if (readText(stamp) === wanted) return;
  if (isInstalledAsLocked(root)) {
    writeFileSync(stamp, wanted);
    return;
  }
  const npm = process.env.npm_execpath;
  const isScript = npm !== undefined && ['.js', '.cjs', '.mjs'].includes(extname(npm));
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  await step('installing dependencies (npm ci)', () =>
    isScript ? run(process.execPath, [npm, ...args], root) : run('npm', args, root),
  );
  writeFileSync(stamp, wanted);
}

/** Compiles the sources into dist/ when they differ from the ones it was made from. */
export async function ensureBuilt(root) {
  const stamp = join(root, 'dist', '.syncline-stamp');
  const sources = sourceFiles(root);
  const wanted = hashOf(sources, root);
  if (readText(stamp) === wanted) return;
  // Made beside and then put in place, so that what runs from dist/ never sees half a build, and
  // files whose source is gone do not live on.
  const draft = join(root, `.dist-${process.pid}`);
  try {
    await step('building (tsc)', async () => {
      const tsc = createRequire(join(root, 'package.json')).resolve('typescript/bin/tsc');
      await run(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', draft], root);
      copyAssets(root, sources, draft);
      await bundleWorkflows(draft);
      await bundleClient(draft);
      // npx marks it once, when it first runs the command; a later build must not take that away.
      chmodSync(join(draft, 'cli', 'main.js'), 0o755);
      writeFileSync(join(draft, '.syncline-stamp'), wanted);
      rmSync(join(root, 'dist'), { recursive: true, force: true });
      renameSync(draft, join(root, 'dist'));
    });
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** Temporal runs workflows from one bundle; made here once, instead of at every start. */
async function bundleWorkflows(target) {
  // Imported late: at the top of this file the dependencies may not be installed yet.
  const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(target, 'workflows', 'index.js'),
    logger: new DefaultLogger('ERROR'),
  });
  writeFileSync(join(target, 'workflow-bundle.js'), code);
}

/** npm itself notes what it installed; equal to the lock file's packages: nothing to install. */
function isInstalledAsLocked(root) {
  const installed = readText(join(root, 'node_modules', '.package-lock.json'));
  const locked = readText(join(root, 'package-lock.json'));
  if (installed === null || locked === null) return false;
  const have = JSON.parse(installed).packages;
  const must = Object.entries(JSON.parse(locked).packages).filter(
    ([path, info]) => path !== '' && !info.optional && !info.devOptional,
  );
  return must.every(([path, info]) => have[path]?.version === info.version);
}

/** Files that are read beside the compiled ones: Markdown, JSON, SQL and the like of our rooms. */
function copyAssets(root, sources, target) {
  for (const file of sources) {
    const path = relative(root, file);
    if (['.ts', '.mjs'].includes(extname(file)) || !path.includes('/')) continue;
    mkdirSync(dirname(join(target, path)), { recursive: true });
    cpSync(file, join(target, path));
  }
}

/** Paths of all files the build is made from, in order. What is no plain file is no source. */
export function sourceFiles(root) {
  const inRooms = ROOMS.flatMap((room) =>
    readdirSync(join(root, room), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  return [...inRooms, ...CONFIGS.map((name) => join(root, name))].sort();
}

function hashOf(files, root) {
  const hash = createHash('sha256');
  for (const file of files) {
    const content = readFileSync(file);
    hash.update(`${relative(root, file)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

function readText(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : null;
}

/** Announces a step, does it, and says how long it took. */
async function step(what, action) {
  const begin = performance.now();
  console.log(`${what} …`);
  await action();
  console.log(`${what}: done in ${((performance.now() - begin) / 1000).toFixed(1)} s`);
}

function run(command, args, cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: 'inherit' });
    child.once('error', (error) =>
      reject(new Error(`${command} could not be run: ${error.message}`)),
    );
    child.once('exit', (code) =>
      code === 0
        ? resolve()
        : reject(new Error(`${command} ${args.join(' ')} ended with exit code ${code}; see above`)),
    );
  });
}
