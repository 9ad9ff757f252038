/**
 * API keys: only their SHA-256 is stored; a key itself is shown once and never again. A key is found
 * by the hash of the whole of it, so nothing is learnt from how long a look-up takes.
 */
import { createHash } from 'node:crypto';
import type { Caller } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import { isUuid, type TenantId } from '../domain/ids.ts';
import { recordAudit } from './audit.ts';
import type { Page } from './contract.ts';
import { sqlStateOf, type Database, type Transaction } from './database.ts';
import { pageOf, unpackCursor } from './paging.ts';

/** What an accepted key says about its bearer. */
export interface ApiKeyOwner {
  readonly tenant: TenantId;
  readonly name: string;
  readonly scopes: readonly string[];
}

/** A key as it may be shown. Times are ISO 8601. */
export interface ApiKeyRow {
  readonly id: string;
  readonly tenant: TenantId;
  readonly name: string;
  /** The first characters, to tell keys apart. */
  readonly prefix: string;
  readonly scopes: readonly string[];
  readonly createdAt: string;
  readonly createdBy: string | null;
  readonly expiresAt: string | null;
  /** To the minute. */
  readonly lastUsedAt: string | null;
  readonly revokedAt: string | null;
}

export interface NewApiKey {
  readonly id: string;
  /** The key itself; only its hash is kept. */
  readonly secret: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly expiresAt: Date | null;
}

export interface ApiKeys {
  /** Whom a key belongs to, and until when it opens; null for one that opens nothing. */
  lookup(key: string): Promise<(ApiKeyOwner & { readonly expiresAt: string | null }) | null>;
  /** Makes sure this key exists, for a tenant, with these scopes; one that was revoked stays so. */
  ensure(key: string, owner: ApiKeyOwner & { readonly id: string }): Promise<void>;
  /**
   * Makes sure that this is the one key the configuration names; the one it named before opens
   * nothing any more. False: it names a key that was revoked, which stays so.
   */
  ensureConfigured(key: string, owner: ApiKeyOwner & { readonly id: string }): Promise<boolean>;
  /** Makes the key, unless a live one of this tenant has its first scope; true: it was made. */
  ensureFirst(key: string, owner: ApiKeyOwner & { readonly id: string }): Promise<boolean>;
  /**
   * Makes a key in `caller.tenant`.
   * @throws AppError VALIDATION (a live key has the name), TENANT_NOT_FOUND
   */
  create(caller: Caller, key: NewApiKey): Promise<ApiKeyRow>;
  /** Newest first. @throws AppError INVALID_CURSOR */
  list(
    tenant: TenantId,
    query: { limit: number; cursor?: string | undefined; withRevoked?: boolean | undefined },
  ): Promise<Page<ApiKeyRow>>;
  /**
   * Revokes a key of `caller.tenant`, by id or by the name of a live one; again changes nothing.
   * @param may refuses (throws) what the caller may not revoke
   * @throws AppError KEY_NOT_FOUND
   */
  revoke(caller: Caller, idOrName: string, may: (key: ApiKeyRow) => void): Promise<ApiKeyRow>;
}

/** Characters of a key that may be shown, to tell keys apart. */
const SHOWN = 10;
/** Any constant: the lock under which first keys are made, so that two processes make one. */
const FIRST_KEY_LOCK = 7_316_230;

const MINE = `tenant_id = current_setting('app.tenant')`;

const LOOKUP = `
SELECT k.tenant_id AS tenant, k.name, k.scopes, k.expires_at AS "expiresAt",
  k.last_used_at > now() - interval '1 minute' AS "isFresh"
FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
WHERE k.hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
  AND t.removing_at IS NULL`;

const INSERT = `
INSERT INTO api_keys (tenant_id, id, name, prefix, hash, scopes, created_by, expires_at, configured)
VALUES (current_setting('app.tenant'), $1, $2, $3, $4, $5, $6, $7, $8)`;

