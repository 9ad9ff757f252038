/**
 * Lets go of the writes under way when a link's prefix changes. An intent names an item of the old
 * prefix, which may now be another item or out of scope, so it is not finished. Whether it was carried
 * out need not be known: its base is forgotten and the remote is looked at anew, so equal content is
 * adopted and the rest is merged or asked about. Only what it may have overwritten is not on either
 * side any more, and is kept in history (P4).
 */
import type { Hash } from '../../domain/hash.ts';
import type { ContextKey, LinkId } from '../../domain/ids.ts';
import type { ItemKind } from '../../domain/item.ts';
import { storedBodies } from '../blobs.ts';
import type { Transaction } from '../database.ts';
import { asItIs, syncWrites } from '../sync-writes.ts';
import { lockContexts, writeVersions, type VersionWrite } from '../write-versions.ts';

/** A value of the remote the hub had not seen, which a write under way was to overwrite. */
interface Loser {
  readonly key: ContextKey;
  readonly kind: ItemKind;
  readonly hash: Hash;
}

const SELECT_LOSERS = `
SELECT DISTINCT ON (o.key) o.key, o.kind, encode(o.remote_hash, 'hex') AS hash
FROM sync_ops o JOIN sync_items i ON i.tenant_id = o.tenant_id AND i.link_id = o.link_id AND i.key = o.key
WHERE o.tenant_id = current_setting('app.tenant') AND o.link_id = $1 AND o.state = 'intended'
  AND o.side <> 'hub' AND o.remote_hash IS NOT NULL AND o.remote_hash IS DISTINCT FROM i.base_remote_hash
ORDER BY o.key, o.seq DESC`;

const DROP_INTENTS = `
UPDATE sync_ops SET state = 'stale', detail = 'the scope of the link was changed since the plan'
WHERE tenant_id = current_setting('app.tenant') AND link_id = $1 AND state = 'intended'`;

/** Makes every open intent of a link stale; asked before its bases are forgotten. */
export async function dropIntents(
  tx: Transaction,
  link: { readonly id: LinkId; readonly name: string },
  at: Date,
): Promise<void> {
  const losers = await tx.query<Loser>(SELECT_LOSERS, [link.id]);
  if (losers.length > 0) await keepLosers(tx, { link, losers, at });
  await tx.query(DROP_INTENTS, [link.id]);
}

async function keepLosers(
  tx: Transaction,
  kept: {
    readonly link: { readonly id: LinkId; readonly name: string };
    readonly losers: readonly Loser[];
    readonly at: Date;
  },
): Promise<void> {
  const { link, losers, at } = kept;
  const rows = await lockContexts(
    tx,
    losers.map(({ key }) => key),
  );
  const wanted = losers.flatMap(({ key, hash }) => [hash, rows.get(key)?.hash ?? null]);
  const sizes = await storedBodies(tx, wanted);
  const writes = losers.flatMap(({ key, kind, hash }): VersionWrite[] => {
    const hub = rows.get(key) ?? null;
    const now = asItIs(hub, at);
    const versions = syncWrites({
      key,
      kind: hub?.kind ?? kind,
      hub,
      body: now.hash ? sizes.get(now.hash)! : null,
      loser: sizes.get(hash)!,
      linkName: link.name,
      changeType: 'update',
      changedBy: `sync:${link.name}`,
      origin: link.id,
      at,
    });
    return versions.map((version) =>
      now.reason && version.body === null ? { ...version, reason: now.reason } : version,
    );
  });
  await writeVersions(tx, writes, at);
}
