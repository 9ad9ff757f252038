/**
 * Requests that may be sent twice and are done once. The first one takes the slot of its key; what
 * it answers is kept for a day. A write of contexts keeps its answer in its own transaction: either
 * both are there or neither, so not even a crash right after the commit does it twice. With a master key
 * neither request nor answer can be guessed from what is kept (crypto/request-seal.ts).
 */
import type { Clock } from '../domain/clock.ts';
import type { Caller, RememberedAnswer, RequestSlot } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import type { IdSource, TenantId } from '../domain/ids.ts';
import type { Keyring } from './crypto/keyring.ts';
import { createRequestSeal, type RequestSeal } from './crypto/request-seal.ts';
import type { Database, Transaction } from './database.ts';

/** How long an answer is kept (contract 06), ms. */
const KEPT_MS = 24 * 3600 * 1000;
/** An attempt not answered for so long counts as dead, and a twin may do the work. */
const LEASE_MS = 30_000;

export type Claim =
  /** This request is the first (or the first one died): do it, then remember or release. */
  | { readonly status: 'first'; readonly slot: RequestSlot }
  | { readonly status: 'answered'; readonly answer: RememberedAnswer }
  /** The key was used for another request. */
  | { readonly status: 'mismatch' }
  /** The first request has not answered yet. */
  | { readonly status: 'running' };

export interface Idempotency {
  /** Takes the slot, or says what became of the request that has it. */
  claim(tenant: TenantId, request: { slot: Hash; fingerprint: Hash }): Promise<Claim>;
  /** Keeps the answer of a request whose write did not keep it itself; nothing if the lease is lost. */
  remember(tenant: TenantId, slot: RequestSlot, answer: RememberedAnswer): Promise<void>;
  /** Frees the slot of a request that is not remembered. */
  release(tenant: TenantId, slot: RequestSlot): Promise<void>;
}

// An expired row and one whose attempt died count as none. While a write is keeping its answer, its
// row is locked, so this waits for that commit.
const CLAIM = `
INSERT INTO idempotency_keys AS k (tenant_id, slot, fingerprint, token, lease_until, expires_at)
VALUES (current_setting('app.tenant'), decode($1, 'hex'), decode($2, 'hex'), $3, $4, $5)
ON CONFLICT (tenant_id, slot) DO UPDATE SET fingerprint = excluded.fingerprint,
  token = excluded.token, lease_until = excluded.lease_until, expires_at = excluded.expires_at,
  status = NULL, headers = NULL, body = NULL
  WHERE k.expires_at <= $6
    OR (k.status IS NULL AND k.lease_until <= $6 AND k.fingerprint = excluded.fingerprint)
RETURNING token`;

const SELECT_SLOT = `
SELECT encode(fingerprint, 'hex') AS fingerprint, status, headers, body FROM idempotency_keys
WHERE tenant_id = current_setting('app.tenant') AND slot = decode($1, 'hex')`;

const REMEMBER = `
UPDATE idempotency_keys SET status = $3, headers = $4, body = $5, expires_at = $6
WHERE tenant_id = current_setting('app.tenant') AND slot = decode($1, 'hex') AND token = $2
  AND status IS NULL
RETURNING 1`;

const RELEASE = `
DELETE FROM idempotency_keys
WHERE tenant_id = current_setting('app.tenant') AND slot = decode($1, 'hex') AND token = $2
  AND status IS NULL`;

interface SlotRow {
  fingerprint: Hash;
  status: number | null;
  headers: Record<string, string> | null;
  body: string | null;
}

export function createIdempotency(deps: {
  readonly database: Database;
  readonly clock: Clock;
  readonly newId: IdSource;
  readonly keyring?: Keyring | null;
}): Idempotency {
  const { database, clock, newId, keyring = null } = deps;
  return {
    async claim(tenant, { slot, fingerprint }) {
      const token = newId();
      const now = clock.now();
      return database.withTenant(tenant, async (tx): Promise<Claim> => {
        const lease = [new Date(now + LEASE_MS), new Date(now + KEPT_MS), new Date(now)];
        const sealer = await createRequestSeal(tx, { keyring, tenant, slot });
        const kept = sealer.fingerprint(fingerprint);
        const [taken] = await tx.query(CLAIM, [slot, kept, token, ...lease]);
        if (taken) return { status: 'first', slot: { slot, token, seal: sealer.seal } };
        const [row] = await tx.query<SlotRow>(SELECT_SLOT, [slot]);
        if (!row) return { status: 'running' };
        // One that was kept before there was a master key is known by its plain fingerprint.
        return claimed(row, { isSame: [kept, fingerprint].includes(row.fingerprint), sealer });
      });
    },
    async remember(tenant, slot, answer) {
      const at = clock.now();
      await database.withTenant(tenant, (tx) => keep(tx, { slot, answer, at }));
    },
    async release(tenant, { slot, token }) {
      await database.withTenant(tenant, (tx) => tx.query(RELEASE, [slot, token]));
    },
  };
}

function claimed(
  { status, headers, body }: SlotRow,
  { isSame, sealer }: { readonly isSame: boolean; readonly sealer: RequestSeal },
): Claim {
  if (!isSame) return { status: 'mismatch' };
  if (status === null) return { status: 'running' };
  const text = sealer.open(body ?? '');
  return { status: 'answered', answer: { status, headers: headers ?? {}, body: text } };
}

async function keep(
  tx: Transaction,
  { slot, answer, at }: { slot: RequestSlot; answer: RememberedAnswer; at: number },
): Promise<boolean> {
  const { status, headers, body } = answer;
  const until = new Date(at + KEPT_MS);
  const kept = await tx.query(REMEMBER, [
    slot.slot,
    slot.token,
    status,
    JSON.stringify(headers),
    slot.seal ? slot.seal(body) : body,
    until,
  ]);
  return kept.length > 0;
}

/**
 * Keeps a write's answer in its own transaction, where the caller's request is to be remembered.
 * @throws AppError IDEMPOTENCY_IN_PROGRESS when a twin has taken the slot over: write nothing
 */
export async function rememberWrite(
  tx: Transaction,
  { caller, result, at }: { caller: Caller; result: unknown; at: number },
): Promise<void> {
  const { request } = caller;
  if (!request?.answerOf) return;
  if (await keep(tx, { slot: request, answer: request.answerOf(result), at })) return;
  throw new AppError('IDEMPOTENCY_IN_PROGRESS', 'another request took this one over');
}

const FORGET = `
DELETE FROM idempotency_keys WHERE (tenant_id, slot) IN (
  SELECT tenant_id, slot FROM idempotency_keys WHERE expires_at <= $1
  ORDER BY expires_at LIMIT $2)
RETURNING 1`;

/** Deletes up to `limit` answers whose day is over, of all tenants; answers how many. */
export async function forgetAnswers(database: Database, at: Date, limit: number): Promise<number> {
  return (await database.withSystem((tx) => tx.query(FORGET, [at, limit]))).length;
}
