/** Tenants with the same keys, names and bodies, and one row at least in every table of the schema. */
import { createHash, randomUUID } from 'node:crypto';
import type { Caller, Context } from '../../../domain/context.ts';
import { hashText } from '../../../domain/hash.ts';
import type { ConflictId, RunId } from '../../../domain/ids.ts';
import type { Link } from '../../../domain/link.ts';
import { createApiKeys } from '../../../store/api-keys.ts';
import { newLink } from '../../support/sample-link.ts';
import { asKey, put, type StoreUnderTest } from './store-under-test.ts';

export interface Seeded {
  readonly caller: Caller;
  readonly link: Link;
  readonly runId: RunId;
  readonly conflictId: ConflictId;
  readonly apiKey: string;
  /** Key every tenant has, with data that names the tenant. */
  readonly mine: Context;
}

/** Key under which every tenant holds data that names it. */
export const MINE = asKey('p/mine');
/** Key under which every tenant holds the same data. */
export const SAME = asKey('p/same');

/** Makes the tenant and fills it. */
export async function seedTenant(under: StoreUnderTest, id: string): Promise<Seeded> {
  const caller = await under.addTenant(id);
  const { store } = under;
  await put(under, caller, SAME, { same: 'for all' });
  await put(under, caller, MINE, { owner: id, version: 1 });
  await put(under, caller, MINE, { owner: id, version: 2 });
  const link = await store.links.create(caller, newLink({ name: 'the link' }));
  const run = await store.runs.request(caller, link.id, 'seed');
  const apiKey = `key-of-${id}-${randomUUID()}`;
  const owner = { id: randomUUID(), tenant: caller.tenant, name: 'the key', scopes: ['read'] };
  await createApiKeys(under.database).ensure(apiKey, owner);
  const request = { slot: hashText('slot'), fingerprint: hashText(id) };
  await store.idempotency.claim(caller.tenant, request);
  const conflictId = await seedSyncRows(under, caller, { link, runId: run.id });
  const mine = await store.contexts.get(caller, MINE);
  return { caller, link, runId: run.id, conflictId, apiKey, mine: mine! };
}

/** An item, an op and an open conflict, as a pass would have left them. */
async function seedSyncRows(
  under: StoreUnderTest,
  caller: Caller,
  { link, runId }: { link: Link; runId: RunId },
): Promise<ConflictId> {
  const conflictId = randomUUID() as ConflictId;
  const hash = createHash('sha256').update(caller.tenant).digest();
  await under.database.withTenant(caller.tenant, async (tx) => {
    await tx.query(
      `INSERT INTO sync_items (tenant_id, link_id, key, remote_id, kind, state, remote_status, remote_hash)
       VALUES (current_setting('app.tenant'), $1, $2, 'remote', 'memory', 'conflict', 'present', $3)`,
      [link.id, MINE, hash],
    );
    await tx.query(
      `INSERT INTO sync_ops (tenant_id, run_id, seq, link_id, op_id, action, side, reason, key, kind,
         remote_id, hub_version, state)
       VALUES (current_setting('app.tenant'), $1, 1, $2, $3, 'delete', 'hub', 'seed', $4, 'memory', 'remote', 2, 'planned')`,
      [runId, link.id, randomUUID(), MINE],
    );
    await tx.query(
      `INSERT INTO sync_conflicts (tenant_id, id, link_id, key, status, reason, hub_version, remote_hash, pointers)
       VALUES (current_setting('app.tenant'), $1, $2, $3, 'open', 'edit/edit', 2, $4, '["/owner"]')`,
      [conflictId, link.id, MINE, hash],
    );
    await tx.query(
      `INSERT INTO encryption_keys (tenant_id, id, purpose, wrapped, master_id)
       VALUES (current_setting('app.tenant'), $1, 'data', $2, 'seed')`,
      [randomUUID(), hash],
    );
    await tx.query(
      `INSERT INTO search_pending (tenant_id, contexts, keys)
       VALUES (current_setting('app.tenant'), 1, ARRAY[$1])`,
      [MINE],
    );
    await tx.query(
      `INSERT INTO feed_horizons (tenant_id, xid, seq) VALUES (current_setting('app.tenant'), '0', 0)`,
    );
  });
  return conflictId;
}
