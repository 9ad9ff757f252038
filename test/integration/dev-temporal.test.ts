import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startChild } from '../../dev/child.ts';
import { findTemporal } from '../../dev/find-temporal.ts';
import { choosePort } from '../../dev/ports.ts';
import { SEARCH_ATTRIBUTES } from '../../dev/search-attributes.ts';
import { checkTemporal, startTemporal } from '../../dev/temporal.ts';
import { waitUntil } from '../../dev/wait-until.ts';

let home: string;

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'syncline-temporal-'));
});

afterAll(() => {
  rmSync(home, { recursive: true, force: true });
});

const tell = (): void => undefined;

it('adds our search attributes to a database that an earlier version left without them', async () => {
  // As an earlier version would have started it: with one attribute only.
  const port = await choosePort(0);
  const file = join(home, 'older', 'temporal', 'temporal.db');
  const older = startChild({
    command: await findTemporal({ tell, mayInstall: false }),
    args: `server start-dev --headless --ip 127.0.0.1 --port ${port} --search-attribute TenantId=Keyword --db-filename`
      .split(' ')
      .concat(file),
    logFile: join(home, 'older', 'temporal', 'older.log'),
  });
  const isUp = async (): Promise<true | null> => {
    const health = await checkTemporal(`127.0.0.1:${port}`);
    return health.isHealthy ? true : null;
  };
  const givenUp = (): string | null => (older.hasEnded() ? older.logTail() : null);
  await waitUntil(isUp, { timeoutMs: 20_000, everyMs: 100, givenUp });
  await older.stop(10_000);

  const options = { preferredPort: 0, tell, mayInstall: false, isHeadless: true };
  const server = await startTemporal({ ...options, home: join(home, 'older') });
  try {
    const connection = await Connection.connect({ address: server.address });
    const answer = await connection.operatorService.listSearchAttributes({ namespace: 'default' });
    // A workflow that sets them is taken at once, not only after some cache has run out.
    await new Client({ connection }).workflow.start('nobodyRunsThis', {
      workflowId: 'indexed',
      taskQueue: 'nobody',
      typedSearchAttributes: [
        { key: defineSearchAttributeKey('LinkId', 'KEYWORD'), value: 'link' },
        { key: defineSearchAttributeKey('ConflictCount', 'INT'), value: 1 },
        { key: defineSearchAttributeKey('Paused', 'BOOL'), value: false },
      ],
    });
    await connection.close();
    expect(Object.keys(answer.customAttributes)).toEqual(
      expect.arrayContaining(Object.keys(SEARCH_ATTRIBUTES)),
    );
    expect((await server.health()).detail).toMatch(/^version \d/);
  } finally {
    await server.stop();
  }
});
