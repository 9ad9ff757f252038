/**
 * A remote that is put back to exactly what it was before our write (`git checkout`, an editor's
 * undo). Where the cursor is a hash of what the last look saw, it says "unchanged"; the link must
 * not believe it.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { claudeCode } from '../../../connectors/claude-code/claude-code.ts';
import { factoryFiles } from '../../../connectors/factory-files/factory-files.ts';
import { mcpMemory } from '../../../connectors/mcp-memory/mcp-memory.ts';
import type { ContextKey } from '../../../domain/ids.ts';
import { itemKey, memorySchema } from '../../../domain/item.ts';
import type { Json } from '../../../domain/json.ts';
import { DEFAULT_GUARDS, type Link } from '../../../domain/link.ts';
import {
  createMemoryWorkspace,
  startForeignMemory,
  type ForeignMemory,
  type MemoryWorkspace,
} from '../../conformance/memory-workspace.ts';
import { CALLER, createTestEngine, TENANT, type TestEngine } from '../../support/engine.ts';
import { memory, openPairs } from './pairs.ts';

const NO_GUARDS = { ...DEFAULT_GUARDS, emptySide: false, allChanged: false };

describe('files that are put back to what they were before our write', () => {
  let engine: TestEngine;
  let home: string;
  let count = 0;
  let root: string;
  let prefix: string;

  beforeAll(async () => {
    home = realpathSync(mkdtempSync(join(tmpdir(), 'put-back-')));
    engine = await createTestEngine({ types: [claudeCode, factoryFiles], fileRoots: [home] });
  });
  afterAll(async () => {
    await engine.close();
    rmSync(home, { recursive: true, force: true });
  });
  beforeEach(() => {
    count += 1;
    prefix = `case${count}/`;
    root = join(home, `case-${count}`);
    mkdirSync(join(root, '.factory/rules'), { recursive: true });
  });

  const at = (path: string): string => join(root, path);
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), text);
  };
  const inHub = async (key: ContextKey): Promise<Json> =>
    (await engine.store.contexts.get(CALLER, key))?.data ?? null;
  const store = (key: ContextKey, data: Json, kind = 'memory') =>
    engine.store.contexts.store(CALLER, { key, data, options: { kind, ttl: null } });

  async function settled(link: Link): Promise<void> {
    for (let nth = 0; nth < 6; nth += 1) {
      const { status, counters } = await engine.drain(link);
      expect(status).toBe('settled');
      if (counters.planned === 0) return;
    }
    throw new Error('the link never came to rest');
  }

  async function addObservation(key: ContextKey, text: string): Promise<void> {
    const was = memorySchema.parse(await inHub(key));
    await store(key, { ...was, observations: [...was.observations, text] });
  }

  const LINKS = {
    'factory-files': { file: '.factory/memories.md', text: '# M\n\n## A\n\n- a\n', name: 'A' },
    'claude-code': { file: 'memory/a-note.md', text: '- a\n', name: 'a-note' },
  } as const;
  const add = (connector: keyof typeof LINKS): Promise<Link> => {
    const more = connector === 'claude-code' ? { memoryDir: at('memory') } : {};
    return engine.addLink(connector, { root, ...more }, { scope: { prefix }, guards: NO_GUARDS });
  };

  it.each(['factory-files', 'claude-code'] as const)(
    'takes the old text of a %s file for the edit it is',
    async (connector) => {
      const { file, text, name } = LINKS[connector];
      write(file, text);
      const link = await add(connector);
      await settled(link);
      const key = itemKey(prefix, 'memory', name);
      await addObservation(key, 'b');
      expect(await engine.pass(link)).toMatchObject({ counters: { applied: 1 } });
      expect(readFileSync(at(file), 'utf8')).toContain('b');
      write(file, text);
      await settled(link);
      expect(readFileSync(at(file), 'utf8')).toBe(text);
      expect(await inHub(key)).toMatchObject({ observations: ['a'] });
    },
  );

  it('deletes in the hub the document that was deleted right after we had written it', async () => {
    write('.factory/rules/style.md', 'Tabs.\n');
    const config = { root, include: ['memories', 'rules'] };
    const link = await engine.addLink('factory-files', config, {
      scope: { prefix },
      guards: NO_GUARDS,
    });
    await settled(link);
    const path = '.factory/rules/new.md';
    const key = itemKey(prefix, 'document', path);
    await store(key, { path, frontmatter: {}, text: 'New.\n' }, 'document');
    expect(await engine.pass(link)).toMatchObject({ counters: { applied: 1 } });
    expect(existsSync(at(path))).toBe(true);
    unlinkSync(at(path));
    await settled(link);
    expect(await inHub(key)).toBeNull();
    expect(existsSync(at(path))).toBe(false);
  });

  it('looks once more after its own write, records no run for that, and is quiet from then on', async () => {
    write('.factory/memories.md', LINKS['factory-files'].text);
    const link = await add('factory-files');
    await settled(link);
    await addObservation(itemKey(prefix, 'memory', 'A'), 'b');
    await engine.pass(link);
    const runs = async (): Promise<number> =>
      (await engine.store.runs.list(CALLER, { linkId: link.id, limit: 100 })).items.length;
    const recorded = await runs();
    expect(await isDoubted(link)).toBe(true);
    expect(await engine.pass(link)).toMatchObject({ counters: { observed: 1, planned: 0 } });
    expect(await isDoubted(link)).toBe(false);
    expect(await engine.pass(link)).toMatchObject({ counters: { observed: 0, planned: 0 } });
    expect(await runs()).toBe(recorded);
  });

  it('is woken by the pulse for the look after its own write', async () => {
    write('.factory/memories.md', LINKS['factory-files'].text);
    const link = await add('factory-files');
    await settled(link);
    await addObservation(itemKey(prefix, 'memory', 'A'), 'b');
    await engine.pass(link);
    const due = async () => {
      await engine.admin.query(
        `UPDATE context_system.sync_links SET next_due_at = now(), whole_due_at = now() + interval '1 h'
         WHERE id = $1`,
        [link.id],
      );
      const links = await engine.store.sweeps.takeDueLinks({ limit: 100, maxLive: 100 });
      return links.find(({ linkId }) => linkId === link.id);
    };
    expect(await due()).toMatchObject({ tenant: TENANT, hasWork: true });
    await engine.pass(link);
    await engine.pass(link);
    expect(await due()).toMatchObject({ hasWork: false });
  });

  async function isDoubted(link: Link): Promise<boolean> {
    const { rows } = await engine.admin.query<{ cursor_doubted: boolean }>(
      'SELECT cursor_doubted FROM context_system.sync_links WHERE id = $1',
      [link.id],
    );
    return rows[0]!.cursor_doubted;
  }
});

describe('an MCP memory server that is put back to what it was before our write', () => {
  let engine: TestEngine;
  let workspace: MemoryWorkspace;
  let foreign: ForeignMemory;

  beforeAll(async () => {
    workspace = await createMemoryWorkspace();
    const { command } = workspace.config;
    engine = await createTestEngine({
      types: [mcpMemory],
      fileRoots: [dirname(workspace.file)],
      stdioCommands: [command],
    });
    foreign = await startForeignMemory(workspace);
  });
  afterAll(async () => {
    await foreign.close();
    await engine.close();
    await workspace.remove();
  });

  it('takes the old graph for the edit it is', async () => {
    const before = memory('A', ['a']);
    await foreign.put(before);
    await foreign.put(memory('Other', ['o']));
    const text = readFileSync(workspace.file, 'utf8');
    const link = await engine.addLink(
      'mcp-memory',
      {
        command: workspace.config.command,
        args: workspace.config.args!,
        memoryFile: workspace.file,
      },
      { scope: { prefix: 'm/' }, guards: NO_GUARDS },
    );
    await engine.drain(link);
    const key = itemKey('m/', 'memory', 'A');
    const data = { ...before, observations: ['a', 'b'] };
    await engine.store.contexts.store(CALLER, {
      key,
      data,
      options: { kind: 'memory', ttl: null },
    });
    expect(await engine.pass(link)).toMatchObject({ counters: { applied: 1 } });
    writeFileSync(workspace.file, text);
    for (let nth = 0; nth < 3; nth += 1) await engine.drain(link);
    expect((await engine.store.contexts.get(CALLER, key))?.data).toMatchObject({
      observations: ['a'],
    });
  });
});

describe.each(['B', 'C'] as const)('a remote of grade %s without revisions', (grade) => {
  let pairs: Awaited<ReturnType<typeof openPairs>>;
  beforeAll(async () => {
    pairs = await openPairs(grade);
  });
  afterAll(() => pairs.engine.close());

  const names = ['Alice', 'Bob', 'Carol', 'Dave', 'Eve'];

  it('is looked at again when a listing broke off, though it is back to what it was', async () => {
    const { remote, sync, pass, sides } = await pairs.pair(
      { guards: NO_GUARDS },
      { versions: 'hashed', pageSize: 2 },
    );
    for (const name of names) remote.put(memory(name));
    await sync();
    remote.put(memory('Alice', ['for a moment']));
    remote.inject({ kind: 'truncated', on: 'observe', skip: 1 });
    expect(await pass()).toMatchObject({ status: 'failed', error: { code: 'SCAN_INCOMPLETE' } });
    remote.put(memory('Alice'));
    for (let nth = 0; nth < 3; nth += 1) await sync();
    const { hub, remote: there } = await sides();
    expect(Object.values(hub)).toEqual(Object.values(there));
    expect(there).toMatchObject({ Alice: { observations: ['about Alice'] } });
  });

  it('keeps what was out of sight for one look only, whatever else changed with it', async () => {
    const { remote, sync, pass, sides } = await pairs.pair(
      { guards: NO_GUARDS },
      { versions: 'hashed' },
    );
    for (const name of names) remote.put(memory(name));
    await sync();
    remote.put(memory('Alice', ['for a moment']));
    remote.remove('Bob');
    await pass();
    remote.put(memory('Alice'));
    remote.put(memory('Bob'));
    for (let nth = 0; nth < 3; nth += 1) await sync();
    const { hub, remote: there } = await sides();
    expect(Object.values(hub)).toEqual(Object.values(there));
    expect(Object.keys(there).sort()).toEqual(names);
  });
});
