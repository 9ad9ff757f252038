/**
 * The decision of one conflict, in the caller's transaction: refused when it was made on values that
 * are no longer there; else an ordinary version of the hub, which the link carries to the remote.
 */
import type { Clock } from '../domain/clock.ts';
import type { Caller } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import type { ConflictId } from '../domain/ids.ts';
import { itemSchema, type ItemKind } from '../domain/item.ts';
import type { Json } from '../domain/json.ts';
import type { Conflict } from '../domain/link.ts';
import { recordAudit } from './audit.ts';
import { encodeBody, loadBodies, type Body } from './blobs.ts';
import {
  CONFLICT_COLUMNS,
  conflictOf,
  hashesOf,
  readConflict,
  selectConflict,
  type ConflictRow,
} from './conflict-rows.ts';
import type { Resolution } from './contract.ts';
import type { Transaction } from './database.ts';
import { lockLink } from './link-store.ts';
import { wakeLink } from './outbox.ts';
import { syncWrites } from './sync-writes.ts';
import { tellEnded } from './sync/conflicts.ts';
import { lockContexts, writeVersions, type ContextRow } from './write-versions.ts';

export interface ResolveDeps {
  readonly clock: Clock;
  /** Bytes of compact JSON one context's data may have. */
  readonly maxContextBytes: number;
}

/** A conflict's row beside what its sides are at this moment. */
export interface Standing {
  readonly row: ConflictRow;
  /** Null: the item is gone. */
  readonly kind: ItemKind | null;
  readonly remoteHash: Hash | null;
  readonly hubVersion: number;
}

/**
 * Decides a conflict.
 * @throws AppError CONFLICT_NOT_FOUND, CONFLICT_MOVED (extra.conflict: as it is now), VALIDATION,
 * CONTEXT_TOO_LARGE
 */
export async function resolveConflict(
  tx: Transaction,
  deps: ResolveDeps,
  decision: { caller: Caller; id: ConflictId; resolution: Resolution },
): Promise<Conflict> {
  const { caller, id, resolution } = decision;
  const { standing, hub, linkName } = await lockStanding(tx, id);
  const { row, kind } = standing;
  const why = whyMoved(standing, resolution.ifRevision);
  if (why !== null || kind === null) throw await moved(tx, standing, why ?? 'the item is gone');
  const bodies = await loadBodies(tx, hashesOf(row));
  const value = await chosenValue(tx, { row, bodies, kind, resolution });
  const body = value === undefined ? null : await encodeBody(value);
  const remote = row.remote_hash === null ? undefined : bodies.get(row.remote_hash);
  if (body && body.size > deps.maxContextBytes) throw tooLarge(deps.maxContextBytes);
  const by = resolution.by ?? caller.actor;
  const at = new Date(deps.clock.now());
  await writeResolution(tx, { row, kind, remote, body, hub, linkName, by, at });
  await recordAudit(tx, caller, {
    action: 'conflict.resolve',
    target: id,
    detail: { choice: resolution.choice, by },
  });
  return readConflict(tx, id);
}

/**
 * Locks everything a decision touches, in the order in which passes lock it (link, contexts, items,
 * conflicts), so that neither can wait for the other in a circle.
 */
async function lockStanding(
  tx: Transaction,
  id: ConflictId,
): Promise<{ standing: Standing; hub: ContextRow | null; linkName: string }> {
  const { link_id, key } = await selectConflict(tx, id);
  const link = await lockLink(tx, link_id);
  const hub = (await lockContexts(tx, [key])).get(key) ?? null;
  const [item] = await tx.query<{ kind: ItemKind; remote_hash: Hash | null }>(
    `SELECT kind, encode(remote_hash, 'hex') AS remote_hash FROM sync_items
     WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND key = $2 FOR UPDATE`,
    [link_id, key],
  );
  const row = await selectConflict(tx, id, 'FOR UPDATE');
  const standing = {
    row,
    kind: item?.kind ?? null,
    remoteHash: item?.remote_hash ?? null,
    hubVersion: hub?.version ?? 0,
  };
  return { standing, hub, linkName: link.name };
}

/** Why a decision about this conflict would be about something else by now; null: it would not. */
export function whyMoved(
  { row, remoteHash, hubVersion }: Standing,
  ifRevision?: number,
): string | null {
  if (row.status !== 'open') return `the conflict is ${row.status}`;
  if (ifRevision !== undefined && ifRevision !== row.revision) {
    return `the conflict is at revision ${row.revision}, not ${ifRevision}`;
  }
  if (remoteHash !== row.remote_hash) return 'the remote has changed since';
  if (hubVersion !== row.hub_version) return 'the hub has changed since';
  return null;
}

/** The error that offers the conflict again: with what both sides hold now, or its successor. */
async function moved(tx: Transaction, standing: Standing, detail: string): Promise<AppError> {
  return new AppError('CONFLICT_MOVED', detail, {
    extra: { conflict: await offeredAgain(tx, standing) },
  });
}

