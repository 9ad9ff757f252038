/** The search attributes our workflows set; a Temporal without them refuses to start these. */
import type { Connection } from '@temporalio/client';
import { waitUntil } from './wait-until.ts';

/** Name → type. Temporal keeps them in plain text: no personal data. */
export const SEARCH_ATTRIBUTES = {
  TenantId: 'Keyword',
  LinkId: 'Keyword',
  SyncPhase: 'Keyword',
  ConflictCount: 'Int',
  Paused: 'Bool',
} as const;

/** `IndexedValueType` of Temporal's API (temporal/api/enums/v1/common.proto). */
const TYPE_NUMBERS = { Keyword: 2, Int: 3, Bool: 5 } as const;
const CALL_MS = 10_000;
const SEEN_MS = 30_000;

/**
 * Adds to a namespace those that are missing, and returns their names. The development server takes
 * its `--search-attribute` flags for a new database only, so an older one needs this too.
 * Throws what Temporal answers, e.g. when the caller may not add any.
 */
export async function ensureSearchAttributes(
  connection: Connection,
  namespace = 'default',
): Promise<readonly string[]> {
  const missing = await missingIn(connection, namespace);
  if (missing.length === 0) return [];
  const searchAttributes = Object.fromEntries(
    missing.map((name) => [name, TYPE_NUMBERS[SEARCH_ATTRIBUTES[name]]]),
  );
  await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
  const look = async (): Promise<true | null> =>
    (await missingIn(connection, namespace)).length === 0 ? true : null;
  await waitUntil(look, { timeoutMs: SEEN_MS, everyMs: 100 });
  return missing;
}

type Name = keyof typeof SEARCH_ATTRIBUTES;

async function missingIn(connection: Connection, namespace: string): Promise<readonly Name[]> {
  const answer = await connection.withDeadline(Date.now() + CALL_MS, () =>
    connection.operatorService.listSearchAttributes({ namespace }),
  );
  const names = Object.keys(SEARCH_ATTRIBUTES) as Name[];
  return names.filter((name) => !(name in answer.customAttributes));
}
