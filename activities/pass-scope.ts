/** All that the steps of one pass share: the link, its open connector, the store, the fence. */
import type { Connector } from '../connectors/contract.ts';
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/errors.ts';
import type { IdSource } from '../domain/ids.ts';
import type { ItemKind } from '../domain/item.ts';
import type { Link } from '../domain/link.ts';
import type { PassRef, SyncStore } from '../store/contract.ts';
import type { ConnectorPool } from '../connectors/contract.ts';
import type { PassToken } from './contract.ts';

export interface PassScope {
  readonly ref: PassRef;
  readonly link: Link;
  readonly remoteCursor: string | null;
  readonly connector: Connector;
  readonly kinds: readonly ItemKind[];
  /** Complete scans in a row an item must miss before it counts as gone: 2 for grade C. */
  readonly scansNeeded: number;
  readonly sync: SyncStore;
  readonly clock: Clock;
  readonly newId: IdSource;
  /** Tells Temporal that the step is alive (and learns of cancellation). */
  readonly heartbeat: () => void;
  readonly signal: AbortSignal;
}

export interface ScopeDeps {
  readonly sync: SyncStore;
  readonly pool: ConnectorPool;
  readonly clock: Clock;
  readonly newId: IdSource;
}

/** Opens what a step needs. @throws AppError FENCED, CONNECTOR_NOT_ALLOWED, CONNECTOR_UNREACHABLE */
export async function openScope(
  deps: ScopeDeps,
  pass: PassToken,
  step: { heartbeat: () => void; signal: AbortSignal },
): Promise<PassScope> {
  const { tenant, linkId, runId, fence } = pass;
  const found = await deps.sync.linkOfPass({ tenant, linkId });
  if (!found) throw new AppError('FENCED', 'the link has been removed');
  const connector = await deps.pool.get(tenant, found.link);
  const { capabilities } = connector;
  return {
    ...step,
    ref: { tenant, linkId, runId, fence },
    link: found.link,
    remoteCursor: found.remoteCursor,
    connector,
    kinds: capabilities.kinds,
    scansNeeded: capabilities.grade === 'C' ? 2 : 1,
    sync: deps.sync,
    clock: deps.clock,
    newId: deps.newId,
  };
}
