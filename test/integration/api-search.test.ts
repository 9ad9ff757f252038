import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContextClient } from '../../client/index.ts';
import { callApi, type TestAnswer } from '../support/api-under-test.ts';
import { startRealApi, type RealApi } from '../support/real-api.ts';

let api: RealApi;
let client: ContextClient;
beforeAll(async () => {
  api = await startRealApi();
  client = new ContextClient({ url: api.url });
  await client.store(
    'agent-conversation-123',
    { messages: ['We talked about the API design & its <limits>.'], state: { step: 1 } },
    { sessionId: 'session-456', agentId: 'agent-789', tags: ['conversation', 'important'] },
  );
  await client.store('notes/parser', { fn: 'parse_blocks', on: '2026-11-01', by: 'bob@x.com' });
  await client.store('notes/münchen', { text: 'Die Häuser in der Straße', zh: '我们讨论了设计' });
});
afterAll(async () => {
  client.close();
  await api.stop();
});

const post = (body: unknown): Promise<TestAnswer> =>
  callApi(api.url, 'POST /api/context/search', { body });

describe('POST /api/context/search', () => {
  it('answers the question of the seed with the context, why it was found, a total and a time', async () => {
    const { status, body } = await post({
      query: 'conversation about API design',
      options: { sessionId: 'session-456', limit: 20, offset: 0 },
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      total: 1,
      totalIsExact: true,
      took: expect.any(Number) as number,
      nextCursor: null,
      results: [
        {
          key: 'agent-conversation-123',
          version: 1,
          score: expect.any(Number) as number,
          scores: { text: expect.any(Number) as number, vector: null },
          highlight:
            'We talked about the <mark>API</mark> <mark>design</mark> &amp; its &lt;limits&gt;.',
          tags: ['conversation', 'important'],
          sessionId: 'session-456',
        },
      ],
    });
    expect(body['results']).not.toHaveProperty('0.data');
  });

  it.each([
    ['an identifier, whole', 'parse_blocks', 'notes/parser'],
    ['a part of an identifier', 'blocks', 'notes/parser'],
    ['a date', '2026-11-01', 'notes/parser'],
    ['an address', 'bob@x.com', 'notes/parser'],
    ['a part of a key', 'parser', 'notes/parser'],
    ['German without umlauts', 'hauser strasse', 'notes/münchen'],
    ['Chinese within a sentence', '讨论', 'notes/münchen'],
    ['a word of a key with an umlaut', 'Munchen', 'notes/münchen'],
    ['another form of an English word', 'designing', 'agent-conversation-123'],
  ])('finds %s', async (_name, query, key) => {
    const { results } = await client.search(query);
    expect(results.map((hit) => hit.key)).toEqual([key]);
  });

  it.each([
    ['no query', {}, '/query'],
    ['a query that is no text', { query: 1 }, '/query'],
    ['a query without end', { query: 'x'.repeat(10_001) }, '/query'],
    ['an unknown field', { query: '', filter: {} }, '/filter'],
    ['an unknown option', { query: '', options: { tag: 'x' } }, '/options/tag'],
    ['a limit over 100', { query: '', options: { limit: 101 } }, '/options/limit'],
    ['a limit of 0', { query: '', options: { limit: 0 } }, '/options/limit'],
    ['a negative offset', { query: '', options: { offset: -1 } }, '/options/offset'],
    [
      'an offset beyond what is ranked',
      { query: '', options: { offset: 1_001 } },
      '/options/offset',
    ],
    ['an unknown mode', { query: '', options: { mode: 'vector' } }, '/options/mode'],
    ['tags that are one text', { query: '', options: { tags: 'x' } }, '/options/tags'],
    [
      'an offset with a cursor',
      { query: '', options: { offset: 1, cursor: 'x' } },
      '/options/offset',
    ],
  ])('refuses %s and points at it', async (_name, body, pointer) => {
    const answer = await post(body);
    expect([answer.status, answer.body['code']]).toEqual([400, 'VALIDATION']);
    expect(answer.body['errors']).toMatchObject([{ pointer }]);
  });

  it.each([
    ['INVALID_CURSOR', { query: 'x', options: { cursor: 'nonsense' } }],
    ['SEARCH_MODE_UNAVAILABLE', { query: 'x', options: { mode: 'semantic' } }],
    ['INVALID_JSON', '{"query":"\\ud800"}'],
  ])('answers %s to what it cannot do', async (code, body) => {
    const answer = await post(body);
    expect([answer.status, answer.body['code']]).toEqual([400, code]);
  });

  it('takes the largest page, the longest query and no options at all', async () => {
    const long = 'design '.repeat(1_428).slice(0, 10_000);
    const { status, body } = await post({ query: long, options: { limit: 100, offset: 1_000 } });
    expect([status, body['results'], body['total']]).toEqual([200, [], 1]);
    expect((await post({ query: '' })).body['total']).toBe(3);
  });

  it('gives the client pages that lead from one to the next', async () => {
    const first = await client.search('', { limit: 2 });
    const second = await client.search('', { limit: 2, cursor: first.nextCursor! });
    const keys = [...first.results, ...second.results].map(({ key }) => key);
    expect(new Set(keys).size).toBe(3);
    expect(second.nextCursor).toBeNull();
  });
});
