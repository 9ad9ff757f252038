/** Counts what goes over the wire to Postgres, as the driver sees it: one query call, one round trip. */
import pg from 'pg';

export interface StatementCount {
  /** Round trips since the last call of `take`. */
  take(): number;
}

/** Starts counting in this whole process, for good: only a benchmark may do that. */
export function countStatements(): StatementCount {
  const prototype = pg.Client.prototype as unknown as Record<
    'query',
    (...args: unknown[]) => unknown
  >;
  const original = prototype.query;
  let count = 0;
  prototype.query = function counted(...args: unknown[]): unknown {
    count += 1;
    return original.apply(this, args);
  };
  return {
    take: () => {
      const taken = count;
      count = 0;
      return taken;
    },
  };
}
