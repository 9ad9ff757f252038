import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppError } from '../../../domain/errors.ts';
import type { TenantId } from '../../../domain/ids.ts';
import {
  createDatabase,
  type Database,
  type OpenTransaction,
  type Transaction,
} from '../../../store/database.ts';
import { CALLER, TENANT } from '../../support/engine.ts';
import { hasRealPostgres } from '../../support/servers.ts';
import { asKey, codeOf, openStore, put, type StoreUnderTest } from './store-under-test.ts';

let under: StoreUnderTest;
beforeAll(async () => {
  under = await openStore();
});
afterAll(() => under.close());

const inTenant = <T>(work: (tx: OpenTransaction) => Promise<T>): Promise<T> =>
  under.database.withTenant(TENANT, work);
const AUDIT = `INSERT INTO audit (tenant_id, action, target) VALUES (current_setting('app.tenant'), $1, 'x')`;
function circular(): object {
  const value: { self?: object } = {};
  value.self = value;
  return value;
}
const audited = async (action: string): Promise<number> =>
  (await under.admin('SELECT 1 FROM audit WHERE action = $1', [action])).length;

describe('a transaction', () => {
  it('keeps all of its writes or none', async () => {
    await inTenant((tx) => tx.query(AUDIT, ['kept']));
    const failing = inTenant(async (tx) => {
      await tx.query(AUDIT, ['lost']);
      throw new AppError('VALIDATION', 'no');
    });
    expect(await codeOf(failing)).toBe('VALIDATION');
    expect([await audited('kept'), await audited('lost')]).toEqual([1, 0]);
  });

  it('is never called done when a statement in it failed, even if its work swallowed the error', async () => {
    const swallowing = inTenant(async (tx) => {
      await tx.query(AUDIT, ['swallowed']);
      await tx.query('SELECT no_such_column').catch(() => undefined);
    });
    await expect(swallowing).rejects.toThrow(/rolled back/);
    expect(await audited('swallowed')).toBe(0);
  });

  it('is not called done either when COMMIT comes with its last statements, and is over then', async () => {
    const swallow = async (tx: OpenTransaction): Promise<void> => {
      await tx.query(AUDIT, ['gone']);
      await tx.query('SELECT no_such_column').catch(() => undefined);
    };
    const swallowing = inTenant(async (tx) => {
      await swallow(tx);
      await tx.commitWith([]);
    });
    await expect(swallowing).rejects.toThrow(/rolled back/);
    const goingOn = inTenant(async (tx) => {
      await swallow(tx);
      await tx.commitWith([]).catch(() => undefined);
      await tx.query(AUDIT, ['gone']);
    });
    await expect(goingOn).rejects.toThrow(/rolled back/);
    expect(await audited('gone')).toBe(0);
  });

  it('is committed by the message of its last statements, all of them or none', async () => {
    const both = (first: string, second: string) =>
      inTenant((tx) =>
        tx.commitWith([
          { sql: AUDIT, values: [first] },
          { sql: 'SELECT 1 / length($1) AS one', values: [second] },
        ]),
      );
    expect(await both('ended', 'x')).toEqual([[], [{ one: 1 }]]);
    await expect(both('undone', '')).rejects.toThrow('division by zero');
    const unsendable = inTenant((tx) =>
      tx.commitWith([
        { sql: AUDIT, values: ['unsent'] },
        { sql: AUDIT, values: [circular()] },
      ]),
    );
    await expect(unsendable).rejects.toThrow(/circular/i);
    const counts = ['ended', 'undone', 'unsent'].map(audited);
    expect(await Promise.all(counts)).toEqual([1, 0, 0]);
  });

  it('takes nothing more when its last statements were sent, and is not run again', async () => {
    let tries = 0;
    const going = inTenant(async (tx) => {
      tries += 1;
      await tx.commitWith([{ sql: AUDIT, values: ['once'] }]);
      await tx.query(AUDIT, ['outside']);
    });
    expect(await codeOf(going)).toBe('INTERNAL');
    const late = inTenant(async (tx) => {
      tries += 1;
      await tx.commitWith([{ sql: AUDIT, values: ['once'] }]);
      throw new AppError('VERSION_CONFLICT', 'too late', { retryable: true });
    });
    expect(await codeOf(late)).toBe('INTERNAL');
    expect(tries).toBe(2);
    expect([await audited('once'), await audited('outside')]).toEqual([2, 0]);
  });

  it('goes on with named statements after a message that failed before, in or after them', async () => {
    const database = createDatabase({ url: under.url, poolMin: 0, poolMax: 1 });
    const named = { sql: 'SELECT 10 / $1::int AS part', name: 'part' };
    const fails = { sql: `SELECT 'x'::int` };
    const parts = (...statements: Parameters<OpenTransaction['queryAll']>[0]) =>
      database.withTenant(TENANT, (tx) => tx.commitWith(statements));
    try {
      for (const values of [[1], [circular()], [0], [2]] as const) {
        const before = parts(fails, { ...named, values });
        await expect(before).rejects.toThrow(/invalid input syntax/);
        await expect(parts({ ...named, values }, fails)).rejects.toThrow();
        expect(await parts({ ...named, values: [5] })).toEqual([[{ part: 2 }]]);
      }
      await expect(parts({ ...named, values: [0] })).rejects.toThrow('division by zero');
      expect(await parts({ ...named, values: [2] })).toEqual([[{ part: 5 }]]);
    } finally {
      await database.close();
    }
  });

  // PGlite is one session for all connections: it shows the names of the others, too.
  it.skipIf(!hasRealPostgres())(
    'leaves no name behind on a connection that is somebody else’s',
    async () => {
      const database = createDatabase({ url: under.url, poolMin: 0, poolMax: 1, isPooled: false });
      try {
        const [names] = await database.withTenant(TENANT, (tx) =>
          tx.queryAll([
            { sql: 'SELECT name FROM pg_prepared_statements' },
            { sql: 'SELECT 1', name: 'one' },
          ]),
        );
        expect(names).toEqual([]);
      } finally {
        await database.close();
      }
    },
  );

  it('sees one tenant only in every message, and leaves nothing of it to the next', async () => {
    const who = {
      sql: `SELECT current_user AS role, current_setting('app.tenant') AS tenant`,
    };
    const database = createDatabase({ url: under.url, poolMin: 0, poolMax: 1 });
    try {
      for (const tenant of ['one', 'two'] as TenantId[]) {
        const all = await database.withTenant(tenant, async (tx) => [
          ...(await tx.queryAll([who, who])).flat(),
          ...(await tx.query(who.sql)),
          ...(await tx.commitWith([who])).flat(),
        ]);
        expect(all).toEqual(Array(4).fill({ role: 'syncline_app', tenant }));
      }
      await expect(
        database.withTenant('three' as TenantId, (tx) => tx.query('SELECT nothing')),
      ).rejects.toThrow(/nothing/);
      await database.ping();
      expect(await database.withSystem((tx) => tx.query(who.sql))).toEqual([
        { role: 'syncline_system', tenant: '' },
      ]);
    } finally {
      await database.close();
    }
  });

  it('cannot be entered with a tenant that is SQL', async () => {
    const nasty = `x'; RESET ROLE; SET app.tenant = 'default` as TenantId;
    const [row] = await under.database.withTenant(nasty, (tx) =>
      tx.query(`SELECT current_user AS role, current_setting('app.tenant') AS tenant`),
    );
    expect(row).toEqual({ role: 'syncline_app', tenant: nasty });
  });

  it('is tried again when it only lost a race, at most four times', async () => {
    let tries = 0;
    const work = async (): Promise<string> => {
      tries += 1;
      if (tries < 3) throw new AppError('VERSION_CONFLICT', 'lost', { retryable: true });
      return 'done';
    };
    expect(await inTenant(work)).toBe('done');
    expect(tries).toBe(3);
    tries = -100;
    const failed = codeOf(inTenant(work));
    expect(await failed).toBe('VERSION_CONFLICT');
    expect(tries).toBe(-96);
  });

  it.skipIf(!hasRealPostgres())(
    'survives a deadlock: both of two that locked crosswise finish',
    async () => {
      await put(under, CALLER, 'dead/a', 1);
      await put(under, CALLER, 'dead/b', 1);
      const lock = (tx: Transaction, key: string) =>
        tx.query(`SELECT 1 FROM contexts WHERE tenant_id = 'default' AND key = $1 FOR UPDATE`, [
          asKey(key),
        ]);
      let waiting = 2;
      let open: () => void = () => undefined;
      const bothHoldOne = new Promise<void>((resolve) => (open = resolve));
      const crossing = (first: string, second: string) =>
        inTenant(async (tx) => {
          await lock(tx, first);
          waiting -= 1;
          if (waiting <= 0) open();
          await bothHoldOne;
          await lock(tx, second);
          return first;
        });
      const done = await Promise.all([crossing('dead/a', 'dead/b'), crossing('dead/b', 'dead/a')]);
      expect(done).toEqual(['dead/a', 'dead/b']);
    },
  );
});

