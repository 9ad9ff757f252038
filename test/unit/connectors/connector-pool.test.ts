import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Connector, ConnectorType } from '../../../connectors/connector.ts';
import { createConnectorPool } from '../../../connectors/connector-pool.ts';
import { createFakeRemote, type FakeRemote } from '../../../connectors/fake/fake-remote.ts';
import { createRateLimiter } from '../../../connectors/rate-limit.ts';
import type { LinkId, TenantId } from '../../../domain/ids.ts';
import type { Link } from '../../../domain/link.ts';
import { sampleLink } from '../../support/sample-link.ts';

const TENANT = 'default' as TenantId;
const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined };
const ALL = { since: null, page: null };

const link = (config: Link['config'] = {}): Link =>
  sampleLink({ id: randomUUID() as LinkId, connector: 'counted', config, scope: { prefix: '' } });

/** A pool over a fake remote that counts what is open. */
function under(options: { maxOpen?: number; idleMs?: number } = {}) {
  const remote: FakeRemote = createFakeRemote({ grade: 'B' });
  const state = { now: 0, open: 0, opened: 0, mostOpen: 0, refuse: false, waited: [] as number[] };
  const clock = { now: () => state.now };
  const type: ConnectorType<{ remote?: string | undefined }> = {
    kind: 'counted',
    title: 'Counted',
    configSchema: z.looseObject({ remote: z.string().optional() }),
    capabilities: remote.capabilities,
    version: 1,
    checkAllowed: () => undefined,
    async open() {
      if (state.refuse) throw new Error('refused');
      state.opened += 1;
      state.open += 1;
      state.mostOpen = Math.max(state.mostOpen, state.open);
      const inner = remote.connect();
      const connector: Connector = {
        ...inner,
        close: async () => {
          state.open -= 1;
          await inner.close();
        },
      };
      return connector;
    },
  };
  const limiter = createRateLimiter({
    clock,
    wait: async (ms, signal) => {
      signal?.throwIfAborted();
      state.waited.push(ms);
      state.now += ms;
    },
  });
  const pool = createConnectorPool({
    typeOf: () => type,
    permissions: { fileRoots: [], stdioCommands: [] },
    secret: (name) => name,
    log: SILENT,
    clock,
    limiter,
    ...options,
  });
  return { pool, remote, state };
}

