/**
 * Workflows under way survive a deployment only if the new code takes the same steps on the old
 * history. These were recorded by record.ts; no server is needed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { beforeAll, describe, expect, it } from 'vitest';
import { builtWorkflows } from '../support/product-build.ts';

const FOLDER = join(import.meta.dirname, 'histories');
const NAMES = readdirSync(FOLDER).map((file) => file.replace(/\.json$/, ''));

interface RecordedHistory {
  events: Record<string, unknown>[];
}

let codePath: string;

beforeAll(async () => {
  // A replay that fails says so by throwing; what it logs besides is noise.
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => undefined),
    telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
  });
  codePath = await builtWorkflows();
}, 60_000);

const recorded = (name: string): RecordedHistory =>
  JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8')) as RecordedHistory;

const replay = (history: RecordedHistory): Promise<void> =>
  Worker.runReplayHistory({ workflowBundle: { codePath } }, history);

describe('today’s workflows replay the recorded history', () => {
  it.each(NAMES)('%s', async (name) => {
    await replay(recorded(name));
  });
});

it('covers the ways a pass can go', () => {
  expect(NAMES).toEqual(
    expect.arrayContaining([
      'idle',
      'two-way-change',
      'conflict',
      'parked',
      'approved',
      'failed',
      'pulse',
    ]),
  );
});

it('notices a history another workflow would have made', async () => {
  const { events } = recorded('baseline');
  const other = JSON.stringify({ events }).replaceAll('"name":"observe"', '"name":"look"');
  expect(other).toContain('"name":"look"');
  await expect(replay(JSON.parse(other) as RecordedHistory)).rejects.toThrow(
    DeterminismViolationError,
  );
});
