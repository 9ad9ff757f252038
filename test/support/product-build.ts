/**
 * The product as JavaScript, for tests that start and kill it as a process: every source compiled
 * without a type check, the workflows bundled. Kept under node_modules/.cache by the content of the
 * sources, so that only the first test after a change pays for it (some seconds).
 */
import { createHash, randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(ROOT, 'node_modules', '.cache', 'syncline-product');
const NOT_THE_PRODUCT = new Set(['node_modules', 'dist', 'coverage', 'test', 'bench', 'docs']);
const SOURCE = /\.(?:ts|json|md|sql)$/;
const KEEP_MS = 24 * 3_600_000;
const SILENT = () => undefined;

const COMPILER_OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  experimentalDecorators: true,
  useDefineForClassFields: false,
  verbatimModuleSyntax: true,
  rewriteRelativeImportExtensions: true,
};

/** Path of the built program `name` of `main/`, e.g. `run`. */
export async function builtProgram(name: string): Promise<string> {
  return join(await builtProduct(), 'dist', 'main', `${name}.js`);
}

/** Path of the bundled workflows, for a worker's `workflowBundle.codePath`. */
export async function builtWorkflows(): Promise<string> {
  return join(await builtProduct(), 'dist', 'workflow-bundle.js');
}

/** Folder of the build; made when the sources have changed. Safe in several processes at once. */
async function builtProduct(): Promise<string> {
  const sources = sourceFiles();
  const target = join(CACHE, digestOf([...sources, 'package.json', 'package-lock.json']));
  if (existsSync(target)) return target;
  removeOldBuilds();
  const draft = join(CACHE, `draft-${randomUUID()}`);
  try {
    for (const source of sources) emit(source, join(draft, 'dist'));
    put(join(draft, 'package.json'), readFileSync(join(ROOT, 'package.json'), 'utf8'));
    put(join(draft, 'dist', 'workflow-bundle.js'), await workflowBundle());
    // Whoever else built the same meanwhile built the same.
    if (!existsSync(target)) renameSync(draft, target);
  } catch (thrown) {
    if (!existsSync(target)) throw thrown;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return target;
}

async function workflowBundle(): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(ROOT, 'workflows', 'index.ts'),
    logger: {
      log: SILENT,
      trace: SILENT,
      debug: SILENT,
      info: SILENT,
      warn: SILENT,
      error: SILENT,
    },
  });
  return code;
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

function emit(source: string, into: string): void {
  const text = readFileSync(join(ROOT, source), 'utf8');
  if (!source.endsWith('.ts')) {
    put(join(into, source), text);
    return;
  }
  const { outputText } = ts.transpileModule(text, {
    fileName: source,
    compilerOptions: COMPILER_OPTIONS,
  });
  put(join(into, source.replace(/\.ts$/, '.js')), outputText);
}

function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
