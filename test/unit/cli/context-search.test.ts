import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ApiServer } from '../../../api/server.ts';
import type { ContextEnvelope } from '../../../domain/context.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import type { SearchAnswer, SearchQuery } from '../../../store/contract.ts';
import { runTestCli } from '../../support/cli-under-test.ts';
import { startTestApi, testApiDeps } from '../../support/api-under-test.ts';
import { createStoreDouble } from '../../support/store-double.ts';

const asked: SearchQuery[] = [];
let answer: SearchAnswer;
let api: ApiServer;

const NOTHING: SearchAnswer = {
  results: [],
  total: 0,
  totalIsExact: true,
  took: 3,
  nextCursor: null,
};

beforeAll(async () => {
  const store = createStoreDouble();
  store.search.search = async (_caller, query) => {
    asked.push(query);
    return answer;
  };
  api = await startTestApi(testApiDeps(store));
});
afterAll(() => api.stop(1000));
beforeEach(() => {
  asked.length = 0;
  answer = NOTHING;
});

const cli = (...args: string[]) =>
  runTestCli(['context', 'search', ...args], { environment: { url: api.url } });

describe('syncline context search', () => {
  it('asks with all its words and options', async () => {
    await cli(
      ...['what', 'is', 'new?', '--prefix', 'p/', '--tag', 'a', '--tag', 'b', '--session', 's'],
      ...['--agent', 'g', '--kind', 'memory', '--mode', 'hybrid', '--limit', '7'],
    );
    expect(asked).toMatchObject([
      {
        ...{ query: 'what is new?', prefix: 'p/', tags: ['a', 'b'], sessionId: 's' },
        ...{ agentId: 'g', kind: 'memory', mode: 'hybrid', limit: 7 },
      },
    ]);
  });

  it('prints what was found as plain text, how much, and how to go on', async () => {
    const hit = { ...envelope('p/a'), score: 2.345, scores: { text: 2.345, vector: null } };
    const highlight = '<mark>R&amp;D</mark> is &lt;b&gt; &quot;new&quot;';
    answer = { ...NOTHING, results: [{ ...hit, highlight }], total: 1_000, totalIsExact: false };
    answer = { ...answer, nextCursor: 'abc' };
    const { stdout, code } = await cli('r&d');
    expect(code).toBe(0);
    expect(stdout.split('\n').slice(1, 4)).toEqual([
      '2.35\tp/a\t3\t[R&D] is <b> "new"',
      'at least 1000 found in 3 ms.',
      'There are more: --cursor abc',
    ]);
  });

  it('tells how many contexts of a large sync cannot be found yet', async () => {
    answer = { ...NOTHING, pending: 2_100 };
    expect((await cli('x')).stdout).toBe(
      '2100 contexts of a sync cannot be found yet; try again in a moment.\nNothing found.\n',
    );
    expect(JSON.parse((await cli('x', '--json')).stdout)).toMatchObject({ pending: 2_100 });
  });

  it('says so when there is nothing, and prints the whole answer as JSON when asked', async () => {
    expect((await cli('x')).stdout).toBe('Nothing found.\n');
    expect(JSON.parse((await cli('x', '--json')).stdout)).toEqual(NOTHING);
  });

  it.each([
    ['no words', [], 2],
    ['a limit over 100', ['x', '--limit', '101'], 2],
    ['an unknown mode', ['x', '--mode', 'vector'], 1],
  ])('refuses %s', async (_name, args, code) => {
    expect((await cli(...args)).code).toBe(code);
    expect(asked).toEqual([]);
  });
});

function envelope(key: string): ContextEnvelope {
  return {
    key: key as ContextKey,
    version: 3,
    hash: 'h' as ContextEnvelope['hash'],
    ...{ kind: 'json', source: null, parentId: null, sessionId: null, agentId: null, tags: [] },
    ...{ metadata: {}, encrypted: false, compressed: false, size: 1, expiresAt: null },
    ...{ createdAt: '2026-11-01T00:00:00.000Z', createdBy: null },
    ...{ updatedAt: '2026-11-01T00:00:00.000Z', updatedBy: null },
  };
}
