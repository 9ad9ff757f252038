/** Loads what is needed to show where the contexts of one page have the words of a query. */
import { canonicalJson } from '../../domain/json.ts';
import { loadStored, type StoredBody } from '../blobs.ts';
import type { Transaction } from '../database.ts';
import type { ContextRow } from '../write-versions.ts';
import { bodyTextOf, textOfJson } from './body-text.ts';
import { highlightOf } from './highlight.ts';

/** A larger body is not taken apart for an excerpt. */
const MAX_BODY_BYTES = 1024 * 1024;
/** Nor are more than so many bytes of bodies for one page. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024;

/** Excerpts by key. Sealed bodies are never loaded, so nothing of them is shown. */
export async function highlightsOf(
  tx: Transaction,
  rows: readonly ContextRow[],
  terms: readonly string[],
): Promise<Map<string, string | null>> {
  if (terms.length === 0 || rows.length === 0) return new Map();
  const bodies = await loadStored(tx, shown(rows));
  const entries = rows.map(async (row) => {
    const body = row.hash === null ? undefined : bodies.get(row.hash);
    return [row.key, highlightOf(await partsOf(row, body), terms)] as const;
  });
  return new Map(await Promise.all(entries));
}

function shown(rows: readonly ContextRow[]) {
  let bytes = 0;
  return rows.flatMap(({ hash, encrypted, size }) => {
    if (hash === null || encrypted || size > MAX_BODY_BYTES) return [];
    bytes += size;
    return bytes > MAX_PAGE_BYTES ? [] : [hash];
  });
}

/** Text first: what key and tags are, the hit shows anyway. */
async function partsOf(row: ContextRow, body: StoredBody | undefined): Promise<string[]> {
  const text = body ? await bodyTextOf(body) : { values: [], names: [] };
  const facts = textOfJson(canonicalJson(row.metadata));
  return [...text.values, ...facts.values, ...row.tags, row.key, ...text.names, ...facts.names];
}