const COLUMNS = `id, tenant_id AS tenant, name, prefix, scopes, created_at AS "createdAt", created_by AS "createdBy",
  expires_at AS "expiresAt", last_used_at AS "lastUsedAt", revoked_at AS "revokedAt"`;

const LIST = `
SELECT ${COLUMNS} FROM api_keys WHERE ${MINE} AND ($1 OR revoked_at IS NULL)
  AND ($2::timestamptz IS NULL OR date_trunc('milliseconds', created_at) < $2
    OR (date_trunc('milliseconds', created_at) = $2 AND id < $3::uuid))
ORDER BY date_trunc('milliseconds', created_at) DESC, id DESC LIMIT $4`;

// A key that has expired gives its name back.
const RETIRE_EXPIRED = `
UPDATE api_keys SET revoked_at = expires_at
WHERE ${MINE} AND name = $1 AND revoked_at IS NULL AND expires_at <= now()`;

// Deleted, not revoked: the configuration may name it again some day. What somebody revoked stays, so
// that it opens nothing then.
const FORGET_OTHERS = `
DELETE FROM api_keys WHERE ${MINE} AND configured AND revoked_at IS NULL AND hash <> $1`;

type Row = {
  [Name in keyof ApiKeyRow]: Name extends `${string}At` ? Date | null : ApiKeyRow[Name];
};

export function createApiKeys(database: Database): ApiKeys {
  // To the minute: a write per request would make callers of one key wait for each other.
  const touch = (key: string): Promise<unknown> =>
    database.withSystem((tx) =>
      tx.query('UPDATE api_keys SET last_used_at = now() WHERE hash = $1', [digest(key)]),
    );

  return {
    async lookup(key) {
      const [row] = await database.withSystem((tx) =>
        tx.query<ApiKeyOwner & { expiresAt: Date | null; isFresh: boolean | null }>(LOOKUP, [
          digest(key),
        ]),
      );
      if (!row) return null;
      if (!row.isFresh) await touch(key);
      const { tenant, name, scopes, expiresAt } = row;
      return { tenant, name, scopes, expiresAt: expiresAt?.toISOString() ?? null };
    },

    async ensure(key, owner) {
      await database.withTenant(owner.tenant, (tx) =>
        tx.query(`${INSERT} ON CONFLICT DO NOTHING`, valuesOf(key, owner)),
      );
    },

    ensureConfigured: (key, owner) =>
      database.withTenant(owner.tenant, async (tx) => {
        await tx.query('SELECT pg_advisory_xact_lock($1)', [FIRST_KEY_LOCK]);
        await tx.query(FORGET_OTHERS, [digest(key)]);
        await tx.query(`${INSERT} ON CONFLICT (hash) DO NOTHING`, valuesOf(key, owner, true));
        const [row] = await tx.query<{ isLive: boolean }>(
          `UPDATE api_keys SET configured = true WHERE ${MINE} AND hash = $1
           RETURNING revoked_at IS NULL AS "isLive"`,
          [digest(key)],
        );
        return row?.isLive ?? false;
      }),

    ensureFirst: (key, owner) =>
      database.withTenant(owner.tenant, async (tx) => {
        await tx.query('SELECT pg_advisory_xact_lock($1)', [FIRST_KEY_LOCK]);
        const live = await tx.query(
          `SELECT 1 FROM api_keys WHERE ${MINE} AND revoked_at IS NULL
             AND (expires_at IS NULL OR expires_at > now()) AND $1 = ANY (scopes) LIMIT 1`,
          [owner.scopes[0]],
        );
        if (live.length > 0) return false;
        await tx.query(RETIRE_EXPIRED, [owner.name]);
        const taken = await tx.query(
          `SELECT 1 FROM api_keys WHERE ${MINE} AND name = $1 AND revoked_at IS NULL`,
          [owner.name],
        );
        const name = taken.length === 0 ? owner.name : `${owner.name} ${owner.id.slice(0, 8)}`;
        await tx.query(INSERT, valuesOf(key, { ...owner, name }));
        return true;
      }),

    create: (caller, key) =>
      database
        .withTenant(caller.tenant, async (tx) => {
          await requireTenant(tx, caller.tenant);
          await tx.query(RETIRE_EXPIRED, [key.name]);
          const { id, name, scopes, expiresAt } = key;
          const values = [id, name, shown(key.secret), digest(key.secret), scopes];
          const [row] = await tx.query<Row>(`${INSERT} RETURNING ${COLUMNS}`, [
            ...values,
            caller.actor,
            expiresAt,
            false,
          ]);
          const detail = { name, scopes, expiresAt: expiresAt?.toISOString() ?? null };
          await recordAudit(tx, caller, { action: 'key.create', target: id, detail });
          return rowOf(row!);
        })
        .catch((error: unknown) => {
          throw translateTaken(error, key.name);
        }),

    async list(tenant, { limit, cursor, withRevoked = false }) {
      const after = cursor === undefined ? [null, null] : unpackCursor(cursor, ['time', 'id']);
      const rows = await database.withTenant(tenant, (tx) =>
        tx.query<Row>(LIST, [withRevoked, ...after, limit + 1]),
      );
      return pageOf(rows, limit, {
        item: rowOf,
        sortValues: (row) => [row.createdAt!.toISOString(), row.id],
      });
    },

    revoke: (caller, idOrName, may) =>
      database.withTenant(caller.tenant, async (tx) => {
        const which = isUuid(idOrName) ? 'id = $1' : 'name = $1 AND revoked_at IS NULL';
        const [found] = await tx.query<Row>(
          `SELECT ${COLUMNS} FROM api_keys WHERE ${MINE} AND ${which} FOR UPDATE`,
          [idOrName],
        );
        if (!found) throw new AppError('KEY_NOT_FOUND', `there is no key ${quoted(idOrName)}`);
        may(rowOf(found));
        if (found.revokedAt) return rowOf(found);
        const [row] = await tx.query<Row>(
          `UPDATE api_keys SET revoked_at = now() WHERE ${MINE} AND id = $1 RETURNING ${COLUMNS}`,
          [found.id],
        );
        const detail = { name: found.name };
        await recordAudit(tx, caller, { action: 'key.revoke', target: found.id, detail });
        return rowOf(row!);
      }),
  };
}

