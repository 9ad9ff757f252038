/** The engine's view of the store: one object over the functions of this folder. */
import type { Database } from '../database.ts';
import { linkOf, type LinkRow } from '../link-store.ts';
import { claimOps, openIntents, settleOps, type Settled } from './execute.ts';
import {
  completeObservation,
  knownRemotes,
  nameItems,
  namelessItems,
  observeHub,
  recordSightings,
} from './observe.ts';
import { beginPass, finishPass, takeOver, type PassRef } from './pass.ts';
import { bodiesOf, countSides, dirtyItems, findCanary, isCalm, recordPlan } from './plan.ts';

/**
 * Every function as its module documents it, bound to one database. `onCommitted` is called after a
 * settling that wrote the hub, so that the links which must look need not wait for the relay's poll.
 */
export function createSyncStore(database: Database, onCommitted: () => void) {
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
    isCalm: bind(isCalm),
    countSides: bind(countSides),
    findCanary: bind(findCanary),
    claimOps: bind(claimOps),
    openIntents: bind(openIntents),
    async settleOps(...args: Rest<typeof settleOps>): Promise<Settled> {
      const settled = await settleOps(database, ...args);
      if (settled.wroteHub) onCommitted();
      return settled;
    },
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
        ? { link: linkOf(row), remoteCursor: row.remote_cursor, hasOpenIntents: true }
        : null;
    },
  };
}

type Rest<Call> = Call extends (database: Database, ...rest: infer Others) => unknown
  ? Others
  : never;

export type SyncStore = ReturnType<typeof createSyncStore>;
