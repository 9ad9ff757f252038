/** Compares positions of the change feed (`<transaction>.<sequence>`) in commit order. */

/** Whether position `a` comes after `b`. */
export function isAfter(a: string, b: string): boolean {
  const [xidA, seqA] = partsOf(a);
  const [xidB, seqB] = partsOf(b);
  return xidA === xidB ? seqA > seqB : xidA > xidB;
}

/** The later of two positions. */
export function later(a: string, b: string): string {
  return isAfter(a, b) ? a : b;
}

function partsOf(position: string): [xid: bigint, seq: bigint] {
  const [xid = '0', seq = '0'] = position.split('.');
  return [BigInt(xid), BigInt(seq)];
}

/** Which transactions were over at a moment. */
export interface Snapshot {
  /** The first transaction that had not begun. */
  readonly end: bigint;
  /** Those before it that were under way. */
  readonly running: ReadonlySet<string>;
}

/** Reads the text of a `pg_snapshot`: `xmin:xmax:xid,xid,…`. */
export function parseSnapshot(text: string): Snapshot {
  const [, end = '0', running = ''] = text.split(':');
  return { end: BigInt(end), running: new Set(running.split(',').filter(Boolean)) };
}

/** Whether the change at a position was committed already at the moment of the snapshot. */
export function isIn({ end, running }: Snapshot, position: string): boolean {
  const [xid = '0'] = position.split('.');
  return BigInt(xid) < end && !running.has(xid);
}

/** Whether everything from this position on is younger than the snapshot. */
export function isPast({ end }: Snapshot, position: string): boolean {
  return partsOf(position)[0] >= end;
}
