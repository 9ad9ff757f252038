/** Finds or fetches Temporal's program ahead of time, so that a start or test need not wait for it. */
import { messageOf } from '../domain/errors.ts';
import { findTemporal } from './find-temporal.ts';
import { stepsOf } from './server.ts';

const tell = stepsOf('temporal', ({ elapsedMs, message }) => {
  console.log(`${(elapsedMs / 1000).toFixed(1).padStart(6)} s  ${message}`);
});
try {
  console.log(await findTemporal({ tell, mayInstall: true }));
} catch (thrown) {
  console.error(messageOf(thrown));
  process.exit(1);
}
