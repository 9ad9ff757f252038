/** How long the event loop was held up while something ran. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** The longest hold-up, ms. A busy machine adds its own; compare with a generous bound. */
export async function loopDelayDuring(work: () => Promise<unknown>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  try {
    await work();
  } finally {
    delay.disable();
  }
  return delay.max / 1e6;
}