describe('a Postgres that does not answer', () => {
  it('is told as UNAVAILABLE, by calls and by ping', async () => {
    const url = 'postgres://postgres@127.0.0.1:1/none';
    const database = createDatabase({ url, poolMin: 0, poolMax: 1 });
    try {
      expect(await codeOf(database.ping())).toBe('UNAVAILABLE');
      expect(await codeOf(database.withTenant(TENANT, (tx) => tx.query('SELECT 1')))).toBe(
        'UNAVAILABLE',
      );
    } finally {
      await database.close();
    }
  });

  it('is told as UNAVAILABLE when all connections are taken for too long', async () => {
    const database = createDatabase({
      url: under.url,
      poolMin: 0,
      poolMax: 1,
      acquireTimeoutMs: 50,
    });
    try {
      const nested = database.withTenant(TENANT, () =>
        database.withTenant(TENANT, (tx) => tx.query('SELECT 1')),
      );
      await expect(nested).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    } finally {
      await database.close();
    }
  });

  it.skipIf(!hasRealPostgres())(
    'is forgotten as soon as it is back: the next call opens a new connection',
    async () => {
      const seen: Error[] = [];
      const database = createDatabase({ url: under.url, poolMin: 0, poolMax: 1 }, (error) =>
        seen.push(error),
      );
      try {
        const [row] = await database.withTenant(TENANT, (tx) =>
          tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid'),
        );
        await under.admin('SELECT pg_terminate_backend($1)', [row!.pid]);
        const answer = () =>
          database.withTenant(TENANT, (tx) => tx.query('SELECT 1 AS one')).catch(() => null);
        await expect.poll(answer).toEqual([{ one: 1 }]);
      } finally {
        await database.close();
      }
    },
  );
});

