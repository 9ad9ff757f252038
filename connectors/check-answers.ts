/**
 * What every answer of a connector passes through: an item whose id, version or kind cannot be stored
 * is set aside by itself, under an id that can, instead of stopping its link. The stand-in is made of
 * the whole id, so it stays the same from look to look, and no two ids share one.
 */
import { AppError } from '../domain/errors.ts';
import { hashText } from '../domain/hash.ts';
import type { RemoteId } from '../domain/ids.ts';
import { asRemoteId, itemName } from '../domain/item.ts';
import type { Json } from '../domain/json.ts';
import { isStorable, remoteIdFault, storable } from '../domain/storable.ts';
import type {
  ApplyOutcome,
  Connector,
  ConnectorCapabilities,
  ObservePage,
  RemoteEntry,
  RemoteOp,
} from './connector.ts';

/** As much of an id as a stand-in shows, characters. */
const SHOWN = 120;

/** The id under which an item is set aside whose own cannot be stored. */
export function standInFor(id: RemoteId): RemoteId {
  const shown = [...storable(id)].slice(0, SHOWN).join('');
  // Escaped first: halves of pairs are all the same in UTF-8.
  return asRemoteId(`${shown}… (${hashText(JSON.stringify(id)).slice(0, 16)})`);
}

/** The entry as it may be recorded. */
export function checkEntry(entry: RemoteEntry<Json>): RemoteEntry<Json> {
  const idFault = remoteIdFault(entry.remoteId);
  const remoteId = idFault === null ? entry.remoteId : standInFor(entry.remoteId);
  if (entry.status !== 'present') return idFault === null ? entry : { ...entry, remoteId };
  const isTextFit = isStorable(entry.version) && isStorable(entry.kind);
  if (idFault === null && isTextFit) return entry;
  const detail = idFault ?? 'its version or kind holds what no text can hold';
  const kind = isStorable(entry.kind) ? { kind: entry.kind } : {};
  return { status: 'faulty', remoteId, ...kind, code: 'REMOTE_MALFORMED', detail };
}

/** @throws AppError REMOTE_MALFORMED for a cursor that cannot be kept */
export function checkPage(page: ObservePage<Json>): ObservePage<Json> {
  if (page.cursor !== null && !isStorable(page.cursor))
    throw new AppError('REMOTE_MALFORMED', 'the cursor of the remote holds what no text can hold');
  return { ...page, entries: page.entries.map(checkEntry) };
}

function checkOutcome(outcome: ApplyOutcome<Json>): ApplyOutcome<Json> {
  if (outcome.status === 'moved') return { ...outcome, current: checkEntry(outcome.current) };
  if (outcome.status === 'failed') return outcome;
  const fault = remoteIdFault(outcome.remoteId);
  if (fault === null && isStorable(outcome.version ?? '')) return outcome;
  return refused(outcome.opId, 'REMOTE_MALFORMED', fault ?? 'its version cannot be kept');
}

/** Applies what may be asked for: a name nobody could record is refused before it is written. */
export async function applyChecked(
  connector: Connector<Json>,
  ops: readonly RemoteOp<Json>[],
  signal?: AbortSignal,
): Promise<readonly ApplyOutcome<Json>[]> {
  const refusals = ops.flatMap((op) => {
    const fault = nameFault(connector.capabilities, op);
    return fault === null ? [] : [refused(op.opId, 'ITEM_INVALID', fault)];
  });
  const held = new Set(refusals.map(({ opId }) => opId));
  const sent = held.size === 0 ? ops : ops.filter(({ opId }) => !held.has(opId));
  const answers = sent.length === 0 ? [] : await connector.apply(sent, signal);
  if (held.size === 0) return answers.map(checkOutcome);
  const byId = new Map([...refusals, ...answers.map(checkOutcome)].map((one) => [one.opId, one]));
  return ops.flatMap(({ opId }) => byId.get(opId) ?? []);
}

function nameFault({ identity }: ConnectorCapabilities, op: RemoteOp<Json>): string | null {
  if (identity === 'key' || op.value === null || op.action === 'delete') return null;
  const name = itemName(op.kind, op.value);
  return name === null ? null : remoteIdFault(name);
}

function refused(
  opId: string,
  code: 'ITEM_INVALID' | 'REMOTE_MALFORMED',
  detail: string,
): Extract<ApplyOutcome<Json>, { status: 'failed' }> {
  return { status: 'failed', opId, code, detail, isRetryable: false };
}
