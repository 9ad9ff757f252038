/**
 * Digests of many items, compared without comparing the items: 4,096 buckets by the hash of an
 * item's name, and per bucket a count and a sum over (name, content hash) that does not depend on
 * the order. Postgres computes the same in `store/sync/digests.ts`.
 */
import { createHash } from 'node:crypto';
import type { Hash } from '../domain/hash.ts';

/** Number of items of a bucket, and the sum of their marks. */
export interface BucketDigest {
  readonly items: number;
  readonly sum: bigint;
}

/** Bucket → digest; a bucket without items is not there. */
export type BucketDigests = ReadonlyMap<number, BucketDigest>;

export interface DigestBuilder {
  /** Counts an item in; answers its bucket. */
  add(name: string, hash: Hash): number;
  readonly digests: BucketDigests;
}

/** The bucket of a name: the first 12 bits of its SHA-256. */
export function bucketOf(name: string): number {
  return digestOf(name).readUInt16BE(0) >> 4;
}

/** An empty set of digests. */
export function createDigests(): DigestBuilder {
  const digests = new Map<number, BucketDigest>();
  return {
    digests,
    add(name, hash) {
      const key = digestOf(name);
      const bucket = key.readUInt16BE(0) >> 4;
      const mark = createHash('sha256').update(key).update(hash, 'hex').digest().readBigInt64BE(0);
      const { items, sum } = digests.get(bucket) ?? { items: 0, sum: 0n };
      digests.set(bucket, { items: items + 1, sum: sum + mark });
      return bucket;
    },
  };
}

/** The buckets in which two sets differ, ascending. */
export function differingBuckets(a: BucketDigests, b: BucketDigests): number[] {
  const buckets = new Set([...a.keys(), ...b.keys()]);
  return [...buckets]
    .filter((bucket) => !isSame(a.get(bucket), b.get(bucket)))
    .sort((x, y) => x - y);
}

function isSame(a: BucketDigest | undefined, b: BucketDigest | undefined): boolean {
  return a?.items === b?.items && a?.sum === b?.sum;
}

const digestOf = (name: string): Buffer => createHash('sha256').update(name).digest();
