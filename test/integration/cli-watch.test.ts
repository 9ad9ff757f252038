import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { spawn } from 'node:child_process';
import { ContextClient } from '../../client/index.ts';
import type { TenantId } from '../../domain/ids.ts';
import { builtCli } from '../support/product-build.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

let cli: string;
let api: RealApi;
let client: ContextClient;

beforeAll(async () => {
  [api, cli] = await Promise.all([startRealApi(), builtCli()]);
  client = new ContextClient({ url: api.url });
}, 120_000);
afterAll(async () => {
  client.close();
  await api.stop();
});

/** The command as a process, as a terminal has it. */
function startWatch(...args: readonly string[]) {
  return startWatchAt(api.url, ...args);
}

function startWatchAt(url: string, ...args: readonly string[]) {
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, [cli, 'context', 'watch', '--url', url, ...args], {
    env: { PATH, HOME, SYNCLINE_URL: url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, said, ended };
}

describe('syncline context watch', () => {
  it('prints changes as lines of JSON, and ends well with Ctrl-C', async () => {
    const { cursor } = await client.changes({ since: 'now' });
    const { child, said, ended } = startWatch('--prefix', 'watch/', '--json', '--since', cursor);
    await client.store('watch/a', 1);
    await client.store('elsewhere', 1);
    await vi.waitFor(() => expect(said.out.split('\n')).toHaveLength(2), { timeout: 30_000 });
    await client.delete('watch/a');
    await vi.waitFor(() => expect(said.out.split('\n')).toHaveLength(3), { timeout: 30_000 });
    const lines = said.out.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { key: 'watch/a', version: 1, changeType: 'create' },
      { key: 'watch/a', version: 2, deleted: true, reason: 'user' },
    ]);
    child.kill('SIGINT');
    expect(await ended).toBe(0);
    expect(said.err).toBe('');
  }, 60_000);

  it('ends with 1 and the reason when its key is revoked', async () => {
    const reader = { tenant: 'default' as TenantId, name: 'reader', scopes: ['read'] as const };
    let isRevoked = false;
    const lookup = async () => (isRevoked ? null : reader);
    const locked = await startRealApi({ auth: { mode: 'keys', lookup } });
    const { said, ended } = startWatchAt(locked.url, '--api-key', 'sk_reader');
    await vi.waitFor(() => expect(said.err).toContain('Watching'), { timeout: 30_000 });
    isRevoked = true;
    expect(await ended).toBe(1);
    expect(said.err).toContain('error UNAUTHENTICATED: ');
    expect(said.out).toBe('');
    await locked.stop();
  }, 60_000);

  it('takes one thing to watch and no more', async () => {
    const { said, ended } = startWatch('a-key', '--tag', 'a-tag');
    expect(await ended).toBe(2);
    expect(said.err).toContain('one of them');
  }, 30_000);
});
