/**
 * A process that starts the embedded stack and keeps it, to be killed by tests.
 * Argument: home folder. Prints one JSON line with pids and addresses when all is up.
 */
import { messageOf } from '../../domain/errors.ts';
import { startStack } from '../../dev/stack.ts';

const home = process.argv[2];
if (home === undefined) throw new Error('usage: servers-stack-owner <home>');
try {
  const stack = await startStack({
    home,
    want: { postgres: true, redis: true, temporal: true },
    report: (step) =>
      console.error(`${step.server} ${step.state} ${step.elapsedMs} ms ${step.message}`),
    ports: { postgres: 0, redis: 0, temporal: 0 },
    isHeadless: true,
  });
  const stop = (): void => void stack.stop().then(() => process.exit(0));
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  const servers = Object.values(stack.servers).map(({ name, pid, address }) => ({
    name,
    pid,
    address,
  }));
  console.log(JSON.stringify(servers));
  setInterval(() => undefined, 60_000);
} catch (thrown) {
  console.error(messageOf(thrown));
  process.exit(1);
}
