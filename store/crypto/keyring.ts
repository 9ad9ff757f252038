/**
 * The keys of tenants: made when first needed, kept in Postgres only as wrapped by the master key,
 * and unwrapped in memory. A tenant has one data key at a time, which seals bodies and is rotated,
 * and one id key for good, which names them: it must not change, or equal bodies would differ.
 */
import type { IdSource, TenantId } from '../../domain/ids.ts';
import type { Transaction } from '../database.ts';
import type { MasterKeys } from './master-keys.ts';
import { KEY_BYTES, open, seal, tampered, type Binding, type RandomBytes } from './seal.ts';

export type KeyPurpose = 'data' | 'id';

export interface TenantKey {
  readonly id: string;
  readonly key: Buffer;
}

export type CurrentKeys = Readonly<Record<KeyPurpose, TenantKey>>;

export interface Keyring {
  readonly masters: MasterKeys;
  readonly randomBytes: RandomBytes;
  /** The keys of the transaction's tenant that new bodies are sealed and named with. */
  current(tx: Transaction, tenant: TenantId): Promise<CurrentKeys>;
  /** Keys by id, retired ones included. @throws AppError DECRYPTION_FAILED when one is gone */
  find(tx: Transaction, tenant: TenantId, ids: Iterable<string>): Promise<Map<string, Buffer>>;
  /** A new key of this purpose, wrapped by the current master key; not stored. */
  make(tenant: TenantId, purpose: KeyPurpose): WrappedKey;
  /** The same key, wrapped by the current master key. */
  rewrap(tenant: TenantId, row: KeyRow): WrappedKey;
}

/** A key as a row holds it. */
export interface KeyRow {
  readonly id: string;
  readonly purpose: KeyPurpose;
  readonly wrapped: Buffer;
  readonly master_id: string;
}

export interface WrappedKey extends KeyRow {
  readonly key: Buffer;
}

export interface KeyringDeps {
  readonly masters: MasterKeys;
  readonly newId: IdSource;
  readonly randomBytes: RandomBytes;
}

/** Most unwrapped keys kept in memory; beyond it they are unwrapped again. */
const MAX_KEPT = 10_000;

export const KEY_COLUMNS = 'id, purpose, wrapped, master_id';

const SELECT_CURRENT = `
SELECT ${KEY_COLUMNS} FROM encryption_keys
WHERE tenant_id = current_setting('app.tenant') AND retired_at IS NULL`;

const SELECT_KEYS = `
SELECT ${KEY_COLUMNS} FROM encryption_keys
WHERE tenant_id = current_setting('app.tenant') AND id = ANY($1::uuid[])`;

/** Adds keys; the one that exists already for its purpose wins. */
export const INSERT_KEYS = `
INSERT INTO encryption_keys (tenant_id, id, purpose, wrapped, master_id)
SELECT current_setting('app.tenant'), k.id, k.purpose, k.wrapped, k.master_id
FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[]) AS k (id, purpose, wrapped, master_id)
ORDER BY k.purpose
ON CONFLICT DO NOTHING`;

export function createKeyring({ masters, newId, randomBytes }: KeyringDeps): Keyring {
  const kept = new Map<string, Buffer>();
  // A transaction that writes many bodies asks once.
  const ofTransaction = new WeakMap<Transaction, Promise<CurrentKeys>>();

  function unwrap(tenant: TenantId, row: KeyRow): Buffer {
    const known = kept.get(row.id);
    if (known) return known;
    const key = open(masters.find(row.master_id).key, row.wrapped, bindingOf(tenant, row));
    if (kept.size >= MAX_KEPT) kept.clear();
    kept.set(row.id, key);
    return key;
  }

  function wrap(tenant: TenantId, key: Buffer, of: Pick<KeyRow, 'id' | 'purpose'>): WrappedKey {
    const { id: master_id, key: master } = masters.current;
    const wrapped = seal(master, key, { binding: bindingOf(tenant, of), randomBytes });
    return { ...of, key, wrapped, master_id };
  }

  const make = (tenant: TenantId, purpose: KeyPurpose): WrappedKey =>
    wrap(tenant, randomBytes(KEY_BYTES), { id: newId(), purpose });

  async function readCurrent(tx: Transaction, tenant: TenantId): Promise<CurrentKeys> {
    let rows = await tx.query<KeyRow>(SELECT_CURRENT);
    const missing = (['data', 'id'] as const).filter((p) => rows.every((r) => r.purpose !== p));
    if (missing.length > 0) {
      const made = missing.map((purpose) => make(tenant, purpose));
      await tx.query(INSERT_KEYS, keyColumns(made));
      rows = await tx.query<KeyRow>(SELECT_CURRENT);
    }
    const of = (purpose: KeyPurpose): TenantKey => {
      const row = rows.find((r) => r.purpose === purpose)!;
      return { id: row.id, key: unwrap(tenant, row) };
    };
    return { data: of('data'), id: of('id') };
  }

  return {
    masters,
    randomBytes,
    current(tx, tenant) {
      const known = ofTransaction.get(tx) ?? readCurrent(tx, tenant);
      ofTransaction.set(tx, known);
      return known;
    },
    async find(tx, tenant, ids) {
      const wanted = [...new Set(ids)];
      const unknown = wanted.filter((id) => !kept.has(id));
      const rows = unknown.length ? await tx.query<KeyRow>(SELECT_KEYS, [unknown]) : [];
      const found = new Map(rows.map((row) => [row.id, unwrap(tenant, row)]));
      return new Map(wanted.map((id) => [id, found.get(id) ?? kept.get(id) ?? absent()]));
    },
    make,
    rewrap: (tenant, row) => wrap(tenant, unwrap(tenant, row), row),
  };
}

/** Keys as the columns of {@link INSERT_KEYS}. */
export function keyColumns(keys: readonly KeyRow[]): unknown[] {
  return [
    keys.map((key) => key.id),
    keys.map((key) => key.purpose),
    keys.map((key) => key.wrapped),
    keys.map((key) => key.master_id),
  ];
}

// A wrapped key that is moved to another tenant, id or purpose does not open.
function bindingOf(tenant: TenantId, { id, purpose }: Pick<KeyRow, 'id' | 'purpose'>): Binding {
  return ['syncline key', tenant, id, purpose];
}

// A key goes when the last body it sealed was sealed anew: whoever still saw that body looks again.
function absent(): never {
  throw tampered({ retryable: true });
}