describe('settings of the pool', () => {
  const jitOf = (database: Database) =>
    database.withTenant(TENANT, (tx) => tx.query<{ jit: string }>('SHOW jit'));

  it('short plans: the just-in-time compiler stays out of our transactions', async () => {
    const database = createDatabase({
      url: under.url,
      poolMin: 0,
      poolMax: 1,
      hasShortPlans: true,
    });
    try {
      expect(await jitOf(database)).toEqual([{ jit: 'off' }]);
    } finally {
      await database.close();
    }
  });

  it('without pooling no connection outlives its transaction', async () => {
    const open = async (isPooled: boolean): Promise<number> => {
      const database = createDatabase({ url: under.url, poolMin: 0, poolMax: 2, isPooled });
      try {
        await database.ping();
        await database.withTenant(TENANT, (tx) => tx.query('SELECT 1'));
        return database.pools()['primary']!.total;
      } finally {
        await database.close();
      }
    };
    expect(await open(true)).toBe(1);
    expect(await open(false)).toBe(0);
  });

  it('tells how many callers wait for a connection', async () => {
    const database = createDatabase({ url: under.url, poolMin: 0, poolMax: 1 });
    try {
      const waiting = await database.withTenant(TENANT, async (tx) => {
        await tx.query('SELECT 1');
        const others = [database.ping(), database.ping()];
        const { primary } = database.pools();
        return { others, primary };
      });
      expect(waiting.primary).toEqual({ total: 1, idle: 0, waiting: 2 });
      await Promise.all(waiting.others);
    } finally {
      await database.close();
    }
  });

  it('without a replica, reads that may be old are read from the primary', async () => {
    const [row] = await under.database.withTenantRead(TENANT, { mayBeStale: true }, (tx) =>
      tx.query<{ one: number }>('SELECT 1 AS one'),
    );
    expect(row).toEqual({ one: 1 });
  });
});
