/**
 * One connection that sees every row of every tenant, for backups and restores. Row-level security
 * is not hidden behind: a user it would keep rows from is refused, and no row is left out in silence.
 */
import pg from 'pg';
import { AppError, messageOf } from '../../domain/errors.ts';
import type { Transaction } from '../database.ts';

export interface AdminConnection extends Transaction {
  /** Begins its only transaction; `mode` as SQL has it. */
  begin(mode?: string): Promise<void>;
  /** Never rejects. */
  close(): Promise<void>;
}

// Values are read and written as text, which must not depend on how somebody set up the server. LOCAL:
// all clients of the embedded Postgres share one session, and what is set there is set for all.
const SETTINGS = `
SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres';
SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = 0; SET LOCAL row_security = off; SET LOCAL search_path = DEFAULT`;

const SEES_ALL = `
SELECT rolsuper OR rolbypassrls AS "seesAll", rolname AS name FROM pg_roles WHERE rolname = current_user`;

/** Connects. @throws AppError UNAVAILABLE, FORBIDDEN (the user may not see every tenant's rows); its queries FORBIDDEN, too */
export async function connectAsAdmin(url: string): Promise<AdminConnection> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  // A connection that breaks fails the statement under way; nobody else must hear of it.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    await client.end().catch(() => undefined);
    throw new AppError('UNAVAILABLE', `Postgres cannot be used: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const connection = connectionOf(client);
  const [user] = await connection.query<{ seesAll: boolean; name: string }>(SEES_ALL);
  if (user?.seesAll) return connection;
  await connection.close();
  throw new AppError(
    'FORBIDDEN',
    `the database user ${user?.name ?? ''} may not see every tenant's rows; use a superuser, or \`ALTER ROLE … BYPASSRLS\``,
  );
}

/** SQLSTATE insufficient_privilege. */
const NOT_PERMITTED = '42501';

function translate(error: unknown): unknown {
  if (!(error instanceof pg.DatabaseError) || error.code !== NOT_PERMITTED) return error;
  return new AppError(
    'FORBIDDEN',
    `the database user may not do this (${error.message}); a backup needs to read every table (\`GRANT pg_read_all_data TO …\`), a restore to own the database`,
    { cause: error },
  );
}

function connectionOf(client: pg.Client): AdminConnection {
  return {
    begin: async (mode = '') => {
      await client.query(`BEGIN ${mode}; ${SETTINGS}`);
    },
    query: async <Row extends object>(sql: string, values?: readonly unknown[]) => {
      // Several statements in one text answer a list.
      const answer = (await client
        .query<Row>(sql, values as unknown[] | undefined)
        .catch((error: unknown) => {
          throw translate(error);
        })) as pg.QueryResult<Row> | pg.QueryResult<Row>[];
      return Array.isArray(answer) ? (answer.at(-1)?.rows ?? []) : answer.rows;
    },
    close: async () => {
      await client.end().catch(() => undefined);
    },
  };
}
