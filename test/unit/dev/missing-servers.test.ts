import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findTemporal } from '../../../dev/find-temporal.ts';
import { installRedis } from '../../../dev/install-redis.ts';
import { startStack } from '../../../dev/stack.ts';

let empty: string;

beforeEach(() => {
  empty = mkdtempSync(join(tmpdir(), 'syncline-bare-'));
  vi.stubEnv('PATH', empty);
  vi.stubEnv('XDG_CACHE_HOME', empty);
});

afterEach(() => {
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
  rmSync(empty, { recursive: true, force: true });
});

describe('a machine with nothing on it', () => {
  it('says what was tried and what to do when there is no Temporal', async () => {
    const found = findTemporal({ tell: () => undefined, mayInstall: false });
    await expect(found).rejects.toMatchObject({ code: 'SERVER_NOT_STARTED' });
    await expect(found).rejects.toThrow(
      /not on PATH.*fetching it is turned off[\s\S]*TEMPORAL_ADDRESS/,
    );
  });

  it('reports each way to Temporal as it fails', async () => {
    vi.stubGlobal('fetch', () =>
      Promise.reject(new TypeError('fetch failed', { cause: new Error('no network') })),
    );
    const said: string[] = [];
    const tell = (_: string, message: string): void => void said.push(message);
    await expect(findTemporal({ tell, mayInstall: true })).rejects.toThrow(
      /the official download did not work \(no network\); Go is not on PATH/,
    );
    expect(said).toEqual([
      'Temporal is not on this machine: trying the official download',
      'the official download did not work (no network)',
      'Go is not on PATH',
    ]);
  });

  it('says what to install when there is no Redis and no package manager', async () => {
    await expect(installRedis({ tell: () => undefined, mayInstall: true })).rejects.toThrow(
      /no package manager we know is here[\s\S]*What to do: install Redis, or set REDIS_URL/,
    );
  });

  it('names every server that is missing, and leaves the folder free', async () => {
    const want = { redis: true, temporal: true };
    const steps: string[] = [];
    const start = (): Promise<unknown> =>
      startStack({
        home: join(empty, 'home'),
        want,
        mayInstall: false,
        report: ({ server, state }) => steps.push(`${server} ${state}`),
      });
    await expect(start()).rejects.toThrow(/Redis is not on this machine[\s\S]*REDIS_URL/);
    await expect(start()).rejects.toThrow(/Temporal's program is not on this machine/);
    expect(steps.slice(0, 2).sort()).toEqual(['redis failed', 'temporal failed']);
  });
});
