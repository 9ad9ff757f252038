/**
 * Builds the product for tests: every source compiled without a type check, the workflows bundled.
 * `main/run`, which tests start some 150 times, is one file with its libraries: loading 2,500 modules
 * one by one is most of what a start costs.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { bundleWorkflowCode } from '@temporalio/worker';
import ts from 'typescript';
import { build, type Plugin } from 'vite';

const SILENT = () => undefined;

const COMPILER_OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  experimentalDecorators: true,
  useDefineForClassFields: false,
  verbatimModuleSyntax: true,
  rewriteRelativeImportExtensions: true,
};

/** Writes `dist/` (and `package.json` beside it) into `target`, a real path. */
export async function buildProduct(
  root: string,
  sources: readonly string[],
  target: string,
): Promise<void> {
  const dist = join(target, 'dist');
  for (const source of sources) emit(root, source, dist);
  put(join(target, 'package.json'), readFileSync(join(root, 'package.json'), 'utf8'));
  put(join(dist, 'workflow-bundle.js'), await workflowBundle(root));
  await bundleRun(dist);
}

async function workflowBundle(root: string): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(root, 'workflows', 'index.ts'),
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

/** Writes `main/run` as one file. What looks for files of its own package stays outside. */
async function bundleRun(dist: string): Promise<void> {
  const into = join(dist, 'in-one');
  await build({
    configFile: false,
    root: dist,
    logLevel: 'error',
    publicDir: false,
    ssr: {
      noExternal: true,
      external: [
        '@bull-board/api',
        '@bull-board/express',
        '@temporalio/activity',
        '@temporalio/client',
        '@temporalio/common',
        '@temporalio/worker',
        'tinypool',
      ],
    },
    plugins: [keepOwnAddresses(dist, into)],
    build: {
      ssr: join(dist, 'main', 'run.js'),
      outDir: into,
      emptyOutDir: false,
      minify: false,
      target: 'node20',
      rolldownOptions: { output: { entryFileNames: 'run.js', codeSplitting: false } },
    },
  });
}

/** Our modules find files beside them by their own address: in the bundle, too. */
function keepOwnAddresses(dist: string, into: string): Plugin {
  return {
    name: 'keep-own-addresses',
    transform(code, id) {
      if (!id.startsWith(dist) || !code.includes('import.meta.url')) return null;
      const path = JSON.stringify(relative(into, id));
      return code.replaceAll('import.meta.url', `new URL(${path}, import.meta.url).href`);
    },
  };
}

function emit(root: string, source: string, into: string): void {
  const text = readFileSync(join(root, source), 'utf8');
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
