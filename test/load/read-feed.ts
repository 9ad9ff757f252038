/** Readers of the change feed beside a load, and what every reader must have seen. */
import type { Change, ChangePage } from '../../api/contract.ts';
import type { KeepAliveCaller } from './keep-alive-caller.ts';

const PAGE = 500;
/** Seconds a reader waits for the next change. */
const WAIT_S = 1;

/** Reads on from `since` (null: from the start) until a page is empty after `mayEnd` said so. */
export async function readFeed(
  { call }: KeepAliveCaller,
  since: string | null,
  mayEnd: () => boolean,
): Promise<readonly Change[]> {
  const seen: Change[] = [];
  let cursor = since;
  for (;;) {
    const isLast = mayEnd();
    const from = cursor === null ? '' : `&since=${encodeURIComponent(cursor)}`;
    const wait = isLast ? 0 : WAIT_S;
    const { status, body } = await call(
      'GET',
      `/api/context/changes?limit=${PAGE}&wait=${wait}${from}`,
    );
    if (status !== 200) throw new Error(`the feed answered ${status}: ${JSON.stringify(body)}`);
    const page = body as ChangePage;
    seen.push(...page.changes);
    cursor = page.cursor;
    if (isLast && page.changes.length === 0) return seen;
  }
}

/** Versions per key in the order the feed gave them. */
export function versionsByKey(changes: readonly Change[]): Map<string, number[]> {
  const byKey = new Map<string, number[]>();
  for (const { key, version } of changes) {
    const versions = byKey.get(key);
    if (versions) versions.push(version);
    else byKey.set(key, [version]);
  }
  return byKey;
}
