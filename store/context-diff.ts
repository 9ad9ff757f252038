/** What changed between two versions of a context. Bounded: both bodies are taken apart in memory. */
import type { Clock } from '../domain/clock.ts';
import type { Caller } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { ContextKey } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import { diffDelta } from '../domain/json-delta.ts';
import { diffJson } from '../domain/json-patch.ts';
import { contextsOf, selectContexts, selectVersions, withData } from './context-reads.ts';
import { contextNotFound, isExpired } from './context-rows.ts';
import type { ContextDiff, ContextStore } from './contract.ts';
import type { Bodies } from './crypto/bodies.ts';
import type { Database, Transaction } from './database.ts';

/** Compact JSON bytes of both versions together. */
export const MAX_DIFF_BYTES = 4 * 1024 * 1024;
const MAX_PATH_CHARS = 4 * MAX_DIFF_BYTES;

const SELECT_BEFORE = `
SELECT max(version) AS version FROM context_versions
WHERE tenant_id = current_setting('app.tenant') AND key = $1 AND version < $2 AND hash IS NOT NULL`;

interface Wanted {
  readonly key: ContextKey;
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

export function createContextDiff(deps: {
  readonly database: Database;
  readonly clock: Clock;
  readonly bodies: Bodies;
}): ContextStore['diff'] {
  return async (caller, wanted) => {
    const { from, to } = await deps.database.withTenant(caller.tenant, (tx) =>
      loadPair(tx, { ...deps, caller, at: new Date(deps.clock.now()) }, wanted),
    );
    const patch = diffJson(from.data, to.data);
    // Long names above many changes: each op repeats them.
    const pathChars = patch.reduce((sum, { path }) => sum + path.length, 0);
    if (pathChars > MAX_PATH_CHARS) throw tooLarge(`paths of ${pathChars} characters`);
    const delta = diffDelta(from.data, to.data);
    return { from: from.version, to: to.version, patch, delta } satisfies ContextDiff;
  };
}

interface Side {
  readonly version: number;
  readonly data: Json;
}

async function loadPair(
  tx: Transaction,
  on: { readonly bodies: Bodies; readonly caller: Caller; readonly at: Date },
  { key, from, to }: Wanted,
): Promise<{ from: Side; to: Side }> {
  const row = (await selectContexts(tx, [key])).get(key);
  if (!row || isExpired(row, on.at)) throw contextNotFound(key);
  // A deleted context has no current version, but its history may be compared.
  if (to === undefined && row.deleted) throw contextNotFound(key);
  const after = to ?? row.version;
  const before = from ?? (await versionBefore(tx, key, after));
  const old = await selectVersions(
    tx,
    [before, after].map((version) => ({ key, version })),
  );
  const rows = [before, after].map((version) => ({ ...row, ...withData(old, key, version) }));
  const bytes = rows.reduce((sum, { size }) => sum + size, 0);
  if (bytes > MAX_DIFF_BYTES) throw tooLarge(`${bytes} bytes`);
  const [first, second] = await contextsOf(tx, on, rows);
  return { from: first!, to: second! };
}

async function versionBefore(tx: Transaction, key: ContextKey, version: number): Promise<number> {
  const [found] = await tx.query<{ version: number | null }>(SELECT_BEFORE, [key, version]);
  if (found?.version) return found.version;
  throw new AppError('VERSION_NOT_FOUND', `\`${key}\` has no version with data before ${version}.`);
}

function tooLarge(what: string): AppError {
  const limit = `versions of together ${MAX_DIFF_BYTES} bytes are compared at most`;
  return new AppError('DIFF_TOO_LARGE', `the comparison has ${what}; ${limit}`);
}
