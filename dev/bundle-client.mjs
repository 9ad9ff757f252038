/**
 * Makes the published client of the compiled sources, besides its ES modules: one file for
 * `require`, one for browsers, and the types for `require`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Writes `client/index.cjs`, `client/index.d.cts` and `client/browser.js` into a build. */
export async function bundleClient(target) {
  const folder = join(target, 'client');
  // Imported late: the dependencies may not be installed when this file is.
  const { build } = await import('vite');
  const common = { configFile: false, root: folder, logLevel: 'error', publicDir: false };
  const entry = join(folder, 'index.js');
  await build({
    ...common,
    build: {
      ...output(folder),
      ssr: entry,
      rolldownOptions: {
        external: ['ws'],
        output: { format: 'cjs', entryFileNames: 'index.cjs', codeSplitting: false },
      },
    },
  });
  await build({
    ...common,
    resolve: {
      alias: [{ find: /^\.\/open-socket\.js$/, replacement: './open-browser-socket.js' }],
    },
    build: {
      ...output(folder),
      lib: { entry, formats: ['es'], fileName: () => 'browser.js' },
    },
  });
  refuseNodeImports(join(folder, 'browser.js'));
  await writeRequireTypes(folder, entry);
}

function output(folder) {
  return { outDir: folder, emptyOutDir: false, minify: false, sourcemap: true, target: 'es2022' };
}

/** A bundle for browsers that needs Node would only fail at its users. */
function refuseNodeImports(file) {
  const imports = /(?:\bimport\s*\(|\bfrom\s*|\brequire\s*\()\s*['"][^'"]+['"]/.exec(
    readFileSync(file, 'utf8'),
  );
  if (imports) throw new Error(`${file} imports something: ${imports[0]}`);
}

/**
 * Types of the one file for `require`: those of the ES modules, taken over as types, with each value
 * declared anew (a CommonJS file may not re-export values of an ES module).
 */
async function writeRequireTypes(folder, entry) {
  const values = Object.entries(await import(pathToFileURL(entry).href));
  const isClass = (value) => typeof value === 'function' && /^class\b/.test(String(value));
  const lines = [
    "import type * as client from './index.js' with { 'resolution-mode': 'import' };",
    "export type * from './index.js' with { 'resolution-mode': 'import' };",
    ...values.map(([name]) => `export declare const ${name}: typeof client.${name};`),
    ...values
      .filter(([, value]) => isClass(value))
      .map(([name]) => `export type ${name} = client.${name};`),
  ];
  writeFileSync(join(folder, 'index.d.cts'), `${lines.join('\n')}\n`);
}
