/** Merges an item both sides changed: in the hub's spelling, under the link's strategies. */
import type { ItemKind } from '../domain/item.ts';
import type { Json } from '../domain/json.ts';
import type { ConflictReason } from '../domain/link.ts';
import type { MergeRequest, MergeResult } from './contract.ts';
import { schemaOfKind } from './merge/kind-schemas.ts';
import { mergeDocuments, type MergeConflict } from './merge/merge-documents.ts';
import { createSameness } from './merge/sameness.ts';
import { compileSchema } from './merge/field-types.ts';
import { translateEdit } from './merge/translate-edit.ts';
import { strategyAt } from './strategy-at.ts';

/**
 * The document both sides shall hold, or the conflict with a proposal. `changesHub` and
 * `changesRemote` look through spelling: what is only written differently (a set in another order,
 * the remote's own normal form) is not written again. Where `changesHub` is false, `value` is the
 * hub's body itself.
 */
export function mergeItem(request: MergeRequest): MergeResult {
  const { kind, base, hub, stamps, policy } = request;
  const schema = schemaOfKind(kind);
  const remote = base ? translateRemote(kind, base, request.remote) : request.remote;
  const merged = mergeDocuments({
    base: base?.hub,
    hub,
    remote,
    schema,
    strategyAt: strategyAt(policy, kind),
    stamps,
  });
  const pointers = merged.conflicts.map(({ pointer }) => pointer);
  if (pointers.length > 0) {
    const reason = base ? itemReason(kind, merged.conflicts) : 'create/create';
    return { status: 'conflict', reason, pointers, proposal: merged.value };
  }
  const { same } = createSameness();
  const node = compileSchema(schema);
  const changesHub = !same(merged.value, hub, node);
  const changesRemote = !same(merged.value, remote, node);
  return { status: 'merged', value: changesHub ? merged.value : hub, changesHub, changesRemote };
}

/**
 * What the hub should hold after an edit that only the remote made: the edit in the hub's spelling.
 * Equals `base.hub` when the remote merely respelled what it was sent.
 */
export function translateRemote(
  kind: ItemKind,
  base: { readonly hub: Json; readonly remote: Json },
  remote: Json,
): Json {
  return translateEdit({ base, remote, schema: schemaOfKind(kind) });
}

/** One reason for the whole item: the one all its places share, else that both sides edited it. */
function itemReason(kind: ItemKind, conflicts: readonly MergeConflict[]): ConflictReason {
  const name = kind === 'memory' ? '/name' : '/path';
  if (conflicts.every(({ pointer }) => pointer === name)) return 'move';
  const reasons = new Set(conflicts.map(({ reason }) => reason));
  const [only] = reasons;
  // A place that both created is, seen from an item that was there before, an edit of both.
  return reasons.size === 1 && only && only !== 'create/create' ? only : 'edit/edit';
}
