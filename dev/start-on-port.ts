/** Starting a server on a free port, again on another one if somebody takes it in between. */
import { messageOf } from '../domain/errors.ts';
import type { Child } from './child.ts';
import { choosePort } from './ports.ts';

export interface StartOnPortOptions<T> {
  /** 0: any. */
  readonly preferredPort: number;
  /** A second port at this distance must be free too; 0: none. */
  readonly alsoOffset: number;
  readonly start: (port: number) => Child;
  /** Resolves when the server answers; throws when it will not. */
  readonly whenReady: (child: Child, port: number) => Promise<T>;
  /** How long a child that failed may take to end. */
  readonly graceMs: number;
}

const TRIES = 3;
/** How servers say that a port is taken: Redis and Postgres with a capital letter, Temporal without. */
const PORT_TAKEN = /address already in use/i;

/** What `whenReady` gives. Throws with the child's last log lines when it does not come up. */
export async function startOnPort<T>(options: StartOnPortOptions<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const preferred = attempt === 1 ? options.preferredPort : 0;
    const port = await choosePort(preferred, options.alsoOffset);
    const child = options.start(port);
    try {
      return await options.whenReady(child, port);
    } catch (cause) {
      await child.stop(options.graceMs);
      const log = child.logTail();
      if (attempt < TRIES && PORT_TAKEN.test(log)) continue;
      throw new Error(`${messageOf(cause)}\n${log}`, { cause });
    }
  }
}
