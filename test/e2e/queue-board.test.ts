/** The queue board of `npm start` with keys on, opened the way a browser does. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createEmbedded, type EmbeddedSyncline } from '../support/embedded-process.ts';

const KEY = 'sk_a_root_key_for_this_test';

let syncline: EmbeddedSyncline;
beforeAll(async () => {
  syncline = await createEmbedded({ CONTEXT_AUTH: 'keys', CONTEXT_ROOT_KEY: KEY });
  await syncline.start();
}, 150_000);
afterAll(() => syncline.close(), 100_000);

const BASIC = { authorization: `Basic ${Buffer.from(`ann:${KEY}`).toString('base64')}` };
const board = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${syncline.url}/admin/queues${path}`, init);

it('npm start says how the queue board is opened', async () => {
  const said = (): string => readFileSync(join(syncline.folder, 'start.log'), 'utf8');
  await vi.waitFor(() => expect(said()).toContain('Queues '), { timeout: 15_000 });
  expect(said()).toContain(
    `${syncline.url}/admin/queues  (any user name; the password is a key with the scope root)`,
  );
});

it('the board and what it asks for open with the key as password, and change only by its page', async () => {
  const first = await board('');
  expect([first.status, first.headers.get('www-authenticate')]).toEqual([
    401,
    expect.stringMatching(/^Basic realm=/),
  ]);
  expect(await (await board('', { headers: BASIC })).text()).toContain('<title>Bull Dashboard');
  const queues = await (await board('/api/queues', { headers: BASIC })).json();
  expect(queues).toMatchObject({ queues: [{ name: 'syncline-maintenance' }] });
  const pause = (from: object): Promise<Response> =>
    board('/api/queues/pause', { method: 'PUT', headers: { ...BASIC, ...from } });
  expect((await pause({ origin: 'https://evil.example' })).status).toBe(403);
  expect((await pause({ origin: syncline.url })).status).toBe(200);
});
