/**
 * An audit's look: everything the remote has, read anew and hashed again, whatever cursors and
 * versions say, against what was agreed on. Digests of 4,096 buckets are compared first; only items
 * of buckets that differ are looked at one by one. What differs is recorded as it was really seen and
 * marked to be decided, so that plan, guards and execution deal with it as with any other change.
 */
import type { RemoteEntry } from '../connectors/contract.ts';
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import type { ContextKey, RemoteId } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import type { AuditedItem, Sighting } from '../store/contract.ts';
import { bucketOf, createDigests, differingBuckets, type BucketDigests } from './bucket-digest.ts';
import { createBreather } from './compute/breather.ts';
import type { Observed } from './contract.ts';
import { lapsedAmong, observe, sightingOf, withValues } from './observe.ts';
import type { PassScope } from './pass-scope.ts';

/** Items read again at once. */
const READ_BATCH = 500;

/** Observes as any pass does, then compares both sides whole. @throws AppError SCAN_INCOMPLETE */
export async function observeAnew(scope: PassScope): Promise<Observed> {
  const { sync, ref } = scope;
  const inHub = await sync.auditHub(ref);
  const observed = await observe(scope);
  const seen = await readAnew(scope);
  const buckets = differingBuckets(seen.digests, await sync.agreedDigests(ref));
  // An item that just missed a scan must not miss a second one within the same moment.
  const found =
    buckets.length === 0
      ? { sighted: 0, doubted: 0, gone: 0, inDoubt: 0 }
      : await drillDown(scope, { seen, buckets, mayMiss: observed.inDoubt === 0 });
  return {
    ...observed,
    changedRemote: observed.changedRemote + found.sighted + found.gone,
    inDoubt: observed.inDoubt + found.inDoubt,
    hasWork: observed.hasWork || inHub + found.sighted + found.doubted + found.gone > 0,
  };
}

/** Everything a remote showed: id → hash by bucket; null: there, but not to be used. */
interface SeenAnew {
  readonly digests: BucketDigests;
  readonly hashes: ReadonlyMap<RemoteId, Hash | null>;
  readonly bucketsOf: ReadonlyMap<number, readonly RemoteId[]>;
}

async function readAnew(scope: PassScope): Promise<SeenAnew> {
  const { connector, remoteCursor: since, signal, heartbeat } = scope;
  const digests = createDigests();
  const hashes = new Map<RemoteId, Hash | null>();
  for (let next: string | null = null; ;) {
    const page = await connector.observe({ since, isWhole: true, page: next, signal });
    const entries = await withValues(connector, page.entries, signal);
    await hashAll(scope, entries, hashes);
    heartbeat();
    next = page.nextPage;
    if (next !== null) continue;
    if (page.mode === 'scan' && page.isComplete) break;
    throw new AppError('SCAN_INCOMPLETE', 'the remote gave an incomplete listing', {
      retryable: true,
    });
  }
  const bucketsOf = new Map<number, RemoteId[]>();
  for (const [id, hash] of hashes) {
    const bucket = hash === null ? bucketOf(id) : digests.add(id, hash);
    const ids = bucketsOf.get(bucket);
    if (ids) ids.push(id);
    else bucketsOf.set(bucket, [id]);
  }
  return { digests: digests.digests, hashes, bucketsOf };
}

async function hashAll(
  scope: PassScope,
  entries: readonly RemoteEntry<Json>[],
  hashes: Map<RemoteId, Hash | null>,
): Promise<void> {
  const breathe = createBreather(scope.clock);
  for (const entry of entries) {
    await breathe();
    if (entry.status === 'absent') continue;
    const sighting = await sightingOf(scope, entry);
    hashes.set(entry.remoteId, sighting.body?.hash ?? null);
  }
}

interface Drilled {
  readonly sighted: number;
  readonly doubted: number;
  readonly gone: number;
  readonly inDoubt: number;
}

async function drillDown(
  scope: PassScope,
  at: { seen: SeenAnew; buckets: readonly number[]; mayMiss: boolean },
): Promise<Drilled> {
  const { sync, ref, scansNeeded } = scope;
  const recorded = new Map(
    (await sync.itemsInBuckets(ref, at.buckets)).map((item) => [item.remoteId, item]),
  );
  const shown = at.buckets.flatMap((bucket) => at.seen.bucketsOf.get(bucket) ?? []);
  const differing = shown.filter((id) => isNews(recorded.get(id), at.seen.hashes.get(id) ?? null));
  if (differing.length > 0) await sync.doubtCursor(ref);
  const sighted = await sightAgain(scope, differing, recorded);
  const doubted = [...recorded.values()].filter(isDoubtful).map((item) => item.key);
  const missing = [...recorded.values()].filter(
    ({ remoteId, status }) =>
      (status === 'present' || status === 'faulty') && !at.seen.hashes.has(remoteId),
  );
  const missingIds = missing.map((item) => item.remoteId);
  const lapsed = new Set(await lapsedAmong(scope, missingIds));
  const keysWhere = (isLapsed: boolean): ContextKey[] =>
    missing.filter((item) => lapsed.has(item.remoteId) === isLapsed).map((item) => item.key);
  const marks = await sync.markDoubted(ref, {
    doubted,
    missing: at.mayMiss ? keysWhere(false) : [],
    lapsed: keysWhere(true),
    scansNeeded,
  });
  return { sighted, doubted: doubted.length, ...marks };
}

/** Whether the remote shows something else than what is recorded of it. */
function isNews(item: AuditedItem | undefined, hash: Hash | null): boolean {
  if (!item) return true;
  return hash === null ? item.status !== 'faulty' : item.remoteHash !== hash;
}

/** Whether what is recorded of the remote is not what was agreed on, and no reason for it is known. */
function isDoubtful({ state, remoteHash, baseRemoteHash }: AuditedItem): boolean {
  return (state === 'synced' || state === 'pending') && remoteHash !== baseRemoteHash;
}

/** Reads the differing items once more and records what they are now. Answers how many. */
async function sightAgain(
  scope: PassScope,
  ids: readonly RemoteId[],
  recorded: ReadonlyMap<RemoteId, AuditedItem>,
): Promise<number> {
  const { sync, ref, connector, signal, heartbeat } = scope;
  let sighted = 0;
  for (let from = 0; from < ids.length; from += READ_BATCH) {
    const entries = await connector.read(ids.slice(from, from + READ_BATCH), signal);
    const sightings: Sighting[] = [];
    for (const entry of entries) {
      // Gone since the scan: the next look's, with a certificate of its own.
      if (entry.status === 'absent') continue;
      const item = recorded.get(entry.remoteId);
      const seen = await sightingOf(scope, entry);
      if (isNews(item, seen.body?.hash ?? null))
        sightings.push({ ...seen, isKnown: item !== undefined });
    }
    await sync.recordSightings(ref, sightings);
    sighted += sightings.length;
    heartbeat();
  }
  return sighted;
}
