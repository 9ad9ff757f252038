/**
 * What became of one write of the hub on one link, read from what passes record anyway: the item,
 * its base, ops and conflicts. Nothing is stored for the sake of waiting.
 */
import type { Caller } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import type { ConflictId, ContextKey, LinkId } from '../domain/ids.ts';
import type { Direction, ItemState, LinkState } from '../domain/link.ts';
import type { Database } from './database.ts';
import { FEED_START, positionOf } from './feed.ts';

/** A write, named by what its acknowledgement said, and the link it should travel. */
export interface AwaitedWrite {
  readonly linkId: LinkId;
  readonly key: ContextKey;
  readonly version: number;
}

export type WriteOutcome =
  /**
   * Both sides agreed on `version`, which is that write or a later one that contains it; `merged`:
   * the write, or that later one, was merged with an edit of the remote, or took part in a conflict
   * that was decided.
   */
  | { readonly outcome: 'accepted' | 'merged'; readonly version: number }
  /** The item rests with this write (`version`: the newest that takes part) against the remote. */
  | { readonly outcome: 'conflict'; readonly version: number; readonly conflictId: ConflictId }
  /** The link will not carry it as it is. */
  | { readonly outcome: 'rejected'; readonly code: string; readonly detail: string }
  /** Nobody knows yet; `detail` says what it waits for, where that is known. */
  | { readonly outcome: 'pending'; readonly detail: string | null };

export interface WaitStore {
  /** @throws AppError LINK_NOT_FOUND, CONTEXT_NOT_FOUND, VERSION_NOT_FOUND */
  outcomeOf(caller: Caller, write: AwaitedWrite): Promise<WriteOutcome>;
}

/** All that an outcome may depend on. */
export interface WriteFacts {
  readonly version: number;
  readonly isInScope: boolean;
  readonly direction: Direction;
  readonly linkState: LinkState;
  readonly nowVersion: number;
  /** Null: the context is deleted or has expired. */
  readonly nowHash: Hash | null;
  readonly itemState: ItemState | null;
  readonly isDirty: boolean;
  readonly baseVersion: number | null;
  readonly baseHash: Hash | null;
  readonly fault: { readonly code: string; readonly detail: string } | null;
  readonly openConflict: { readonly id: ConflictId; readonly hubVersion: number } | null;
  /** Whether a merge or a decided conflict took the write, or a later one, as the hub's side. */
  readonly wasContested: boolean;
}

const SELECT_FACTS = `
SELECT l.hub_cursor, l.direction, l.state AS link_state, starts_with($2, l.prefix) AS in_scope,
  h.version AS now_version, EXISTS (SELECT 1 FROM context_versions v WHERE v.tenant_id = l.tenant_id
    AND v.key = $2 AND v.version = $3) AS has_version,
  CASE WHEN h.expires_at <= now() THEN NULL ELSE encode(h.hash, 'hex') END AS now_hash,
  i.state AS item_state, coalesce(i.dirty, false) AS dirty, i.base_version,
  encode(i.base_hub_hash, 'hex') AS base_hash, i.fault,
  c.id AS conflict_id, c.hub_version AS conflict_version,
  EXISTS (SELECT 1 FROM sync_ops o WHERE o.tenant_id = l.tenant_id AND o.link_id = l.id AND o.key = $2
      AND o.action = 'merge' AND o.state = 'done' AND o.hub_version >= $3)
    OR EXISTS (SELECT 1 FROM sync_conflicts d WHERE d.tenant_id = l.tenant_id AND d.link_id = l.id
      AND d.key = $2 AND d.status = 'resolved' AND d.hub_version >= $3) AS contested
FROM sync_links l
LEFT JOIN contexts h ON h.tenant_id = l.tenant_id AND h.key = $2
LEFT JOIN sync_items i ON i.tenant_id = l.tenant_id AND i.link_id = l.id AND i.key = $2
LEFT JOIN sync_conflicts c ON c.tenant_id = l.tenant_id AND c.link_id = l.id AND c.key = $2 AND c.status = 'open'
WHERE l.tenant_id = current_setting('app.tenant') AND l.id = $1`;

// Only the end of the feed the link has not seen yet is read: nearly nothing while it keeps up.
const IS_UNSEEN = `
SELECT 1 FROM changes WHERE tenant_id = current_setting('app.tenant')
  AND (xid, seq) > ($1::xid8, $2::bigint) AND key = $3 AND version = $4 LIMIT 1`;

interface FactsRow {
  hub_cursor: string | null;
  direction: Direction;
  link_state: LinkState;
  in_scope: boolean;
  now_version: number | null;
  has_version: boolean;
  now_hash: Hash | null;
  item_state: ItemState | null;
  dirty: boolean;
  base_version: number | null;
  base_hash: Hash | null;
  fault: { code: string; detail: string } | null;
  conflict_id: ConflictId | null;
  conflict_version: number | null;
  contested: boolean;
}

