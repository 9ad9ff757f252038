/** Versions the sync engine writes into the hub: the new value, after any value that lost. */
import type { ChangeType, DeleteReason } from '../domain/context.ts';
import type { Hash } from '../domain/hash.ts';
import type { ContextKey, LinkId } from '../domain/ids.ts';
import type { ItemKind } from '../domain/item.ts';
import type { Body } from './blobs.ts';
import type { ContextRow, VersionFacts, VersionWrite } from './write-versions.ts';

export interface SyncWrite {
  readonly key: ContextKey;
  readonly kind: ItemKind;
  /** The locked row; null when the hub never had this key. */
  readonly hub: ContextRow | null;
  /** Null deletes. */
  readonly body: Body | null;
  /** A remote value this write supersedes: kept as a version of its own, never current. */
  readonly loser: Body | null;
  /** Whether a context that was deleted comes back as it was: with its tags, metadata and the like. */
  readonly revives?: boolean;
  readonly linkName: string;
  readonly changeType: ChangeType;
  readonly changedBy: string | null;
  readonly origin: LinkId | null;
  readonly at: Date;
}

/** The one or two versions of a write, in order. */
export function syncWrites(write: SyncWrite): VersionWrite[] {
  const { hub, body, loser } = write;
  const live = liveRow(write);
  const previousVersion = hub?.version ?? 0;
  const common = {
    key: write.key,
    facts: factsOf(write),
    createdAt: live?.created_at ?? write.at,
    createdBy: live ? live.created_by : write.changedBy,
    reason: null,
    origin: write.origin,
  };
  const losing: VersionWrite[] = loser
    ? [
        {
          ...common,
          previousVersion,
          body: loser,
          changeType: 'update',
          changedBy: `sync:${write.linkName}`,
          isLoser: true,
        },
      ]
    : [];
  const winner: VersionWrite = {
    ...common,
    previousVersion: previousVersion + losing.length,
    body,
    changeType: body ? (live ? write.changeType : 'create') : 'delete',
    reason: body ? null : 'remote',
    changedBy: write.changedBy,
  };
  return [...losing, winner];
}

/** What the hub holds at this moment; written again, it must stay gone for the reason it is gone. */
export function asItIs(
  hub: ContextRow | null,
  at: Date,
): { hash: Hash | null; reason: DeleteReason | null } {
  if (!hub || hub.deleted) return { hash: null, reason: hub?.delete_reason ?? null };
  const isExpired = hub.expires_at !== null && hub.expires_at <= at;
  return isExpired ? { hash: null, reason: 'ttl' } : { hash: hub.hash, reason: null };
}

/** A context keeps what its writer said of it; one that sync creates never expires by itself. */
function factsOf(write: SyncWrite): VersionFacts {
  const live = liveRow(write);
  if (live) return { ...live, kind: write.kind };
  if (write.revives && write.hub) return { ...write.hub, kind: write.kind, expires_at: null };
  return {
    kind: write.kind,
    source: write.linkName,
    parent_id: null,
    session_id: null,
    agent_id: null,
    tags: [],
    metadata: {},
    compress: null,
    expires_at: null,
  };
}

// A context that has expired but is not swept yet must not pass its old expiry on.
function liveRow({ hub, at }: SyncWrite): ContextRow | null {
  if (!hub || hub.deleted) return null;
  return hub.expires_at !== null && hub.expires_at <= at ? null : hub;
}
