import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContextClient } from '../../client/index.ts';
import { installClient, type ClientPackage } from '../support/client-package.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const browser = BROWSERS.find((path) => existsSync(path));
const DOCS = ['docs/client.md', 'docs/websocket.md', 'README.md'];

let api: RealApi;
let installed: ClientPackage;

let page = '';
let onReport: (text: string) => void = () => undefined;
const site = createServer((req, res) => {
  if (req.method === 'POST') {
    req.on('data', (chunk: Buffer) => onReport(chunk.toString()));
    res.writeHead(204).end();
    return;
  }
  if (req.url === '/') res.setHeader('content-type', 'text/html').end(page);
  else if (req.url === '/client.js') {
    res.setHeader('content-type', 'text/javascript').end(readFileSync(installed.browserFile));
  } else res.writeHead(404).end();
});
let origin: string;

beforeAll(async () => {
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
  [api, installed] = await Promise.all([startRealApi({ corsOrigins: [origin] }), installClient()]);
}, 120_000);
afterAll(async () => {
  site.close();
  site.closeAllConnections();
  installed.remove();
  await api.stop();
});

/** Stores, hears of an update, and says what it heard. */
const PROGRAM = `
async function main(url) {
  const client = new ContextClient({ url });
  await client.initialize();
  const key = 'package/' + Math.random();
  await client.store(key, { step: 1 });
  await client.subscribe({ key, fields: ['data'] });
  const heard = new Promise((resolve) => client.once('contextChange', resolve));
  await client.update(key, { step: 2 });
  const { version, data } = await heard;
  const missing = await client.update(key + '/none', 1).catch((error) => error);
  client.close();
  return JSON.stringify({ version, data, code: missing.code, isError: missing instanceof SyncError });
}`;
const EXPECTED = { version: 2, data: { step: 2 }, code: 'CONTEXT_NOT_FOUND', isError: true };

describe('the published client', () => {
  it('is there for `import`', async () => {
    const text = `import { ContextClient, SyncError } from 'syncline/client';${PROGRAM}
      main(process.argv[2]).then(console.log);`;
    expect(JSON.parse(await installed.run('main.mjs', text, [api.url]))).toEqual(EXPECTED);
  });

  it('is what the package itself gives, too', async () => {
    const text = (load: string): string =>
      `${load}; console.log(typeof ContextClient, typeof storeContext);`;
    const names = '{ ContextClient, storeContext }';
    const es = await installed.run('own.mjs', text(`import ${names} from 'syncline'`), []);
    const common = await installed.run('own.cjs', text(`const ${names} = require('syncline')`), []);
    expect([es.trim(), common.trim()]).toEqual(['function function', 'function function']);
  });

  it('is there for `require`', async () => {
    const text = `const { ContextClient, SyncError } = require('syncline/client');${PROGRAM}
      main(process.argv[2]).then(console.log);`;
    expect(JSON.parse(await installed.run('main.cjs', text, [api.url]))).toEqual(EXPECTED);
  });

  it.each([
    ['ES modules', 'typed.mts'],
    ['CommonJS', 'typed.cts'],
  ])(
    'has types for %s',
    (_name, file) => {
      const good = `
      import { ContextClient, getContext, SyncError, type ContextChange } from 'syncline/client';
      const client: ContextClient = new ContextClient({ url: 'http://127.0.0.1:3100' });
      client.on('contextChange', (change: ContextChange) => change.version.toFixed());
      client.subscribe({ prefix: 'a/' }).then(({ cursor }) => cursor?.length);
      getContext('a').then((context) => context?.version.toFixed());
      export const version: Promise<number> = client.store('a', 1, { ttl: null }).then((e) => e.version);
      export const isOurs = (error: unknown): error is SyncError => error instanceof SyncError;`;
      expect(installed.typeErrors(file, good)).toEqual([]);
      const bad = `${good}\nclient.store(1, 1);`;
      expect(installed.typeErrors(`bad-${file}`, bad)).toEqual([
        expect.stringMatching(/'number' is not assignable to parameter of type 'string'/),
      ]);
    },
    60_000,
  );

  it.skipIf(!browser)(
    'runs on a page of another origin, without a bundler',
    async () => {
      page = `<!doctype html><meta charset="utf-8"><body><script type="module">
      import { ContextClient, SyncError } from '/client.js';${PROGRAM}
      const report = await main('${api.url}').catch((error) => JSON.stringify(error.stack));
      await fetch('/report', { method: 'POST', body: report });
    </script>`;
      expect(JSON.parse(await reportOf(`${origin}/`))).toEqual(EXPECTED);
    },
    60_000,
  );
});

describe('the examples of the docs', () => {
  const examples = DOCS.flatMap((file) => {
    const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
    return [...text.matchAll(/^```(?:js|javascript|mjs|cjs)\n([\s\S]*?)^```/gm)]
      .map(([, code = '']) => code)
      .filter((code) => code.includes("'syncline/client'") || code.includes("'ws'"))
      .map((code, nth) => ({ file, nth: nth + 1, code }));
  });

  it('are there', () => {
    expect(examples.length).toBeGreaterThanOrEqual(6);
  });

  it.each(examples)('$file, example $nth runs as it stands', async ({ file, nth, code }) => {
    const client = new ContextClient({ url: api.url });
    await client.store('my-context', { step: 1 }, { ttl: null });
    client.close();
    const isCommonJs = code.includes('require(');
    const name = `${file.replaceAll(/\W/g, '-')}-${nth}.${isCommonJs ? 'cjs' : 'mjs'}`;
    const { host } = new URL(api.url);
    // A bare WebSocket names the address a reader's server has.
    const text = code.replaceAll('ws://127.0.0.1:3100', `ws://${host}`);
    await installed.runFor(api.url, name, text);
  });
});

/** What a page reports that a headless browser opens. */
async function reportOf(url: string): Promise<string> {
  const profile = mkdtempSync(join(tmpdir(), 'syncline-browser-'));
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${profile}`];
  const report = new Promise<string>((resolve) => (onReport = resolve));
  const child = spawn(browser ?? '', [...flags, url], { stdio: 'ignore' });
  const ended = new Promise<string>((resolve) => {
    child.once('error', () => resolve('"no browser"'));
    child.once('exit', () => resolve('"the browser ended"'));
  });
  try {
    return await Promise.race([report, ended]);
  } finally {
    child.kill('SIGKILL');
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}
