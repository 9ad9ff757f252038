/** The engine's view of the store: one object over the functions of this folder. */
import type { Database } from '../database.ts';
import { linkOf, type LinkRow } from '../link-store.ts';
import { claimOps, openIntents, settleOps } from './execute.ts';
import {
  completeObservation,
  knownRemotes,
  nameItems,
  namelessItems,
  observeHub,
  recordSightings,
} from './observe.ts';
import { beginPass, finishPass, takeOver, type PassRef } from './pass.ts';
import { bodiesOf, countSides, dirtyItems, findCanary, nextSeq, recordPlan } from './plan.ts';

/** Every function as its module documents it, bound to one database. */
export function createSyncStore(database: Database) {
  const bind =
    <Rest extends unknown[], Result>(call: (database: Database, ...rest: Rest) => Result) =>
    (...rest: Rest): Result =>
      call(database, ...rest);
  return {
    beginPass: bind(beginPass),
    takeOver: bind(takeOver),
    finishPass: bind(finishPass),
    observeHub: bind(observeHub),
    namelessItems: bind(namelessItems),
    nameItems: bind(nameItems),
    knownRemotes: bind(knownRemotes),
    recordSightings: bind(recordSightings),
    completeObservation: bind(completeObservation),
    dirtyItems: bind(dirtyItems),
    bodiesOf: bind(bodiesOf),
    recordPlan: bind(recordPlan),
    nextSeq: bind(nextSeq),
    countSides: bind(countSides),
    findCanary: bind(findCanary),
    claimOps: bind(claimOps),
    openIntents: bind(openIntents),
    settleOps: bind(settleOps),
    /** The link of a pass, with its remote cursor. Null when it was removed meanwhile. */
    async linkOfPass(ref: Pick<PassRef, 'tenant' | 'linkId'>) {
      const [row] = await database.withTenant(ref.tenant, (tx) =>
        tx.query<LinkRow>(
          `SELECT * FROM sync_links WHERE tenant_id = current_setting('app.tenant') AND id = $1`,
          [ref.linkId],
        ),
      );
      return row ? { link: linkOf(row), remoteCursor: row.remote_cursor } : null;
    },
  };
}

export type SyncStore = ReturnType<typeof createSyncStore>;