function valuesOf(
  key: string,
  { id, name, scopes }: ApiKeyOwner & { readonly id: string },
  isConfigured = false,
): unknown[] {
  return [id, name, shown(key), digest(key), scopes, null, null, isConfigured];
}

async function requireTenant(tx: Transaction, tenant: TenantId): Promise<void> {
  const rows = await tx.query('SELECT 1 FROM tenants WHERE id = $1 AND removing_at IS NULL', [
    tenant,
  ]);
  if (rows.length === 0) throw new AppError('TENANT_NOT_FOUND', `there is no tenant ${tenant}`);
}

function translateTaken(error: unknown, name: string): unknown {
  if (sqlStateOf(error) !== '23505') return error;
  const detail = `a key named ${quoted(name)} exists`;
  return new AppError('VALIDATION', detail, { errors: [{ pointer: '/name', detail }] });
}

function rowOf({ createdAt, expiresAt, lastUsedAt, revokedAt, ...row }: Row): ApiKeyRow {
  return {
    ...row,
    createdAt: createdAt!.toISOString(),
    expiresAt: expiresAt?.toISOString() ?? null,
    lastUsedAt: lastUsedAt?.toISOString() ?? null,
    revokedAt: revokedAt?.toISOString() ?? null,
  };
}

const quoted = (text: string): string => JSON.stringify(text);

/** A key of a person's own making may be short: never show more than a quarter of it. */
function shown(key: string): string {
  return key.slice(0, Math.min(SHOWN, Math.floor(key.length / 4)));
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
