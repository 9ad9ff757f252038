/**
 * Renames among planned deletes: a delete and a create on one side whose content is equal but for the
 * name. They are counted only when a guard would park otherwise, because bodies must be read for it.
 */
import { hashJson, type Hash } from '../domain/hash.ts';
import type { ItemKind } from '../domain/item.ts';
import { isJsonObject, type Json } from '../domain/json.ts';
import { decodeBody, type RenameCandidate } from '../store/contract.ts';
import type { Side } from '../sync/contract.ts';
import { createBreather } from './compute/breather.ts';
import { LARGE_BYTES } from './compute/weigh.ts';
import type { PassScope } from './pass-scope.ts';

const PAGE = 500;
/** A plan with more deletes and creates than this is parked by its count alone. */
const MAX_CANDIDATES = 20_000;

/** How many of the deletes planned on a side are renames, by kind of item. */
export async function countRenames(
  scope: PassScope,
  side: Side,
): Promise<ReadonlyMap<ItemKind, number>> {
  const { sync, ref, heartbeat } = scope;
  const kinds = new Map<ItemKind, Contents>();
  const breathe = createBreather(scope.clock);
  let seen = 0;
  for (let after = 0, isLast = false; !isLast;) {
    const page = await sync.renameCandidates(ref, { side, after, limit: PAGE });
    for (const candidate of page) {
      await breathe();
      const hash = await contentHash(candidate);
      const contents = kinds.get(candidate.kind) ?? noContents();
      kinds.set(candidate.kind, contents);
      const counts = contents[candidate.action];
      if (hash) counts.set(hash, (counts.get(hash) ?? 0) + 1);
    }
    seen += page.length;
    if (seen > MAX_CANDIDATES) return new Map();
    after = page.at(-1)?.seq ?? after;
    isLast = page.length < PAGE;
    heartbeat();
  }
  return new Map([...kinds].map(([kind, contents]) => [kind, pairsOf(contents)]));
}

/** Contents taken away and brought, each with how often. */
interface Contents {
  readonly create: Map<Hash, number>;
  readonly delete: Map<Hash, number>;
}

function noContents(): Contents {
  return { create: new Map(), delete: new Map() };
}

function pairsOf({ delete: deleted, create: created }: Contents): number {
  let pairs = 0;
  for (const [hash, count] of deleted) pairs += Math.min(count, created.get(hash) ?? 0);
  return pairs;
}

/** Null: too large to be worth it, or gone; it counts as a delete. */
async function contentHash({ kind, body }: RenameCandidate): Promise<Hash | null> {
  if (!body || body.size > LARGE_BYTES) return null;
  return hashJson(nameless(kind, await decodeBody(body)));
}

function nameless(kind: ItemKind, value: Json): Json {
  if (!isJsonObject(value)) return value;
  const member = kind === 'memory' ? 'name' : kind === 'document' ? 'path' : null;
  return Object.fromEntries(Object.entries(value).filter(([name]) => name !== member));
}