describe('the connector pool', () => {
  it('opens one conversation per link and keeps it', async () => {
    const { pool, state } = under();
    const one = link();
    const [first, again] = [await pool.get(TENANT, one), await pool.get(TENANT, one)];
    expect(again).toBe(first);
    await first.observe(ALL);
    expect([state.opened, pool.peek(TENANT, one.id) === first]).toEqual([1, true]);
    await pool.close();
    expect([state.open, pool.openCount()]).toEqual([0, 0]);
  });

  it('keeps no more open than its bound, closing those used longest ago', async () => {
    const { pool, state } = under({ maxOpen: 3 });
    const links = Array.from({ length: 20 }, () => link());
    for (const each of links) {
      state.now += 1;
      await (await pool.get(TENANT, each)).observe(ALL);
    }
    expect(pool.openCount()).toBe(3);
    expect(state.mostOpen).toBeLessThanOrEqual(4);
    const opened = state.opened;
    await (await pool.get(TENANT, links[19]!)).observe(ALL);
    expect(state.opened).toBe(opened);
    await pool.close();
  });

  it('a conversation that was closed meanwhile is opened anew by its next call', async () => {
    const { pool, state } = under({ maxOpen: 1 });
    const held = await pool.get(TENANT, link());
    await held.observe(ALL);
    state.now += 1;
    await (await pool.get(TENANT, link())).observe(ALL);
    expect(pool.openCount()).toBe(1);
    expect((await held.observe(ALL)).isComplete).toBe(true);
    await pool.close();
    expect(state.open).toBe(0);
  });

  it('closes what nobody has used for long, but nothing that is watched', async () => {
    const { pool, state } = under({ idleMs: 1_000 });
    const [idle, watched] = [link(), link()];
    await (await pool.get(TENANT, idle)).observe(ALL);
    const end = await (await pool.get(TENANT, watched)).watch!(() => undefined);
    state.now += 2_000;
    await pool.closeIdle();
    expect([pool.openCount(), state.open]).toEqual([1, 1]);
    await end();
    state.now += 2_000;
    await pool.closeIdle();
    expect(pool.openCount()).toBe(0);
    // Unused for longer still, it is forgotten whole.
    state.now += 2_000;
    await pool.closeIdle();
    expect(pool.peek(TENANT, idle.id)).toBeNull();
    await pool.close();
  });

  it('makes one call at a time', async () => {
    const { pool, remote } = under();
    let inside = 0;
    let most = 0;
    remote.hooks.beforeCall = async () => {
      inside += 1;
      most = Math.max(most, inside);
      await Promise.resolve();
    };
    remote.hooks.afterCall = () => void (inside -= 1);
    const connector = await pool.get(TENANT, link());
    await Promise.all([connector.observe(ALL), connector.probe(), connector.read([])]);
    expect(most).toBe(1);
    await pool.close();
  });

  it('tries again after an opening that failed, and after a conversation was dropped', async () => {
    const { pool, state } = under();
    const one = link();
    state.refuse = true;
    await expect(pool.get(TENANT, one)).rejects.toThrow('refused');
    state.refuse = false;
    const first = await pool.get(TENANT, one);
    await pool.drop(TENANT, one.id);
    expect(state.open).toBe(0);
    await expect(first.observe(ALL)).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE' });
    const second = await pool.get(TENANT, one);
    expect(second).not.toBe(first);
    await second.observe(ALL);
    await pool.close();
  });

  it('all links of one host and credential share its limit', async () => {
    const { pool, state } = under();
    const config = { url: 'https://busy.example/mcp', rateLimit: { requests: 2, perMs: 1_000 } };
    for (let nth = 0; nth < 4; nth += 1) await (await pool.get(TENANT, link(config))).observe(ALL);
    expect(state.waited).toEqual([500, 500]);
    await (await pool.get(TENANT, link({ ...config, apiKey: 'another' }))).observe(ALL);
    expect(state.waited).toHaveLength(2);
    await pool.close();
  });

  it('no tenant has its calls counted against another, and a call that waits can be called off', async () => {
    const { pool, remote, state } = under();
    const config = { url: 'https://busy.example/mcp', rateLimit: { requests: 1, perMs: 1_000 } };
    const ours = await pool.get(TENANT, link(config));
    await ours.observe(ALL);
    await (await pool.get('other' as TenantId, link(config))).observe(ALL);
    expect(state.waited).toEqual([]);
    const { calls } = remote.counters;
    const signal = AbortSignal.abort();
    await expect(ours.observe({ ...ALL, signal })).rejects.toThrow('aborted');
    await expect(ours.read([], signal)).rejects.toThrow('aborted');
    expect(remote.counters.calls).toBe(calls);
    await pool.close();
  });

  it('a remote that answers 429 is left alone by every link that shares it', async () => {
    const { pool, remote } = under();
    const config = { url: 'https://busy.example/mcp' };
    const [one, other] = [
      await pool.get(TENANT, link(config)),
      await pool.get(TENANT, link(config)),
    ];
    remote.inject({ on: 'observe', kind: 'rate-limited', retryAfterMs: 30_000 });
    const told = { code: 'RATE_LIMITED', extra: { retryAfterMs: 30_000 } };
    await expect(one.observe(ALL)).rejects.toMatchObject(told);
    const calls = remote.counters.calls;
    await expect(other.observe(ALL)).rejects.toMatchObject(told);
    expect(remote.counters.calls).toBe(calls);
    await pool.close();
  });
});