async function offeredAgain(tx: Transaction, standing: Standing): Promise<Conflict> {
  const { row } = standing;
  if (row.status !== 'open') {
    const [successor] = await tx.query<ConflictRow>(
      `SELECT ${CONFLICT_COLUMNS} FROM sync_conflicts
       WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND key = $2 AND status = 'open'`,
      [row.link_id, row.key],
    );
    return readConflict(tx, successor?.id ?? row.id);
  }
  const [hub] = await tx.query<{ hash: Hash | null }>(
    `SELECT encode(hash, 'hex') AS hash FROM contexts
     WHERE tenant_id = current_setting('app.tenant') AND key = $1`,
    [row.key],
  );
  const now = { ...row, hub_hash: hub?.hash ?? null, remote_hash: standing.remoteHash };
  // Pointers and proposal belong to values that are gone; the next pass finds the new ones.
  const isNew = now.hub_hash !== row.hub_hash || now.remote_hash !== row.remote_hash;
  const shown = isNew ? { ...now, proposal_hash: null } : now;
  return conflictOf(shown, await loadBodies(tx, hashesOf(shown)));
}

export interface Choosing {
  readonly row: ConflictRow;
  readonly bodies: ReadonlyMap<Hash, Json>;
  readonly kind: ItemKind;
  readonly resolution: Resolution;
}

/** The value a choice stands for; undefined: no such item any more. @throws AppError VALIDATION */
export async function chosenValue(
  tx: Transaction,
  { row, bodies, kind, resolution }: Choosing,
): Promise<Json | undefined> {
  const kept = (hash: Hash | null, what: string): Json => {
    const value = hash === null ? undefined : bodies.get(hash);
    if (value === undefined) throw invalid('/choice', `this conflict has no ${what}`);
    return value;
  };
  switch (resolution.choice) {
    case 'hub':
      return row.hub_hash === null ? undefined : kept(row.hub_hash, 'hub value any more');
    case 'remote':
      return row.remote_hash === null ? undefined : kept(row.remote_hash, 'remote value any more');
    case 'base':
      return kept(row.base_hash, 'base');
    case 'merged':
      return kept(row.proposal_hash, 'merged proposal');
    case 'value':
      return validItem(kind, await givenValue(tx, resolution));
  }
}

async function givenValue(tx: Transaction, { value, valueHash }: Resolution): Promise<Json> {
  if (value !== undefined) return value;
  if (valueHash === undefined) throw invalid('/value', 'choice "value" needs a value');
  const stored = (await loadBodies(tx, [valueHash])).get(valueHash);
  if (stored === undefined) throw invalid('/valueHash', 'no body with this hash is stored');
  return stored;
}

function validItem(kind: ItemKind, value: Json): Json {
  const parsed = itemSchema(kind)?.safeParse(value);
  if (parsed?.error === undefined) return value;
  const [issue] = parsed.error.issues;
  throw invalid(
    ['/value', ...(issue?.path ?? [])].join('/'),
    `not a ${kind}: ${issue?.message ?? 'wrong shape'}`,
  );
}

interface Writing {
  readonly row: ConflictRow;
  readonly kind: ItemKind;
  /** Undefined: the remote has no such item. */
  readonly remote: Json | undefined;
  readonly body: Body | null;
  readonly hub: ContextRow | null;
  readonly linkName: string;
  readonly by: string | null;
  readonly at: Date;
}

const RESOLVED = `
WITH resolved AS (
  UPDATE sync_conflicts SET status = 'resolved', resolved_at = $2, resolved_by = $3, updated_at = now()
  WHERE tenant_id = current_setting('app.tenant') AND id = $1 RETURNING id)
${tellEnded('resolved')}`;

/**
 * The remote's value becomes the base and, where it lost, a version of its own; the chosen value
 * becomes the hub's current one. From there the next run sees an ordinary change of the hub. A
 * remote that moved meanwhile has moved from that base: it merges, or is a conflict again (P4).
 */
async function writeResolution(tx: Transaction, work: Writing): Promise<void> {
  const { row, kind, remote, body, hub, linkName, by, at } = work;
  if (body !== null || row.hub_hash !== null) {
    const isLoser = remote !== undefined && row.remote_hash !== body?.hash;
    const writes = syncWrites({
      key: row.key,
      kind,
      hub,
      body,
      loser: isLoser ? await encodeBody(remote) : null,
      linkName,
      changeType: 'merge',
      changedBy: by,
      origin: null,
      at,
    });
    await writeVersions(tx, writes, at);
  }
  await tx.query(
    `UPDATE sync_items SET base_hub_hash = remote_hash, base_remote_hash = remote_hash,
       base_version = NULL, state = 'pending', dirty = true, dirty_since = now()
     WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND key = $2`,
    [row.link_id, row.key],
  );
  await tx.query(RESOLVED, [row.id, at, by]);
  await wakeLink(tx, row.link_id);
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('CONTEXT_TOO_LARGE', `the value has more than ${maxBytes} bytes`);
}

function invalid(pointer: string, detail: string): AppError {
  return new AppError('VALIDATION', detail, { errors: [{ pointer, detail }] });
}
