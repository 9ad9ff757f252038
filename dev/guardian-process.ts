/**
 * The guardian: reads `+pid` and `-pid` lines; when its input ends, it ends the process groups
 * still listed: SIGTERM, and SIGKILL to what is left after five seconds.
 */
import { createInterface } from 'node:readline';
import { isAlive, signalGroup, waitUntilGone } from './process-alive.ts';

const GRACE_MS = 5000;
const watched = new Set<number>();

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const pid = Number(line.slice(1));
  if (!Number.isSafeInteger(pid) || pid <= 1) return;
  if (line.startsWith('+')) watched.add(pid);
  else watched.delete(pid);
});
lines.once('close', () => void endAll());

async function endAll(): Promise<void> {
  for (const pid of watched) signalGroup(pid, 'SIGTERM');
  await waitUntilGone([...watched], GRACE_MS);
  for (const pid of watched) if (isAlive(pid)) signalGroup(pid, 'SIGKILL');
  process.exit(0);
}
