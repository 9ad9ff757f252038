/** All that the steps of one pass share: the link, its open connector, the store, the fence. */
import type { Connector, ConnectorCapabilities } from '../connectors/contract.ts';
import type { Clock } from '../domain/clock.ts';
import { AppError } from '../domain/errors.ts';
import type { IdSource } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import type { Link } from '../domain/link.ts';
import type { PassRef, PassStart, SyncStore } from '../store/contract.ts';
import type { ConnectorPool } from '../connectors/contract.ts';
import type { BodyWork } from './compute/body-work.ts';
import type { PassToken } from './contract.ts';

export interface PassScope {
  readonly ref: PassRef;
  readonly link: Link;
  readonly remoteCursor: string | null;
  readonly isCursorDoubted: boolean;
  readonly mustLookWhole: boolean;
  readonly connector: Connector<Json>;
  readonly kinds: ConnectorCapabilities['kinds'];
  /** False: the pass began after every intent of the link had been settled. */
  readonly mayHaveIntents: boolean;
  /** Complete scans in a row an item must miss before it counts as gone: 2 for grade C. */
  readonly scansNeeded: number;
  readonly sync: SyncStore;
  /** Works on bodies; large ones off the event loop. */
  readonly work: BodyWork;
  readonly clock: Clock;
  readonly newId: IdSource;
  /** Tells Temporal that the step is alive (and learns of cancellation). */
  readonly heartbeat: () => void;
  readonly signal: AbortSignal;
}

export interface ScopeDeps {
  readonly sync: SyncStore;
  readonly work: BodyWork;
  readonly pool: ConnectorPool;
  readonly clock: Clock;
  readonly newId: IdSource;
  readonly openPasses: OpenPasses;
}

/** What a pass was begun with. */
type Known = Pick<
  PassStart,
  'link' | 'remoteCursor' | 'isCursorDoubted' | 'mustLookWhole' | 'hasOpenIntents'
>;

/**
 * The passes begun in this process, so that their later steps need not ask for the link again. A
 * new fence makes what was kept worthless; a step of a pass begun elsewhere simply asks.
 */
export interface OpenPasses {
  keep(pass: PassStart): void;
  find(pass: Pick<PassRef, 'tenant' | 'linkId' | 'fence'>): Known | null;
  /** The pass has looked: its own cursor does not vouch for what is known now. */
  doubt(pass: Pick<PassRef, 'tenant' | 'linkId' | 'fence'>): void;
  forget(pass: Pick<PassRef, 'tenant' | 'linkId'>): void;
}

/** At most one pass per link. */
export function createOpenPasses(): OpenPasses {
  const passes = new Map<string, PassStart>();
  const nameOf = ({ tenant, linkId }: Pick<PassRef, 'tenant' | 'linkId'>) => `${tenant}/${linkId}`;
  function find(ref: Pick<PassRef, 'tenant' | 'linkId' | 'fence'>): PassStart | null {
    const kept = passes.get(nameOf(ref));
    return kept?.ref.fence === ref.fence ? kept : null;
  }
  return {
    keep: (pass) => void passes.set(nameOf(pass.ref), pass),
    find,
    doubt(ref) {
      const kept = find(ref);
      if (kept) passes.set(nameOf(ref), { ...kept, isCursorDoubted: true });
    },
    forget: (ref) => void passes.delete(nameOf(ref)),
  };
}

/** Opens what a step needs. @throws AppError FENCED, CONNECTOR_NOT_ALLOWED, CONNECTOR_UNREACHABLE */
export async function openScope(
  deps: ScopeDeps,
  pass: PassToken,
  step: { heartbeat: () => void; signal: AbortSignal },
): Promise<PassScope> {
  const { tenant, linkId, runId, fence } = pass;
  const found = deps.openPasses.find(pass) ?? (await deps.sync.linkOfPass({ tenant, linkId }));
  if (!found) throw new AppError('FENCED', 'the link has been removed');
  const connector = await deps.pool.get(tenant, found.link);
  const { capabilities } = connector;
  return {
    ...step,
    ref: { tenant, linkId, runId, fence },
    link: found.link,
    remoteCursor: found.remoteCursor,
    isCursorDoubted: found.isCursorDoubted,
    mustLookWhole: found.mustLookWhole,
    mayHaveIntents: found.hasOpenIntents,
    connector,
    kinds: capabilities.kinds,
    scansNeeded: capabilities.grade === 'C' ? 2 : 1,
    sync: deps.sync,
    work: deps.work,
    clock: deps.clock,
    newId: deps.newId,
  };
}
