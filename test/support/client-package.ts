/**
 * The published client as a package of its own, as `npm install syncline` would put it: built of the
 * sources as they are now, in a folder below node_modules so that its dependencies are found.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { runProgram } from './run-program.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface ClientPackage {
  /** Folder of a program that has `syncline` installed. */
  readonly folder: string;
  /** The file a page imports. */
  readonly browserFile: string;
  /** Runs a file of the program in Node; what it printed. @throws Error when it fails */
  run(name: string, text: string, args?: readonly string[]): Promise<string>;
  /** The same, with the client's default address leading to this API instead. */
  runFor(apiUrl: string, name: string, text: string): Promise<string>;
  /** Type errors of a file of the program, under the rules Node 16 resolution has for its name. */
  typeErrors(name: string, text: string): string[];
  remove(): void;
}

/** Builds and installs it. */
export async function installClient(): Promise<ClientPackage> {
  const folder = join(ROOT, 'node_modules', '.cache', `syncline-client-${randomUUID()}`);
  const home = join(folder, 'node_modules', 'syncline');
  const dist = join(home, 'dist');
  emit(dist);
  put(join(home, 'package.json'), readFileSync(join(ROOT, 'package.json'), 'utf8'));
  put(join(folder, 'package.json'), '{"name":"consumer","private":true}');
  const bundler = pathToFileURL(join(ROOT, 'dev', 'bundle-client.mjs')).href;
  const { bundleClient } = (await import(bundler)) as {
    bundleClient: (target: string) => Promise<void>;
  };
  await bundleClient(dist);
  return {
    folder,
    browserFile: join(dist, 'client', 'browser.js'),
    run(name, text, args = []) {
      put(join(folder, name), text);
      return run([join(folder, name), ...args], folder);
    },
    runFor(apiUrl, name, text) {
      const preload = join(folder, 'preload.mjs');
      put(preload, redirect(new URL(apiUrl).host));
      put(join(folder, name), text);
      return run(['--import', preload, join(folder, name)], folder);
    },
    typeErrors(name, text) {
      put(join(folder, name), text);
      return typeErrors(join(folder, name));
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

const redirect = (host: string): string => `
import { WebSocket } from 'ws';
const { fetch } = globalThis;
const there = (url) => String(url).replace('127.0.0.1:3100', '${host}');
globalThis.fetch = (url, init) => fetch(there(url), init);
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) { super(there(url), protocols); }
};`;

/** JavaScript and declarations of the client and of what its types come from. */
function emit(dist: string): void {
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
  // The browser's socket is put in by the bundler; nobody imports it.
  const files = ['index.ts', 'open-browser-socket.ts'].map((name) => join(ROOT, 'client', name));
  const program = ts.createProgram(files, {
    ...options,
    outDir: dist,
    rootDir: ROOT,
    sourceMap: false,
  });
  program.emit();
}

function typeErrors(file: string): string[] {
  const program = ts.createProgram([file], {
    module: ts.ModuleKind.Node16,
    moduleResolution: ts.ModuleResolutionKind.Node16,
    target: ts.ScriptTarget.ES2022,
    strict: true,
    noEmit: true,
    // As most programs have it; declarations of others are not ours.
    skipLibCheck: true,
    types: [],
  });
  return ts
    .getPreEmitDiagnostics(program)
    .map(
      ({ file: at, messageText }) =>
        `${at ? relative(ROOT, at.fileName) : ''}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
    );
}

async function run(args: readonly string[], cwd: string): Promise<string> {
  const { code, out, err } = await runProgram(args, { cwd, env: process.env });
  if (code !== 0) throw new Error(`ended with ${code}: ${err}\n${out}`);
  return out;
}

function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
