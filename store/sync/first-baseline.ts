/**
 * The first look of a link at a hub that holds many contexts: each item is recorded with its name at
 * once, instead of recorded first and named after, which costs twice. The hub's cursor is set only when
 * all are recorded; a look that broke off begins again as any other does (observe.ts).
 */
import type { Hash } from '../../domain/hash.ts';
import { loadStored } from '../blobs.ts';
import type { Database } from '../database.ts';
import { FEED_START } from '../feed.ts';
import { unnested, valuesByColumn } from './batch.ts';
import {
  inScope,
  MOVE_HUB_CURSOR,
  NAME_COLUMNS,
  nameInTransaction,
  type NamelessItem,
  type Naming,
} from './observe.ts';
import { commitFenced, withFence, withFencedLink, type PassRef } from './pass.ts';

const SELECT_CONTEXTS = `
SELECT key, kind, encrypted AS "isEncrypted", encode(hash, 'hex') AS hash FROM contexts
WHERE ${inScope('$1')} AND key > $2 COLLATE "C" ORDER BY key LIMIT $3`;

/** Contexts in the link's scope, in key order, with their bodies. */
export async function contextsInScope(
  database: Database,
  ref: PassRef,
  page: { after: string; limit: number },
): Promise<NamelessItem[]> {
  return withFencedLink(database, ref, async (tx, { prefix }) => {
    const rows = await tx.query<Omit<NamelessItem, 'body'> & { hash: Hash }>(SELECT_CONTEXTS, [
      prefix,
      page.after,
      page.limit,
    ]);
    const bodies = await loadStored(
      tx,
      rows.map(({ hash }) => hash),
    );
    return rows.map(({ hash, ...item }) => ({ ...item, body: bodies.get(hash) ?? null }));
  });
}

// A name that is taken, and a key that is recorded already, are left to the ordinary way.
const INSERT_ITEMS = `
INSERT INTO sync_items (tenant_id, link_id, key, kind, remote_id, state, remote_status, dirty, dirty_since)
SELECT current_setting('app.tenant'), $1::uuid, key, kind, remote_id, 'pending', 'unknown', true, now()
FROM ${unnested(2, NAME_COLUMNS)} AS n (key, kind, remote_id)
ON CONFLICT DO NOTHING RETURNING key`;

/**
 * Records contexts as items of the link, with what was decided about their names. Answers how many
 * were set aside.
 */
export async function insertNamed(
  database: Database,
  ref: PassRef,
  namings: readonly (Naming & { readonly contextKind: string })[],
): Promise<number> {
  return withFence(database, ref, async (tx) => {
    const insert = (items: readonly { key: string; kind: string; remote_id: string | null }[]) =>
      tx.query<{ key: string }>(INSERT_ITEMS, [ref.linkId, ...valuesByColumn(NAME_COLUMNS, items)]);
    const named = namings.flatMap((n) =>
      n.status === 'named' ? [{ key: n.key, kind: n.kind, remote_id: n.remoteId }] : [],
    );
    const added = await insert(named);
    if (added.length === namings.length) return 0;
    const isAdded = new Set(added.map(({ key }) => key));
    const left = namings.filter(({ key }) => !isAdded.has(key));
    await insert(left.map(({ key, contextKind: kind }) => ({ key, kind, remote_id: null })));
    return nameInTransaction(tx, ref, left);
  });
}

/** Says that everything up to `head` has been looked at. */
export async function endBaseline(database: Database, ref: PassRef, head: string): Promise<void> {
  await commitFenced(database, ref, {
    sql: MOVE_HUB_CURSOR,
    values: [ref.linkId, head || FEED_START],
  });
}