export function createWaitStore(database: Database): WaitStore {
  return {
    async outcomeOf(caller, { linkId, key, version }) {
      return database.withTenant(caller.tenant, async (tx) => {
        const [row] = await tx.query<FactsRow>(SELECT_FACTS, [linkId, key, version]);
        requireKnown(row, { linkId, key, version });
        const facts = factsOf(row, version);
        const known = judgeKnown(facts);
        if (known) return known;
        const [xid, seq] = positionOf(row.hub_cursor ?? FEED_START);
        const isUnseen =
          row.hub_cursor === null ||
          (await tx.query(IS_UNSEEN, [xid, seq, key, version])).length > 0;
        return isUnseen ? PENDING : judgeSeen(facts);
      });
    },
  };
}

function requireKnown(
  row: FactsRow | undefined,
  { linkId, key, version }: AwaitedWrite,
): asserts row is FactsRow {
  if (!row) throw new AppError('LINK_NOT_FOUND', `there is no link ${JSON.stringify(linkId)}`);
  const name = JSON.stringify(key);
  if (row.now_version === null) throw new AppError('CONTEXT_NOT_FOUND', `there is no ${name}`);
  if (!row.has_version) {
    throw new AppError('VERSION_NOT_FOUND', `${name} has no version ${version}`);
  }
}

function factsOf(row: FactsRow, version: number): WriteFacts {
  const { conflict_id: id, conflict_version: hubVersion } = row;
  return {
    version,
    isInScope: row.in_scope,
    direction: row.direction,
    linkState: row.link_state,
    nowVersion: row.now_version ?? version,
    nowHash: row.now_hash,
    itemState: row.item_state,
    isDirty: row.dirty,
    baseVersion: row.base_version,
    baseHash: row.base_hash,
    fault: row.fault,
    openConflict: id !== null && hubVersion !== null ? { id, hubVersion } : null,
    wasContested: row.contested,
  };
}

const PENDING: WriteOutcome = { outcome: 'pending', detail: null };
const STOPPED: Readonly<Partial<Record<LinkState, string>>> = {
  paused: 'the link is paused',
  parked: 'the link waits for an operator: a guard has parked its run',
};

/** What can be said whether or not the link has seen the write; null: it depends on that. */
export function judgeKnown(facts: WriteFacts): WriteOutcome | null {
  const { version, baseVersion, openConflict, linkState } = facts;
  if (!facts.isInScope) return rejected('the key is outside the scope of the link');
  if (baseVersion !== null && baseVersion >= version) return settled(facts, baseVersion);
  if (openConflict && openConflict.hubVersion >= version) {
    return {
      outcome: 'conflict',
      version: openConflict.hubVersion,
      conflictId: openConflict.id,
    };
  }
  const stopped = STOPPED[linkState];
  if (stopped !== undefined) return { outcome: 'pending', detail: stopped };
  return facts.isDirty ? PENDING : null;
}

/** What a write came to that the link has seen and has nothing left to do about. */
export function judgeSeen(facts: WriteFacts): WriteOutcome {
  const { nowVersion, nowHash, baseHash, fault } = facts;
  switch (facts.itemState) {
    case 'tombstoned':
      return settled(facts, nowVersion);
    case 'synced':
      return nowHash === baseHash ? settled(facts, nowVersion) : notCarried(facts);
    case 'quarantined':
      return {
        outcome: 'rejected',
        code: fault?.code ?? 'ITEM_INVALID',
        detail: fault?.detail ?? 'the item is quarantined',
      };
    case 'excluded':
      return rejected('the remote of this link does not hold items of this kind');
    case 'held':
      return rejected('the item is held since a run was undone; a new edit releases it');
    case 'pending':
      return notCarried(facts);
    case 'conflict':
      return PENDING;
    case null:
      // Gone before the link ever looked: there is nothing the remote could have to learn.
      return nowHash === null ? settled(facts, nowVersion) : PENDING;
  }
}

function settled({ wasContested }: WriteFacts, version: number): WriteOutcome {
  return { outcome: wasContested ? 'merged' : 'accepted', version };
}

/** It rests, and the two sides differ. */
function notCarried({ direction, nowHash }: WriteFacts): WriteOutcome {
  if (direction === 'pull') return rejected('the link only brings changes into the hub');
  if (nowHash === null) return rejected('the context has expired; links do not pass that on');
  return PENDING;
}

function rejected(detail: string): WriteOutcome {
  return { outcome: 'rejected', code: 'ITEM_EXCLUDED', detail };
}
