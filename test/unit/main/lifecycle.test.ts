import { describe, expect, it } from 'vitest';
import { createLifecycle } from '../../../main/lifecycle.ts';

function recorder() {
  const told: string[] = [];
  const note = (fields: object, text?: string): void =>
    void told.push(`${JSON.stringify(fields)} ${text}`);
  return { told, log: { warn: note, debug: () => undefined } };
}

describe('the lifecycle', () => {
  it('stops what was started last first, one after the other', async () => {
    const order: string[] = [];
    const lifecycle = createLifecycle(recorder().log);
    for (const name of ['pool', 'worker', 'api']) {
      lifecycle.add({
        name,
        stop: async () => {
          order.push(`${name} stops`);
          await Promise.resolve();
          order.push(`${name} is gone`);
        },
      });
    }
    await lifecycle.stop();
    expect(order).toEqual([
      'api stops',
      'api is gone',
      'worker stops',
      'worker is gone',
      'pool stops',
      'pool is gone',
    ]);
  });

  it('goes on when a part fails or takes longer than its deadline, and says so', async () => {
    const { told, log } = recorder();
    const stopped: string[] = [];
    const lifecycle = createLifecycle(log);
    lifecycle.add({ name: 'last', stop: async () => void stopped.push('last') });
    lifecycle.add({ name: 'hangs', stop: () => new Promise(() => undefined), deadlineMs: 5 });
    lifecycle.add({ name: 'fails', stop: () => Promise.reject(new Error('broken')) });
    await lifecycle.stop();
    expect(stopped).toEqual(['last']);
    expect(told.join('\n')).toMatch(/fails.*broken[^]*hangs.*longer than 5 ms/);
  });

  it('stops once, however often it is asked', async () => {
    let stops = 0;
    const lifecycle = createLifecycle(recorder().log);
    lifecycle.add({ name: 'one', stop: async () => void (stops += 1) });
    await Promise.all([lifecycle.stop(), lifecycle.stop()]);
    expect(stops).toBe(1);
  });
});
