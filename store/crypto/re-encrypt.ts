/**
 * The work behind a rotation, one bounded batch and one transaction at a time: bodies of retired keys
 * are opened and sealed with the current one, under the same name, so that no context or version has
 * to change and readers notice nothing. A key that seals nothing any more is deleted.
 */
import type { Hash } from '../../domain/hash.ts';
import type { ContextKey, TenantId } from '../../domain/ids.ts';
import type { Body } from '../blobs.ts';
import { sqlStateOf, type Database, type Transaction } from '../database.ts';
import { bodyBinding } from './bodies.ts';
import { KEY_COLUMNS, type Keyring, type KeyRow } from './keyring.ts';
import { open, seal } from './seal.ts';

export interface ReEncryptDeps {
  readonly database: Database;
  readonly keyring: Keyring;
}

/** Most bytes of bodies one batch holds in memory; a larger single body goes alone. */
const MAX_BATCH_BYTES = 16 * 1024 * 1024;

// In the order of the index. Rows somebody else works on are left to them.
const SELECT_BATCH = `
WITH retired AS MATERIALIZED (
  SELECT id FROM encryption_keys
  WHERE tenant_id = current_setting('app.tenant') AND purpose = 'data' AND retired_at IS NOT NULL
), next AS MATERIALIZED (
  SELECT b.hash FROM retired k
  CROSS JOIN LATERAL (SELECT hash FROM blobs
    WHERE tenant_id = current_setting('app.tenant') AND key_id = k.id ORDER BY hash LIMIT $1) b
  LIMIT $1
), sized AS MATERIALIZED (
  SELECT b.hash, sum(octet_length(b.body)) OVER (ORDER BY b.hash) AS bytes, row_number() OVER (ORDER BY b.hash) AS nth
  FROM next CROSS JOIN LATERAL (SELECT hash, body FROM blobs
    WHERE tenant_id = current_setting('app.tenant') AND hash = next.hash OFFSET 0) b
)
SELECT encode(b.hash, 'hex') AS hash, b.codec, b.body AS bytes, b.key_id AS "keyId",
  b.sealed_for AS "sealedFor"
FROM sized JOIN blobs b ON b.tenant_id = current_setting('app.tenant') AND b.hash = sized.hash
WHERE sized.bytes <= $2 OR sized.nth = 1
ORDER BY b.hash FOR UPDATE OF b SKIP LOCKED`;

const UPDATE_BATCH = `
UPDATE blobs b SET body = s.body, key_id = $3
FROM (SELECT decode(h.hash, 'hex') AS hash, h.body FROM unnest($1::text[], $2::bytea[]) AS h (hash, body)
  OFFSET 0) s
WHERE b.tenant_id = current_setting('app.tenant') AND b.hash = s.hash`;

const DELETE_UNUSED = `
DELETE FROM encryption_keys k
WHERE tenant_id = current_setting('app.tenant') AND purpose = 'data' AND retired_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM blobs b
    WHERE b.tenant_id = current_setting('app.tenant') AND b.key_id = k.id)`;

const COUNT_RETIRED = `
SELECT count(*)::int AS left FROM encryption_keys
WHERE tenant_id = current_setting('app.tenant') AND retired_at IS NOT NULL`;

interface BatchRow {
  readonly hash: Hash;
  readonly codec: Body['codec'];
  readonly bytes: Buffer;
  readonly keyId: string;
  readonly sealedFor: ContextKey;
}

/**
 * Seals up to `limit` bodies anew and deletes retired keys that seal nothing any more.
 * @throws AppError DECRYPTION_FAILED for a body that does not open; nothing of its batch is changed
 */
export async function reEncryptBatch(
  { database, keyring }: ReEncryptDeps,
  tenant: TenantId,
  limit: number,
): Promise<{ sealed: number; isDone: boolean }> {
  const sealed = await database.withTenant(tenant, async (tx) => {
    const rows = await tx.query<BatchRow>(SELECT_BATCH, [limit, MAX_BATCH_BYTES]);
    if (rows.length > 0) await sealAnew(tx, { keyring, tenant, rows });
    return rows.length;
  });
  if (sealed > 0) return { sealed, isDone: false };
  return { sealed, isDone: await deleteUnused(database, tenant) };
}

async function sealAnew(
  tx: Transaction,
  work: { keyring: Keyring; tenant: TenantId; rows: readonly BatchRow[] },
): Promise<void> {
  const { keyring, tenant, rows } = work;
  const { data } = await keyring.current(tx, tenant);
  const keys = await keyring.find(
    tx,
    tenant,
    rows.map((row) => row.keyId),
  );
  const bodies = rows.map(({ keyId, sealedFor, hash, codec, bytes }) => {
    const binding = bodyBinding({ tenant, key: sealedFor, hash, codec });
    const plain = open(keys.get(keyId)!, bytes, binding);
    return seal(data.key, plain, { binding, randomBytes: keyring.randomBytes });
  });
  await tx.query(UPDATE_BATCH, [rows.map((row) => row.hash), bodies, data.id]);
}

const FOREIGN_KEY_VIOLATION = '23503';

/** Whether no retired key is left. */
async function deleteUnused(database: Database, tenant: TenantId): Promise<boolean> {
  try {
    return await database.withTenant(tenant, async (tx) => {
      await tx.query(DELETE_UNUSED);
      const [row] = await tx.query<{ left: number }>(COUNT_RETIRED);
      return row!.left === 0;
    });
  } catch (error) {
    // A write that began before the rotation has used the key in this very moment.
    if (sqlStateOf(error) === FOREIGN_KEY_VIOLATION) return false;
    throw error;
  }
}

const SELECT_TO_REWRAP = `
SELECT ${KEY_COLUMNS} FROM encryption_keys
WHERE tenant_id = current_setting('app.tenant') AND master_id <> $1 ORDER BY id FOR UPDATE`;

const REWRAP = `
UPDATE encryption_keys SET wrapped = $2, master_id = $3
WHERE tenant_id = current_setting('app.tenant') AND id = $1`;

/** Wraps the tenant's keys by the current master key; answers how many were wrapped by another. */
export async function rewrapKeys(
  { database, keyring }: ReEncryptDeps,
  tenant: TenantId,
): Promise<number> {
  return database.withTenant(tenant, async (tx) => {
    const rows = await tx.query<KeyRow>(SELECT_TO_REWRAP, [keyring.masters.current.id]);
    for (const row of rows) {
      const { id, wrapped, master_id } = keyring.rewrap(tenant, row);
      await tx.query(REWRAP, [id, wrapped, master_id]);
    }
    return rows.length;
  });
}
