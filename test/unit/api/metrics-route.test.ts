/** `/metrics` while Postgres is slow: what this process measures comes, and nothing piles up. */
import { describe, expect, it } from 'vitest';
import type { Metrics as LinkCount } from '../../../store/contract.ts';
import { createMetrics } from '../../../main/metrics/metrics.ts';
import { startTestApi, testApiDeps } from '../../support/api-under-test.ts';
import { parseSamples } from '../../support/samples.ts';
import { createStoreDouble } from '../../support/store-double.ts';

interface Pending {
  readonly resolve: (count: LinkCount) => void;
  readonly reject: (error: Error) => void;
}

async function startSlow(withMeasures: boolean) {
  const pending: Pending[] = [];
  const clock = { at: 1_800_000_000_000, now: () => clock.at };
  const links = (): Promise<LinkCount> =>
    new Promise((resolve, reject) => pending.push({ resolve, reject }));
  const measures = createMetrics({ version: '1', role: 'api', alerts: {} });
  const store = { ...createStoreDouble(), metrics: { links } };
  const more = withMeasures ? { measures } : {};
  const server = await startTestApi(testApiDeps(store, { clock, ...more }));
  const scrape = async () => {
    const answer = await fetch(`${server.url}/metrics`);
    return { status: answer.status, text: await answer.text() };
  };
  return { pending, clock, scrape, stop: () => server.stop(1_000) };
}

describe('GET /metrics while the links cannot be counted in time', () => {
  it('answers in seconds with everything else, counts once however often it is asked, and recovers', async () => {
    const { pending, clock, scrape, stop } = await startSlow(true);
    try {
      const began = performance.now();
      const first = parseSamples((await scrape()).text);
      expect(performance.now() - began).toBeLessThan(5_000);
      expect(first.value('syncline_collect_failures_total', { of: 'links' })).toBe(1);
      expect(first.value('syncline_build_info')).toBe(1);
      expect(first.names).not.toContain('syncline_links');

      clock.at += 60_000;
      await scrape();
      expect(pending).toHaveLength(1);

      pending[0]!.resolve({ links: 7, perLink: [] });
      expect(parseSamples((await scrape()).text).value('syncline_links')).toBe(7);
      // It is as old as its end, not as its begin.
      clock.at += 9_999;
      expect(parseSamples((await scrape()).text).value('syncline_links')).toBe(7);
      expect(pending).toHaveLength(1);

      clock.at += 1;
      const failing = scrape();
      await expect.poll(() => pending).toHaveLength(2);
      pending[1]!.reject(new Error('Postgres is out'));
      const failed = parseSamples((await failing).text);
      expect(failed.value('syncline_collect_failures_total', { of: 'links' })).toBe(3);
      const again = scrape();
      await expect.poll(() => pending).toHaveLength(3);
      pending[2]!.resolve({ links: 8, perLink: [] });
      expect(parseSamples((await again).text).value('syncline_links')).toBe(8);
    } finally {
      await stop();
    }
  });

  it('says 503 where there is nothing else to tell', async () => {
    const { scrape, stop } = await startSlow(false);
    try {
      const { status, text } = await scrape();
      expect(status).toBe(503);
      expect(text).toContain('UNAVAILABLE');
    } finally {
      await stop();
    }
  });
});
