/**
 * The product as JavaScript, for tests that start and kill it as a process. Kept under
 * node_modules/.cache by the content of the sources, so that only the first test after a change pays
 * for the build (some seconds).
 */
import { createHash, randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lock } from 'proper-lockfile';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(ROOT, 'node_modules', '.cache', 'syncline-product');
const NOT_THE_PRODUCT = new Set(['node_modules', 'dist', 'coverage', 'test', 'bench', 'docs']);
const SOURCE = /\.(?:ts|json|md|sql)$/;
const BUILDER = 'test/support/build-product.ts';
const KEEP_MS = 24 * 3_600_000;
/** Compiling keeps the process from saying that it is alive. */
const LOCKING = {
  stale: 60_000,
  retries: { forever: true, minTimeout: 200, maxTimeout: 200 },
  onCompromised: () => undefined,
};

/** Path of the built program of `main/`. */
export async function builtProgram(name: 'run' | 'start' | 'config-command'): Promise<string> {
  const dist = join(await builtProduct(), 'dist');
  return name === 'run' ? join(dist, 'in-one', 'run.js') : join(dist, 'main', `${name}.js`);
}

/** Path of the built `syncline` command. */
export async function builtCli(): Promise<string> {
  return join(await builtProduct(), 'dist', 'cli', 'main.js');
}

/** Path of the bundled workflows, for a worker's `workflowBundle.codePath`. */
export async function builtWorkflows(): Promise<string> {
  return join(await builtProduct(), 'dist', 'workflow-bundle.js');
}

/** Real path of the build, made when the sources have changed; looked for once in a process. */
function builtProduct(): Promise<string> {
  built ??= findOrBuild();
  return built;
}
let built: Promise<string> | undefined;

/** Several processes may want it at once: one builds, the others wait for that. */
async function findOrBuild(): Promise<string> {
  const sources = sourceFiles();
  const target = join(CACHE, digestOf([...sources, BUILDER, 'package.json', 'package-lock.json']));
  if (!existsSync(target)) {
    removeOldBuilds();
    const release = await lock(CACHE, LOCKING);
    try {
      if (!existsSync(target)) await build(sources, target);
    } finally {
      await release();
    }
  }
  // A program knows by its path that it was called itself, and node_modules may be a link.
  return realpathSync(target);
}

async function build(sources: readonly string[], target: string): Promise<void> {
  const draft = join(CACHE, `draft-${randomUUID()}`);
  try {
    mkdirSync(draft);
    // Imported late: the compilers take longer to load than a build that is there.
    const { buildProduct } = await import('./build-product.ts');
    await buildProduct(ROOT, sources, realpathSync(draft));
    // Where the lock was taken for stale somebody else may have built the same.
    if (!existsSync(target)) renameSync(draft, target);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function sourceFiles(): string[] {
  const rooms = readdirSync(ROOT, { withFileTypes: true }).filter(
    (entry) =>
      entry.isDirectory() && !entry.name.startsWith('.') && !NOT_THE_PRODUCT.has(entry.name),
  );
  return rooms
    .flatMap(({ name }) =>
      readdirSync(join(ROOT, name), { recursive: true }).map((path) => join(name, String(path))),
    )
    .filter((path) => SOURCE.test(path))
    .sort();
}

/** A build that a test of another checkout state may still run from is left alone for a day. */
function removeOldBuilds(): void {
  mkdirSync(CACHE, { recursive: true });
  for (const name of readdirSync(CACHE)) {
    const path = join(CACHE, name);
    const found = statSync(path, { throwIfNoEntry: false });
    if (found && Date.now() - found.mtimeMs > KEEP_MS)
      rmSync(path, { recursive: true, force: true });
  }
}

function digestOf(files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of files) {
    const content = readFileSync(join(ROOT, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex').slice(0, 24);
}
