/**
 * Sends several statements to Postgres in one message, and so waits for it once. Postgres runs them in
 * order and passes over the rest when one fails (one `Sync` ends them all: "Extended Query" in its
 * manual), so a COMMIT at the end is only reached when everything before it went well.
 */
import pg from 'pg';

export interface Statement {
  readonly sql: string;
  readonly values?: readonly unknown[] | undefined;
  /**
   * Given to a statement that is read and planned once per connection instead of each time. Only for
   * one whose plan has no choice (it looks nothing up, or by nothing but a conflicting key): a plan
   * made for an empty table would be kept when the table is large. One name, one text.
   */
  readonly name?: string | undefined;
}

/**
 * The results, one per statement.
 * @throws what Postgres said of the first that failed
 */
export function sendTogether(
  client: pg.ClientBase,
  statements: readonly Statement[],
): Promise<pg.QueryResult[]> {
  return new Promise<pg.QueryResult[]>((resolve, reject) => {
    let unsent: Error | undefined;
    let sentOn: NamingConnection | undefined;
    // The driver already takes several results for one query, as of `SELECT 1; SELECT 2`.
    const all = new pg.Query('', [], (error, results: unknown) => {
      const fault = error ?? unsent;
      if (!fault)
        return resolve((Array.isArray(results) ? results : [results]) as pg.QueryResult[]);
      if (sentOn) doubtNames(sentOn, statements);
      reject(fault);
    });
    all.submit = (connection) => {
      sentOn = connection as NamingConnection;
      unsent = submitAll(sentOn, statements);
    };
    client.query(all);
  }).catch((error: unknown) => {
    // The driver's own trace ends at the socket.
    if (error instanceof Error) Error.captureStackTrace(error, sendTogether);
    throw error;
  });
}

/** Answers the fault of a value that cannot be sent; what comes after it is not sent either. */
function submitAll(
  connection: NamingConnection,
  statements: readonly Statement[],
): Error | undefined {
  let fault: Error | undefined;
  const open = withoutSync(connection);
  connection.stream.cork();
  try {
    for (const { sql, values = [], name } of statements) {
      if (name !== undefined) forgetDoubted(connection, name);
      const config = { text: sql, values: [...values], queryMode: 'extended', name };
      new pg.Query(config, (error) => (fault ??= error)).submit(open);
      if (fault) break;
    }
  } finally {
    connection.sync();
    connection.stream.uncork();
  }
  return fault;
}

/** The same connection to a query that would end its message by itself. */
function withoutSync(connection: pg.Connection): pg.Connection {
  return Object.create(connection, { sync: { value: () => undefined } }) as pg.Connection;
}

/** Where the driver keeps what it has given a name to; its types leave it out. */
interface NamingConnection extends pg.Connection {
  readonly submittedNamedStatements: Record<string, string | undefined>;
}

/** Names that Postgres may or may not know: their message failed somewhere. */
const doubted = new WeakMap<pg.Connection, Set<string>>();

function doubtNames(connection: NamingConnection, statements: readonly Statement[]): void {
  const names = doubted.get(connection) ?? new Set<string>();
  for (const { name } of statements) {
    if (name === undefined) continue;
    names.add(name);
    connection.submittedNamedStatements[name] = undefined;
  }
  doubted.set(connection, names);
}

/** Closing a name that does not exist is no error. */
function forgetDoubted(connection: NamingConnection, name: string): void {
  if (doubted.get(connection)?.delete(name)) connection.close({ type: 'S', name }, true);
}
