/**
 * The ops of a run with the bodies they put in each other's place, a page at a time. A body may be
 * megabytes, so a page has a budget: ops beyond it come without bodies.
 */
import type { Hash } from '../domain/hash.ts';
import type { RunId } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import { loadBodies, wantedBlobs } from './blobs.ts';
import type { RunOp } from './contract.ts';
import type { Transaction } from './database.ts';
import { pageOf } from './paging.ts';

/** Most bytes of bodies (compact JSON) one page holds, unless its first op alone has more. */
const MAX_PAGE_BYTES = 16 * 1024 * 1024;

const SELECT_OPS = `
SELECT seq, action, side, key, reason, state, detail, encode(hub_hash, 'hex') AS hub_hash,
  encode(remote_hash, 'hex') AS remote_hash, encode(hub_after, 'hex') AS hub_after,
  encode(remote_after, 'hex') AS remote_after
FROM sync_ops WHERE tenant_id = current_setting('app.tenant') AND run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3`;

interface OpViewRow {
  seq: number;
  action: string;
  side: RunOp['side'];
  key: string;
  reason: string;
  state: string;
  detail: string | null;
  hub_hash: Hash | null;
  remote_hash: Hash | null;
  hub_after: Hash | null;
  remote_after: Hash | null;
}

/** A page of a run's ops, in order, after the op with that number. */
export async function readOps(
  tx: Transaction,
  id: RunId,
  { after, limit, maxBytes = MAX_PAGE_BYTES }: { after: number; limit: number; maxBytes?: number },
): Promise<{ items: RunOp[]; nextCursor: string | null }> {
  const rows = await tx.query<OpViewRow>(SELECT_OPS, [id, after, limit + 1]);
  const shown = rows.slice(0, limit);
  const sizes = await sizesOf(tx, shown.flatMap(hashesOf));
  const whole = new Set(withinBudget(shown, sizes, maxBytes));
  const bodies = await loadBodies(tx, [...whole].flatMap(hashesOf));
  return pageOf(rows, limit, {
    item: (row) => (whole.has(row) ? opOf(row, bodies) : { ...opOf(row, bodies), isCut: true }),
    sortValues: (row) => [row.seq],
  });
}

async function sizesOf(tx: Transaction, hashes: readonly Hash[]): Promise<Map<Hash, number>> {
  if (hashes.length === 0) return new Map();
  const wanted = [[...new Set(hashes)]];
  const rows = await tx.query<{ hash: Hash; size: number }>(wantedBlobs('size'), wanted);
  return new Map(rows.map(({ hash, size }) => [hash, size]));
}

/** The ops whose bodies the page has room for: the first whatever its size, or nobody could see it. */
function withinBudget(
  rows: readonly OpViewRow[],
  sizes: ReadonlyMap<Hash, number>,
  maxBytes: number,
): OpViewRow[] {
  let bytes = 0;
  return rows.filter((row, nth) => {
    const more = hashesOf(row).reduce((sum, hash) => sum + (sizes.get(hash) ?? 0), 0);
    const fits = more === 0 || nth === 0 || bytes + more <= maxBytes;
    if (fits) bytes += more;
    return fits;
  });
}

/** Where an op writes both sides they end up alike; before, the remote's value is shown. */
const shownHashes = (row: OpViewRow): readonly [before: Hash | null, after: Hash | null] =>
  row.side === 'hub' ? [row.hub_hash, row.hub_after] : [row.remote_hash, row.remote_after];

const hashesOf = (row: OpViewRow): Hash[] => shownHashes(row).filter((hash) => hash !== null);

function opOf(row: OpViewRow, bodies: ReadonlyMap<Hash, Json>): RunOp {
  const body = (hash: Hash | null) => (hash ? (bodies.get(hash) ?? null) : null);
  const [before, after] = shownHashes(row);
  return {
    op: row.action,
    side: row.side,
    key: row.key,
    reason: row.detail ?? row.reason,
    state: row.state,
    before: body(before),
    after: body(after),
  };
}
