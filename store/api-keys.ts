/** API keys: only their SHA-256 is stored; a key itself is shown once and never again. */
import { createHash } from 'node:crypto';
import type { TenantId } from '../domain/ids.ts';
import type { Database } from './database.ts';

export interface ApiKeyOwner {
  readonly tenant: TenantId;
  readonly name: string;
  readonly scopes: readonly string[];
}

export interface ApiKeys {
  /** Whom a key belongs to; null for an unknown or revoked one. */
  lookup(key: string): Promise<ApiKeyOwner | null>;
  /** Makes sure this key exists, for a tenant, with these scopes. */
  ensure(key: string, owner: ApiKeyOwner & { readonly id: string }): Promise<void>;
  hasAny(tenant: TenantId): Promise<boolean>;
}

/** Characters of a key that may be shown, to tell keys apart. */
const SHOWN = 10;

export function createApiKeys(database: Database): ApiKeys {
  // To the minute: a write per request would make callers of one key wait for each other.
  const touch = (key: string): Promise<unknown> =>
    database.withSystem((tx) =>
      tx.query('UPDATE api_keys SET last_used_at = now() WHERE hash = $1', [digest(key)]),
    );

  return {
    async lookup(key) {
      const [row] = await database.withSystem((tx) =>
        tx.query<ApiKeyOwner & { isFresh: boolean | null }>(
          `SELECT tenant_id AS tenant, name, scopes, last_used_at > now() - interval '1 minute' AS "isFresh"
           FROM api_keys WHERE hash = $1 AND revoked_at IS NULL`,
          [digest(key)],
        ),
      );
      if (!row) return null;
      if (!row.isFresh) await touch(key);
      const { tenant, name, scopes } = row;
      return { tenant, name, scopes };
    },
    async ensure(key, owner) {
      await database.withTenant(owner.tenant, (tx) =>
        tx.query(
          `INSERT INTO api_keys (tenant_id, id, name, prefix, hash, scopes)
           VALUES (current_setting('app.tenant'), $1, $2, $3, $4, $5) ON CONFLICT (hash) DO NOTHING`,
          [owner.id, owner.name, key.slice(0, SHOWN), digest(key), owner.scopes],
        ),
      );
    },
    async hasAny(tenant) {
      const rows = await database.withTenant(tenant, (tx) =>
        tx.query(
          `SELECT 1 FROM api_keys WHERE tenant_id = current_setting('app.tenant') AND revoked_at IS NULL LIMIT 1`,
        ),
      );
      return rows.length > 0;
    },
  };
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
