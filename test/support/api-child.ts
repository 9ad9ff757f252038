/** An API in a process of its own, whose memory can be limited and is told at the end. */
import { randomUUID } from 'node:crypto';
import { systemClock } from '../../domain/clock.ts';
import { createStore } from '../../store/create-store.ts';
import { createDatabase } from '../../store/database.ts';
import { startTestApi, testApiDeps } from './api-under-test.ts';

const MAX_CONTEXT_BYTES = 10 * 1024 * 1024;
const [url = ''] = process.argv.slice(2);

const store = createStore({
  database: createDatabase({ url, poolMin: 0, poolMax: 5 }),
  clock: systemClock,
  newId: randomUUID,
  maxContextBytes: MAX_CONTEXT_BYTES,
  onCommitted: () => undefined,
});
const server = await startTestApi(testApiDeps(store));
process.send?.({ url: server.url });
process.on('message', () => {
  process.send?.({ maxRssMiB: process.resourceUsage().maxRSS / 1024 });
});
process.on('disconnect', () => process.exit(0));
