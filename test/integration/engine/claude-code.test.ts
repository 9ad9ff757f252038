import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { claudeCode } from '../../../connectors/claude-code/claude-code.ts';
import { factoryFiles } from '../../../connectors/factory-files/factory-files.ts';
import { itemKey } from '../../../domain/item.ts';
import type { Link } from '../../../domain/link.ts';
import { CALLER, createTestEngine, type TestEngine } from '../../support/engine.ts';

describe('a Claude Code project and a Factory project under one prefix', () => {
  let engine: TestEngine;
  let home: string;
  let claude: Link;
  let factory: Link;
  let count = 0;
  let folder: string;
  let prefix: string;

  beforeAll(async () => {
    home = realpathSync(mkdtempSync(join(tmpdir(), 'claude-engine-')));
    engine = await createTestEngine({ types: [claudeCode, factoryFiles], fileRoots: [home] });
  });
  afterAll(async () => {
    await engine.close();
    rmSync(home, { recursive: true, force: true });
  });
  beforeEach(async () => {
    count += 1;
    folder = join(home, `case-${count}`);
    prefix = `case${count}/`;
    for (const name of ['claude/.claude/rules', 'memory', 'factory/.factory'])
      mkdirSync(join(folder, name), { recursive: true });
    const scope = { prefix };
    const config = { root: join(folder, 'claude'), memoryDir: join(folder, 'memory') };
    claude = await engine.addLink('claude-code', config, { scope });
    factory = await engine.addLink('factory-files', { root: join(folder, 'factory') }, { scope });
  });

  const at = (path: string): string => join(folder, path);
  const read = (path: string): string => readFileSync(at(path), 'utf8');
  const write = (path: string, text: string): void => writeFileSync(at(path), text);
  const inHub = async (name: string) =>
    (await engine.store.contexts.get(CALLER, itemKey(prefix, 'memory', name)))?.data ?? null;

  /** Both links, until neither has anything to do. */
  async function settle(): Promise<void> {
    for (let round = 0; round < 6; round += 1) {
      const results = [await engine.drain(claude), await engine.drain(factory)];
      for (const result of results)
        expect(result).toMatchObject({ status: 'settled', error: null });
      if (results.every(({ counters }) => counters.planned === 0)) return;
    }
    throw new Error('the links never came to rest');
  }

  const NOTE = `---
name: build-commands
description: How this project is built
metadata:
  node_type: memory
  type: project
---

Use **pnpm**, not npm.

- \`pnpm test\` runs everything
`;
  const INDEX = '# Memory\n\n- [Build commands](build-commands.md) — pnpm, test\n';

  it('brings notes into sections, and sections into notes with a line in the index', async () => {
    write('memory/build-commands.md', NOTE);
    write('memory/MEMORY.md', INDEX);
    write('factory/.factory/memories.md', '# Memories\n\n## Preferences\n\n- British English\n');
    await settle();
    expect(read('factory/.factory/memories.md')).toBe(
      '# Memories\n\n## Preferences\n\n- British English\n\n<!-- syncline:begin -->\n\n' +
        '## build-commands\n\n- type:: project\n- Use **pnpm**, not npm.\n' +
        '- `pnpm test` runs everything\n\n<!-- syncline:end -->\n',
    );
    expect(read('memory/preferences.md')).toBe(
      '---\nname: Preferences\nmetadata:\n  node_type: memory\n---\n\n- British English\n',
    );
    expect(read('memory/MEMORY.md')).toBe(`${INDEX}- [Preferences](preferences.md)\n`);
    expect(read('memory/build-commands.md')).toBe(NOTE);
  });

  it('carries an edit of either side to the other, and touches nothing else', async () => {
    write('memory/build-commands.md', NOTE);
    write('memory/MEMORY.md', INDEX);
    await settle();
    write('memory/build-commands.md', `${NOTE}- \`pnpm lint\` too\n`);
    await settle();
    expect(read('factory/.factory/memories.md')).toContain('- `pnpm lint` too\n');
    const memories = read('factory/.factory/memories.md');
    write(
      'factory/.factory/memories.md',
      memories.replace('- `pnpm test` runs everything', '- `pnpm test` runs unit tests'),
    );
    await settle();
    expect(read('memory/build-commands.md')).toBe(
      `${NOTE.replace('runs everything', 'runs unit tests')}- \`pnpm lint\` too\n`,
    );
    expect(read('memory/MEMORY.md')).toBe(INDEX);
  });

  it('merges what both added to one memory in different places', async () => {
    write('memory/build-commands.md', NOTE);
    await settle();
    write('memory/build-commands.md', `${NOTE}- from Claude\n`);
    const memories = read('factory/.factory/memories.md');
    write(
      'factory/.factory/memories.md',
      memories.replace('- Use **pnpm**', '- from a droid\n- Use **pnpm**'),
    );
    await settle();
    for (const file of ['memory/build-commands.md', 'factory/.factory/memories.md']) {
      expect(read(file)).toContain('- from Claude\n');
      expect(read(file)).toContain('- from a droid\n');
    }
  });

  it.each([
    ['cannot be read', Uint8Array.of(0xff, 0xfe, 0)],
    ['is over-large', 'x'.repeat(5 * 1024 * 1024 + 1)],
    ['has a broken frontmatter', '---\na: [\n---\ntext\n'],
  ])(
    'a rule that %s is set aside under the key it has once it is mended',
    async (_how, content) => {
      write('claude/.claude/rules/good.md', 'Tabs.\n');
      writeFileSync(at('claude/.claude/rules/bad.md'), content);
      await engine.drain(claude);
      const key = itemKey(prefix, 'document', '.claude/rules/bad.md');
      expect(key).toBe(`${prefix}files/.claude/rules/bad.md`);
      const aside = async () => await engine.store.links.quarantined(CALLER, claude.id);
      expect(await aside()).toMatchObject([{ key, remoteId: '.claude/rules/bad.md' }]);
      write('claude/.claude/rules/bad.md', 'Mended.\n');
      await engine.drain(claude);
      expect(await aside()).toEqual([]);
      expect((await engine.store.contexts.get(CALLER, key))?.data).toMatchObject({
        text: 'Mended.\n',
      });
    },
  );

  it('takes a deleted section out of both, the note with its line in the index', async () => {
    write(
      'factory/.factory/memories.md',
      '# Memories\n\n## Alpha\n\n- a\n\n## Beta\n\n- b\n\n## Gamma\n\n- c\n',
    );
    write('memory/MEMORY.md', '# Memory\n');
    await settle();
    expect(readdirSync(at('memory')).sort()).toEqual([
      'MEMORY.md',
      'alpha.md',
      'beta.md',
      'gamma.md',
    ]);
    write('factory/.factory/memories.md', '# Memories\n\n## Alpha\n\n- a\n\n## Gamma\n\n- c\n');
    await engine.drain(factory);
    await settle();
    expect(readdirSync(at('memory')).sort()).toEqual(['MEMORY.md', 'alpha.md', 'gamma.md']);
    expect(read('memory/MEMORY.md')).toBe('# Memory\n\n- [Alpha](alpha.md)\n- [Gamma](gamma.md)\n');
  });

  it('takes a note somebody deleted out of the other project', async () => {
    write(
      'factory/.factory/memories.md',
      '# Memories\n\n## Alpha\n\n- a\n\n## Beta\n\n- b\n\n## Gamma\n\n- c\n',
    );
    await settle();
    unlinkSync(at('memory/beta.md'));
    await engine.drain(claude);
    await settle();
    expect(read('factory/.factory/memories.md')).toBe(
      '# Memories\n\n## Alpha\n\n- a\n\n## Gamma\n\n- c\n',
    );
  });

  it('fails and deletes nothing when the memory folder is gone', async () => {
    write('memory/build-commands.md', NOTE);
    await settle();
    const before = read('factory/.factory/memories.md');
    rmSync(at('memory'), { recursive: true });
    for (let nth = 0; nth < 3; nth += 1) {
      expect(await engine.pass(claude)).toMatchObject({
        status: 'failed',
        error: { code: 'CONNECTOR_UNREACHABLE' },
      });
      await engine.pass(factory);
    }
    expect(read('factory/.factory/memories.md')).toBe(before);
    expect(await inHub('build-commands')).not.toBeNull();
  });

  it('parks and deletes nothing when the memory folder is emptied', async () => {
    for (const name of ['a', 'b', 'c']) write(`memory/${name}.md`, `- about ${name}\n`);
    await settle();
    for (const name of ['a', 'b', 'c']) unlinkSync(at(`memory/${name}.md`));
    await engine.pass(claude);
    expect(await engine.pass(claude)).toMatchObject({ status: 'parked' });
    expect(await inHub('b')).not.toBeNull();
  });

  it('sets an unreadable note aside and deletes nothing on its account', async () => {
    for (const name of ['a', 'b', 'c']) write(`memory/${name}.md`, `- about ${name}\n`);
    await settle();
    writeFileSync(at('memory/b.md'), Buffer.from([0xff, 0xfe, 0, 1]));
    write('memory/c.md', '- about c\n- more\n');
    for (let nth = 0; nth < 3; nth += 1) await settle();
    expect(await inHub('b')).not.toBeNull();
    expect(await inHub('c')).toMatchObject({ observations: ['about c', 'more'] });
    expect(read('factory/.factory/memories.md')).toContain('## b\n');
    write('memory/b.md', '- about b\n- again\n');
    await settle();
    expect(await inHub('b')).toMatchObject({ observations: ['about b', 'again'] });
  });

  it('keeps instructions and rules as documents in the hub, and writes them back', async () => {
    write('claude/CLAUDE.md', '# Project\n\nSee @docs/style.md.\n');
    write('claude/.claude/rules/api.md', '---\npaths:\n  - "src/api/**"\n---\n\nValidate input.\n');
    await settle();
    const { items } = await engine.store.contexts.list(CALLER, { prefix, limit: 10 });
    expect(items.map(({ kind }) => kind)).toEqual(['document', 'document']);
    const rule = items.find(({ key }) => key.includes('rules'))!;
    expect((await engine.store.contexts.get(CALLER, rule.key))?.data).toEqual({
      path: '.claude/rules/api.md',
      frontmatter: { paths: ['src/api/**'] },
      text: '\nValidate input.\n',
    });
    await engine.store.contexts.store(CALLER, {
      key: rule.key,
      data: {
        path: '.claude/rules/api.md',
        frontmatter: { paths: ['src/api/**'] },
        text: '\nValidate all input.\n',
      },
      options: { kind: 'document', ttl: null },
    });
    await settle();
    expect(read('claude/.claude/rules/api.md')).toBe(
      '---\npaths:\n  - "src/api/**"\n---\n\nValidate all input.\n',
    );
  });
});
