/**
 * Rotation of a tenant's data key. From the moment it is asked for new bodies are sealed with the new
 * key; the old one stays, retired, until nothing needs it (re-encrypt.ts). Everything about it is in
 * Postgres, so it goes on after a crash, and whoever asks sees how far it is.
 */
import type { Caller } from '../../domain/context.ts';
import { AppError } from '../../domain/errors.ts';
import type { TenantId } from '../../domain/ids.ts';
import { recordAudit } from '../audit.ts';
import type { Database, Transaction } from '../database.ts';
import { INSERT_KEYS, keyColumns, type Keyring } from './keyring.ts';
import { reEncryptBatch, rewrapKeys } from './re-encrypt.ts';

/** A retired key and how far its bodies are sealed anew. */
export interface RetiringKey {
  readonly id: string;
  readonly retiredAt: string;
  /** Bodies it had sealed when it was retired. */
  readonly bodies: number;
  /** Bodies it still seals. */
  readonly left: number;
}

export interface RotationStatus {
  /** `running`: some bodies are still sealed with a retired key. */
  readonly state: 'idle' | 'running';
  /** Seals new bodies; null: this tenant has encrypted nothing yet. */
  readonly current: { readonly id: string; readonly createdAt: string } | null;
  readonly retiring: readonly RetiringKey[];
  /** Fingerprint of the configured master key, and how many keys are still wrapped by an older one. */
  readonly master: { readonly id: string; readonly keysToRewrap: number };
}

export interface KeyRotation {
  /** Makes a new data key. @throws AppError ENCRYPTION_NOT_CONFIGURED */
  rotate(caller: Caller): Promise<RotationStatus>;
  /** @throws AppError ENCRYPTION_NOT_CONFIGURED */
  status(tenant: TenantId): Promise<RotationStatus>;
  /** Tenants with retired keys, or keys that another master key wrapped; none without a master key. */
  pending(): Promise<readonly TenantId[]>;
  /** Wraps and seals anew what one batch holds. `isDone`: nothing is left. */
  work(tenant: TenantId, limit: number): Promise<{ readonly sealed: number; isDone: boolean }>;
}

const COUNT_OF = `(SELECT count(*)::int FROM blobs b
  WHERE b.tenant_id = current_setting('app.tenant') AND b.key_id = k.id)`;

const RETIRE = `
UPDATE encryption_keys k SET retired_at = now(), retired_bodies = ${COUNT_OF}
WHERE tenant_id = current_setting('app.tenant') AND purpose = 'data' AND retired_at IS NULL`;

const SELECT_STATUS = `
SELECT id, created_at, retired_at, retired_bodies, master_id, purpose,
  CASE WHEN retired_at IS NOT NULL THEN ${COUNT_OF} ELSE 0 END AS left
FROM encryption_keys k WHERE tenant_id = current_setting('app.tenant') ORDER BY created_at, id`;

const SELECT_PENDING = `
SELECT DISTINCT tenant_id FROM encryption_keys
WHERE retired_at IS NOT NULL OR master_id <> $1 ORDER BY tenant_id`;

interface StatusRow {
  readonly id: string;
  readonly purpose: string;
  readonly created_at: Date;
  readonly retired_at: Date | null;
  readonly retired_bodies: number | null;
  readonly master_id: string;
  readonly left: number;
}

export function createKeyRotation(deps: {
  readonly database: Database;
  readonly keyring: Keyring | null;
}): KeyRotation {
  const { database } = deps;

  function ring(): Keyring {
    if (deps.keyring) return deps.keyring;
    throw new AppError('ENCRYPTION_NOT_CONFIGURED', 'there is no key; set CONTEXT_ENCRYPTION_KEY');
  }

  async function statusIn(tx: Transaction): Promise<RotationStatus> {
    const rows = await tx.query<StatusRow>(SELECT_STATUS);
    return statusOf(rows, ring().masters.current.id);
  }

  return {
    async rotate(caller) {
      const keyring = ring();
      return database.withTenant(caller.tenant, async (tx) => {
        await tx.query(RETIRE);
        await tx.query(INSERT_KEYS, keyColumns([keyring.make(caller.tenant, 'data')]));
        const { data } = await keyring.current(tx, caller.tenant);
        await recordAudit(tx, caller, { action: 'encryption.rotate', target: data.id });
        return statusIn(tx);
      });
    },
    async status(tenant) {
      ring();
      return database.withTenant(tenant, statusIn);
    },
    async pending() {
      if (!deps.keyring) return [];
      const values = [deps.keyring.masters.current.id];
      const rows = await database.withSystem((tx) =>
        tx.query<{ tenant_id: TenantId }>(SELECT_PENDING, values),
      );
      return rows.map((row) => row.tenant_id);
    },
    async work(tenant, limit) {
      const keyring = ring();
      await rewrapKeys({ database, keyring }, tenant);
      return reEncryptBatch({ database, keyring }, tenant, limit);
    },
  };
}

function statusOf(rows: readonly StatusRow[], masterId: string): RotationStatus {
  const current = rows.find((row) => row.purpose === 'data' && row.retired_at === null);
  const retiring = rows.flatMap((row): RetiringKey[] => {
    if (row.retired_at === null) return [];
    const { id, retired_at, left } = row;
    const bodies = Math.max(row.retired_bodies ?? 0, left);
    return [{ id, retiredAt: retired_at.toISOString(), bodies, left }];
  });
  return {
    state: retiring.length > 0 ? 'running' : 'idle',
    current: current ? { id: current.id, createdAt: current.created_at.toISOString() } : null,
    retiring,
    master: {
      id: masterId,
      keysToRewrap: rows.filter((row) => row.master_id !== masterId).length,
    },
  };
}
