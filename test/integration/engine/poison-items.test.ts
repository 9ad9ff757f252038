/**
 * An item that cannot be stored, named or explained is set aside by itself, with a reason people can
 * read; the others of its link flow (03-sync, "One run" 5).
 */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { mcpMemory } from '../../../connectors/mcp-memory/mcp-memory.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import type { JsonObject } from '../../../domain/json.ts';
import { createMemoryWorkspace, type MemoryWorkspace } from '../../conformance/memory-workspace.ts';
import { CALLER, createTestEngine, type TestEngine } from '../../support/engine.ts';
import { memory, openPairs, type Pair } from './pairs.ts';

const LONG = Array.from({ length: 9_000 }, (_, nth) => String.fromCharCode(97 + ((nth * 7) % 26)));
const CJK = Array.from({ length: 3_000 }, (_, nth) => String.fromCharCode(0x4e00 + nth * 3));
const POISON_NAMES: readonly (readonly [what: string, name: string, why: string])[] = [
  ['U+0000', 'L\u0000x', 'U+0000'],
  ['9,000 characters', LONG.join(''), '9000 bytes'],
  ['3,000 Chinese characters', CJK.join(''), '9000 bytes'],
  ['half of a surrogate pair', 'L\ud800', 'half of a surrogate pair'],
];

describe.each(['A', 'C'] as const)('a link to a remote of grade %s', (grade) => {
  let pairs: Awaited<ReturnType<typeof openPairs>>;
  let pair: Pair;
  beforeAll(async () => {
    pairs = await openPairs(grade);
  });
  afterAll(() => pairs.engine.close());
  beforeEach(async () => {
    pair = await pairs.pair();
    pair.remote.put(memory('Good'));
    await pair.put('fine', memory('Fine'));
  });

  const setAside = () => pairs.engine.store.links.quarantined(CALLER, pair.link.id);

  /** The good items are on both sides, and stay there look after look. */
  async function othersFlow(): Promise<void> {
    for (let nth = 0; nth < 3; nth += 1)
      expect(await pair.pass()).toMatchObject({ status: 'settled', error: null });
    expect(await pair.get('good')).toMatchObject({ name: 'Good' });
    expect(pair.remote.get('Fine')).toMatchObject({ name: 'Fine' });
  }

  it.each(POISON_NAMES)('sets aside a remote item whose name has %s', async (_what, name, why) => {
    pair.remote.put(memory(name));
    expect(await pair.pass()).toMatchObject({ status: 'settled', counters: { quarantined: 1 } });
    await othersFlow();
    const [item, ...more] = await setAside();
    expect(more).toEqual([]);
    expect(item).toMatchObject({ code: 'REMOTE_MALFORMED', retryAt: null });
    expect(item!.detail).toContain(why);
    expect(item!.remoteId).not.toContain('\0');
    expect(pair.remote.get(name)).not.toBeNull();
    pair.remote.remove(name);
    await othersFlow();
    expect(await setAside()).toEqual([]);
  });

  it.each(POISON_NAMES.slice(0, 3))(
    'sets aside a hub item whose name has %s',
    async (_what, name, why) => {
      await pair.put('poison', memory(name));
      expect(await pair.pass()).toMatchObject({ status: 'settled', counters: { quarantined: 1 } });
      await othersFlow();
      const [item] = await setAside();
      expect(item).toMatchObject({ key: pair.at('poison'), code: 'ITEM_INVALID' });
      expect(item!.detail).toContain(why);
    },
  );

  it('sets aside a hub item that is given such a name later', async () => {
    await pair.put('poison', memory('Harmless'));
    await othersFlow();
    await pair.put('poison', memory('L\u0000x'));
    await othersFlow();
    expect(await setAside()).toMatchObject([{ key: pair.at('poison'), code: 'ITEM_INVALID' }]);
    expect(pair.remote.get('Harmless')).not.toBeNull();
  });

  it('names the place of a fault though the place cannot be stored', async () => {
    await pair.put('poison', { ...memory('Poison'), 'e\u0000': 1 } as never);
    await othersFlow();
    expect((await setAside()).map(({ key }) => key)).toEqual([pair.at('poison')]);
  });

  it('sets aside half of a surrogate pair, which the API would refuse to take back', async () => {
    pair.remote.put(memory('Half', ['a', 'b\ud800c']));
    await othersFlow();
    expect(await setAside()).toMatchObject([
      { code: 'ITEM_INVALID', detail: expect.stringContaining('/observations/1') as string },
    ]);
    expect(await pair.get('half')).toBeNull();
    pair.remote.put(memory('Half', ['a', 'b']));
    await othersFlow();
    expect(await pair.get('half')).toMatchObject({ observations: ['a', 'b'] });
  });

  it('keeps a U+0000 within a text, which is no poison', async () => {
    pair.remote.put(memory('Zero', ['a\u0000b']));
    await othersFlow();
    expect(await pair.get('zero')).toMatchObject({ observations: ['a\u0000b'] });
    expect(await setAside()).toEqual([]);
  });

  it('opens a conflict at a member that cannot be stored', async () => {
    const document = (text: string): JsonObject => ({
      path: 'd.md',
      frontmatter: { 'k\u0000': text },
      text: 'same\n',
    });
    const store = (text: string) =>
      pairs.engine.store.contexts.store(CALLER, {
        key: pair.at('files/d.md'),
        data: document(text),
        options: { kind: 'document', ttl: null },
      });
    pair.remote.put(document('base'), 'document');
    await othersFlow();
    await store('hub');
    pair.remote.put(document('remote'), 'document');
    await othersFlow();
    const query = { linkId: pair.link.id, status: 'open' as const, limit: 10 };
    const { items } = await pairs.engine.store.conflicts.list(CALLER, query);
    expect(items).toMatchObject([{ pointers: ['/frontmatter/k\\u0000'] }]);
  });
});

describe('a link to a real MCP memory server', () => {
  let engine: TestEngine;
  let workspace: MemoryWorkspace;
  beforeAll(async () => {
    workspace = await createMemoryWorkspace();
    engine = await createTestEngine({
      types: [mcpMemory],
      fileRoots: [workspace.folder],
      stdioCommands: [workspace.config.command],
    });
  });
  afterAll(async () => {
    await engine.close();
    await workspace.remove();
  });

  it('sets aside the entities that cannot be stored, and takes the others', async () => {
    const names = ['Good', ...POISON_NAMES.map(([, name]) => name)];
    const rows = names.map((name) => ({
      type: 'entity',
      name,
      entityType: 'thing',
      observations: ['a'],
    }));
    const half = { type: 'entity', name: 'Half', entityType: 'thing', observations: ['a\ud800b'] };
    writeFileSync(workspace.file, [...rows, half].map((row) => JSON.stringify(row)).join('\n'));
    const { command, args } = workspace.config;
    const config = { command, args: args!, memoryFile: workspace.file };
    const link = await engine.addLink('mcp-memory', config, { scope: { prefix: 'm/' } });
    for (let nth = 0; nth < 2; nth += 1)
      expect(await engine.pass(link)).toMatchObject({ status: 'settled', error: null });
    const good = await engine.store.contexts.get(CALLER, 'm/good' as ContextKey);
    expect(good?.data).toMatchObject({ observations: ['a'] });
    const set = await engine.store.links.quarantined(CALLER, link.id);
    expect(set.map(({ code }) => code).sort()).toEqual([
      'ITEM_INVALID',
      ...POISON_NAMES.map(() => 'REMOTE_MALFORMED'),
    ]);
  });
});
