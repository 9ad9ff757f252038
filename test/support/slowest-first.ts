/**
 * The order of the test files: those that take long first, so that none of them is left over when
 * the others are done; then the rest, larger files first as vitest does it.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files of ten seconds and more, the longest first. */
const SLOWEST = [
  'test/statemachine/engine.test.ts',
  'test/kill/kill-points.test.ts',
  'test/e2e/outages.test.ts',
  'test/e2e/kill.test.ts',
  'test/load/kill-while-writing.test.ts',
  'test/model/one-item.test.ts',
  'test/integration/engine/quarantine.test.ts',
  'test/load/malformed-requests.test.ts',
  'test/integration/start-without-servers.test.ts',
  'test/e2e/',
  'test/integration/mcp-memory',
  'test/integration/dev-',
  'test/conformance/mcp-memory.test.ts',
  'test/integration/store/replica.test.ts',
  'test/integration/run-role.test.ts',
  'test/load/',
  'test/integration/engine/',
  'test/workflows/',
];

export class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const others = await super.sort(files);
    // Array.sort keeps the order of what is equal.
    return others.sort((a, b) => rankOf(a) - rankOf(b));
  }
}

/** Isolated files come before the others: a process is only kept while its next file shares it. */
function rankOf({ moduleId, project }: TestSpecification): number {
  const rank = SLOWEST.findIndex((path) => moduleId.includes(`/${path}`));
  if (!project.config.isolate) return SLOWEST.length + 1;
  return rank === -1 ? SLOWEST.length : rank;
}
