import { expect, it, vi } from 'vitest';
import { keepTrying } from '../../../main/keep-trying.ts';

const log = { info: () => undefined, warn: vi.fn() };

it('lets its caller go on after a failed start, tries until it succeeds, and stops what it started', async () => {
  const stop = vi.fn(async () => undefined);
  const start = vi
    .fn<() => Promise<{ stop(): Promise<void> }>>()
    .mockRejectedValueOnce(new Error('out'))
    .mockRejectedValueOnce(new Error('still out'))
    .mockResolvedValue({ stop });
  const trying = keepTrying({ start, everyMs: 5, log });
  await trying.first;
  expect(start).toHaveBeenCalledTimes(1);
  await vi.waitFor(() => expect(start).toHaveBeenCalledTimes(3));
  expect(log.warn).toHaveBeenCalledTimes(2);
  await trying.stop();
  expect(stop).toHaveBeenCalledTimes(1);
});

it('stops what comes up while it is being stopped, and tries no more', async () => {
  const stop = vi.fn(async () => undefined);
  let finish = (): void => undefined;
  const start = () =>
    new Promise<{ stop(): Promise<void> }>((resolve) => (finish = () => resolve({ stop })));
  const trying = keepTrying({ start, everyMs: 5, log });
  const stopping = trying.stop();
  finish();
  await stopping;
  expect(stop).toHaveBeenCalledTimes(1);
});
