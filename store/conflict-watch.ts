/** What a conflict's workflow asks: how the conflict stands, and what a fallback has to decide on. */
import type { Hash } from '../domain/hash.ts';
import type { LinkId } from '../domain/ids.ts';
import type { ItemKind } from '../domain/item.ts';
import type { Json } from '../domain/json.ts';
import type {
  ConflictFallback,
  ConflictReason,
  ConflictStatus,
  LinkState,
} from '../domain/link.ts';
import { loadBodies } from './blobs.ts';
import type { Database } from './database.ts';
import type { ConflictRef } from './outbox.ts';

/** How a conflict stands; no content. */
export interface WatchedConflict {
  readonly linkId: LinkId;
  readonly linkName: string;
  readonly linkState: LinkState;
  readonly status: ConflictStatus;
  readonly reason: ConflictReason;
  readonly places: number;
  readonly revision: number;
  readonly dueAt: Date | null;
  readonly resolvedBy: string | null;
  readonly fallback: ConflictFallback | null;
}

/** Both sides of an open conflict, with the base if its bodies are still there. */
export interface ContestedSides {
  readonly kind: ItemKind;
  readonly base: { readonly hub: Json; readonly remote: Json } | null;
  /** Undefined: that side has no such item. */
  readonly hub: Json | undefined;
  readonly remote: Json | undefined;
  readonly stamps: { readonly hubMs: number | null; readonly remoteMs: number | null };
}

export interface ConflictWatch {
  /** Null: there is no such conflict (any more). */
  look(ref: ConflictRef): Promise<WatchedConflict | null>;
  /** Null: there is no such item (any more). */
  sides(ref: ConflictRef): Promise<ContestedSides | null>;
  /**
   * Open conflicts with a due time whose workflow nobody has made sure of for a while: a minute once
   * they are overdue, ten before. Each is handed out once per such while.
   */
  takeUnwatched(limit: number): Promise<(ConflictRef & { readonly isOverdue: boolean })[]>;
}

const TAKE_UNWATCHED = `
UPDATE sync_conflicts SET watched_at = now() WHERE (tenant_id, id) IN (
  SELECT c.tenant_id, c.id FROM sync_conflicts c
  JOIN sync_links l ON l.tenant_id = c.tenant_id AND l.id = c.link_id AND l.state <> 'paused'
  WHERE c.status = 'open' AND c.due_at IS NOT NULL AND c.watched_at < now() - CASE
    WHEN c.due_at < now() - interval '15 seconds' THEN interval '1 minute' ELSE interval '10 minutes' END
  ORDER BY c.watched_at LIMIT $1 FOR UPDATE OF c SKIP LOCKED)
RETURNING tenant_id AS tenant, id AS "conflictId", link_id AS "linkId", due_at < now() - interval '15 seconds' AS "isOverdue"`;

const LOOK = `
SELECT c.link_id AS "linkId", l.name AS "linkName", l.state AS "linkState", c.status, c.reason,
  json_array_length(c.pointers) AS places, c.revision, c.due_at AS "dueAt",
  c.resolved_by AS "resolvedBy", l.conflict_fallback AS fallback
FROM sync_conflicts c JOIN sync_links l ON l.tenant_id = c.tenant_id AND l.id = c.link_id
WHERE c.tenant_id = current_setting('app.tenant') AND c.id = $1`;

const SIDES = `
SELECT i.kind, encode(i.base_hub_hash, 'hex') AS base_hub, encode(i.base_remote_hash, 'hex') AS base_remote,
  encode(c.hub_hash, 'hex') AS hub, encode(c.remote_hash, 'hex') AS remote,
  h.updated_at AS hub_at, i.remote_changed_at AS remote_at
FROM sync_conflicts c
JOIN sync_items i ON i.tenant_id = c.tenant_id AND i.link_id = c.link_id AND i.key = c.key
LEFT JOIN contexts h ON h.tenant_id = c.tenant_id AND h.key = c.key
WHERE c.tenant_id = current_setting('app.tenant') AND c.id = $1`;

interface SidesRow {
  kind: ItemKind;
  base_hub: Hash | null;
  base_remote: Hash | null;
  hub: Hash | null;
  remote: Hash | null;
  hub_at: Date | null;
  remote_at: Date | null;
}

export function createConflictWatch(database: Database): ConflictWatch {
  return {
    async look({ tenant, conflictId }) {
      const [row] = await database.withTenant(tenant, (tx) =>
        tx.query<WatchedConflict>(LOOK, [conflictId]),
      );
      return row ?? null;
    },
    takeUnwatched: (limit) => database.withSystem((tx) => tx.query(TAKE_UNWATCHED, [limit])),
    async sides({ tenant, conflictId }) {
      return database.withTenant(tenant, async (tx) => {
        const [row] = await tx.query<SidesRow>(SIDES, [conflictId]);
        if (!row) return null;
        const hashes = [row.base_hub, row.base_remote, row.hub, row.remote];
        const bodies = await loadBodies(
          tx,
          hashes.filter((hash) => hash !== null),
        );
        return sidesOf(row, (hash) => (hash ? bodies.get(hash) : undefined));
      });
    },
  };
}

function sidesOf(row: SidesRow, body: (hash: Hash | null) => Json | undefined): ContestedSides {
  const [hub, remote] = [body(row.base_hub), body(row.base_remote)];
  return {
    kind: row.kind,
    base: hub !== undefined && remote !== undefined ? { hub, remote } : null,
    hub: body(row.hub),
    remote: body(row.remote),
    stamps: { hubMs: row.hub_at?.getTime() ?? null, remoteMs: row.remote_at?.getTime() ?? null },
  };
}
