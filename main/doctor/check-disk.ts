/** Room on the disk that holds the embedded servers' data. */
import { statfs } from 'node:fs/promises';
import { readOwner } from '../../dev/lock.ts';
import { problem, type Problem } from './problem.ts';

/** Below this, Postgres and Temporal may stop at any moment. */
const MIN_FREE_BYTES = 1024 ** 3;

/** Nothing to say where this process does not run the embedded servers. */
export async function checkDisk(home: string): Promise<readonly Problem[]> {
  if (readOwner(home)?.pid !== process.pid) return [];
  const { bavail, bsize } = await statfs(home);
  const free = bavail * bsize;
  if (free >= MIN_FREE_BYTES) return [];
  return [
    problem({
      code: 'DISK_LOW',
      explanation: `The disk that holds ${home} has ${Math.round(free / 1024 ** 2)} MiB left.`,
      advice: 'Free some space: a full disk stops Postgres, and with it every write.',
    }),
  ];
}
