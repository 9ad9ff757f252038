/** The engine's view of the store: one object over the functions of this folder. */
import type { TenantId } from '../../domain/ids.ts';
import type { Database } from '../database.ts';
import { hubIdOf } from '../feed.ts';
import { linkOf, type LinkRow } from '../link-store.ts';
import { agreedDigests, auditHub, itemsInBuckets, markDoubted, proveEqual } from './digests.ts';
import { contextsInScope, endBaseline, insertNamed } from './first-baseline.ts';
import { claimOps, openIntents, settleOps, type Settled } from './execute.ts';
import {
  completeObservation,
  doubtCursor,
  hasRemoteItems,
  knownRemotes,
  missingIds,
  nameItems,
  namelessItems,
  observeHub,
  recordSightings,
} from './observe.ts';
import { beginPass, finishPass, takeOver, type PassRef } from './pass.ts';
import {
  bodiesOf,
  countSides,
  dirtyItems,
  findCanary,
  isCalm,
  recordDecisions,
  recordPlan,
} from './plan.ts';
import { renameCandidates } from './rename-candidates.ts';
import { settleCreates, type SettledCreates } from './settle-creates.ts';
import { recordUndo } from './undo.ts';

export interface Told {
  readonly onCommitted: () => void;
  readonly onSettled?: () => void;
}

/**
 * Every function as its module documents it, bound to one database. `onCommitted` is called after a
 * settling that wrote the hub or a plan that opened conflicts, so that those who must look need not
 * wait for the relay's poll; `onSettled` whenever items were decided.
 */
export function createSyncStore(database: Database, told: Told) {
  const settled = async <Result>(work: Promise<Result>): Promise<Result> => {
    const result = await work;
    told.onSettled?.();
    return result;
  };
  const bind =
    <Rest extends unknown[], Result>(call: (database: Database, ...rest: Rest) => Result) =>
    (...rest: Rest): Result =>
      call(database, ...rest);
  return {
    beginPass: bind(beginPass),
    takeOver: bind(takeOver),
    finishPass: (...args: Rest<typeof finishPass>) => settled(finishPass(database, ...args)),
    observeHub: bind(observeHub),
    namelessItems: bind(namelessItems),
    contextsInScope: bind(contextsInScope),
    insertNamed: (...args: Rest<typeof insertNamed>) => settled(insertNamed(database, ...args)),
    endBaseline: bind(endBaseline),
    nameItems: (...args: Rest<typeof nameItems>) => settled(nameItems(database, ...args)),
    knownRemotes: bind(knownRemotes),
    recordSightings: bind(recordSightings),
    completeObservation: bind(completeObservation),
    doubtCursor: bind(doubtCursor),
    missingIds: bind(missingIds),
    hasRemoteItems: bind(hasRemoteItems),
    agreedDigests: bind(agreedDigests),
    itemsInBuckets: bind(itemsInBuckets),
    markDoubted: bind(markDoubted),
    auditHub: bind(auditHub),
    proveEqual: bind(proveEqual),
    dirtyItems: bind(dirtyItems),
    bodiesOf: bind(bodiesOf),
    async recordPlan(...args: Rest<typeof recordPlan>): Promise<void> {
      await settled(recordPlan(database, ...args));
      if (args[1].page.conflicts.length > 0 && !args[1].isDry) told.onCommitted();
    },
    recordDecisions: bind(recordDecisions),
    recordUndo: bind(recordUndo),
    renameCandidates: bind(renameCandidates),
    isCalm: bind(isCalm),
    countSides: bind(countSides),
    findCanary: bind(findCanary),
    claimOps: bind(claimOps),
    openIntents: bind(openIntents),
    async settleOps(...args: Rest<typeof settleOps>): Promise<Settled> {
      const result = await settled(settleOps(database, ...args));
      if (result.wroteHub) told.onCommitted();
      return result;
    },
    async settleCreates(...args: Rest<typeof settleCreates>): Promise<SettledCreates> {
      const result = await settled(settleCreates(database, ...args));
      if (result.settled > 0) told.onCommitted();
      return result;
    },
    hubIdOf: (tenant: TenantId): Promise<string> => database.withTenant(tenant, hubIdOf),
    /**
     * The link of a pass begun in another process, with its remote cursor; it may have open intents
     * for all we know here. Null when it was removed meanwhile.
     */
    async linkOfPass(ref: Pick<PassRef, 'tenant' | 'linkId'>) {
      const [row] = await database.withTenant(ref.tenant, (tx) =>
        tx.query<LinkRow>(
          `SELECT * FROM sync_links WHERE tenant_id = current_setting('app.tenant') AND id = $1`,
          [ref.linkId],
        ),
      );
      return row
        ? {
            link: linkOf(row),
            remoteCursor: row.remote_cursor,
            isCursorDoubted: row.cursor_doubted,
            mustLookWhole: row.look_whole,
            hasOpenIntents: true,
          }
        : null;
    },
  };
}

type Rest<Call> = Call extends (database: Database, ...rest: infer Others) => unknown
  ? Others
  : never;

export type SyncStore = ReturnType<typeof createSyncStore>;
