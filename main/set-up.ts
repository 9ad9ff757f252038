/** `syncline setup`: looks at the machine, brings the schema up to date, says what comes next. */
import { lookAround } from '../dev/look-around.ts';
import type { Config } from './config.ts';
import { migrate } from './migrate.ts';

/** Checks what can be checked without starting anything but the database. */
export async function setUp(
  config: Config,
  url: string,
): Promise<{ readonly value: unknown; readonly lines: readonly string[] }> {
  const done = await migrate(url);
  const { servers, freeBytes } = await lookAround({
    home: config.home,
    apiUrl: `http://${config.api.host}:${config.api.port}`,
    servers: {
      postgres: url,
      redis: config.redis.url?.reveal() ?? null,
      temporal: config.temporal.address,
    },
  });
  const named = servers.filter((server) => !server.isEmbedded);
  const unreachable = named.filter((server) => !server.isReachable);
  const value = {
    node: process.version,
    home: config.home,
    freeBytes,
    migrated: done,
    servers: named.map(({ server, isReachable }) => ({ server, isReachable })),
  };
  const schema = done.length === 0 ? 'was up to date' : `took ${done.length} migration(s)`;
  return {
    value,
    lines: [
      `Node ${process.version}; state in ${config.home}${freeText(freeBytes)}`,
      `Schema: ${schema}`,
      ...unreachable.map(
        ({ server, host, port }) =>
          `${server} is named at ${host}:${port}, and nothing answers there`,
      ),
      '',
      'Next:',
      '  syncline start                              everything that is missing is started too',
      `  http://${config.api.host}:${config.api.port}/api/context/docs        the API's pages`,
      '  syncline context put notes \'{"step":1}\'      a first context',
      '  syncline link add --help                    keep another system in step',
    ],
  };
}

function freeText(bytes: number | null): string {
  return bytes === null ? '' : `, ${(bytes / 1024 ** 3).toFixed(1)} GiB free`;
}
