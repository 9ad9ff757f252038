import { appendFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClaudeConnector } from '../../connectors/claude-code/claude-connector.ts';
import { claudeCode } from '../../connectors/claude-code/claude-code.ts';
import { defaultMemoryDir, placesOf } from '../../connectors/claude-code/places.ts';
import type { Connector, RemoteOp } from '../../connectors/connector.ts';
import { systemClock } from '../../domain/clock.ts';
import { asRemoteId } from '../../domain/item.ts';
import { createClaudeProject, noteText, type ClaudeProject } from './claude-code-project.ts';
import {
  createOp,
  deleteOp,
  itemNamed,
  memory,
  observed,
  openContext,
  until,
  updateOp,
} from './factory-files-project.ts';

let project: ClaudeProject;
const opened: Connector[] = [];
beforeEach(async () => void (project = await createClaudeProject()));
afterEach(async () => {
  for (const connector of opened.splice(0)) await connector.close();
  await project.remove();
});

const FEEDBACK = `---
name: testing-approach
description: Integration tests over mocks: agreed in March
metadata: 
  node_type: memory
  type: feedback
  originSessionId: 885ee114
---

# Testing

Real databases, **no mocks**.

**Why:** a mocked test hid a broken migration.

## How to apply

* run \`npm test\`
* keep fixtures small
`;

async function names(connector: Connector): Promise<readonly string[]> {
  return (await observed(connector)).map(({ remoteId }) => remoteId as string);
}

describe('what becomes what', () => {
  it('a note is one memory: name and type from its frontmatter, its blocks as observations', async () => {
    await project.write('memory/feedback_testing.md', FEEDBACK);
    const { value } = await itemNamed(await project.open(), 'testing-approach');
    expect(value).toEqual(
      memory(
        'testing-approach',
        [
          'Real databases, **no mocks**.',
          '**Why:** a mocked test hid a broken migration.',
          'run `npm test`',
          'keep fixtures small',
        ],
        { type: 'feedback' },
      ),
    );
  });

  it('a note without frontmatter is named by its title, else by its file', async () => {
    await project.write('memory/debugging.md', '# Debugging Patterns\n\n- read the log first\n');
    await project.write('memory/api.md', '- REST only\n');
    expect(await names(await project.open())).toEqual(['api', 'Debugging Patterns']);
  });

  it('of the index only what is no line to a note becomes an item', async () => {
    await project.write(
      'memory/MEMORY.md',
      '# Memory\n\n- [Api](api.md) — REST\n- **[Old](old.md)**\n\n## Preferences\n\n- tabs\n',
    );
    const connector = await project.open();
    expect(await names(connector)).toEqual(['Preferences']);
    expect((await itemNamed(connector, 'Preferences')).value).toEqual(
      memory('Preferences', ['tabs']),
    );
  });

  it('two notes of one name, and a section of it, are told apart', async () => {
    await project.write('memory/a.md', '---\nname: Api\n---\n- a\n');
    await project.write('memory/b.md', '---\nname: Api\n---\n- b\n');
    await project.write('memory/MEMORY.md', '# M\n\n## Api\n\n- c\n');
    expect(await names(await project.open())).toEqual(['Api', 'Api (b)', 'M > Api']);
  });

  it('instructions and rules are documents; other Markdown, hidden files and subfolders are not', async () => {
    for (const file of [
      'CLAUDE.md',
      'CLAUDE.local.md',
      '.claude/CLAUDE.md',
      '.claude/rules/a.md',
      '.claude/rules/api/b.md',
      '.claude/rules/.draft.md',
      '.claude/agents/c.md',
      'docs/CLAUDE.md',
      'README.md',
      'memory/logs/d.md',
      'memory/.e.md',
    ])
      await project.write(file, 'text\n');
    const documents = ['.claude/CLAUDE.md', '.claude/rules/a.md', '.claude/rules/api/b.md'];
    expect(await names(await project.open())).toEqual([...documents, 'CLAUDE.md']);
    const local = await project.open({ include: ['local'] });
    expect(await names(local)).toEqual(['CLAUDE.local.md']);
    expect(local.capabilities.kinds).toEqual(['document']);
  });

  it('the same files read with other includes are not "unchanged"', async () => {
    await project.write('CLAUDE.md', 'text\n');
    const first = await (await project.open()).observe({ since: null, page: null });
    const other = await project.open({ include: ['memory', 'instructions'] });
    expect((await other.observe({ since: first.cursor, page: null })).mode).toBe('scan');
  });
});

describe('what is written where', () => {
  it('changes of a note touch its own lines only, broken YAML and all', async () => {
    await project.write('memory/feedback_testing.md', FEEDBACK);
    const connector = await project.open();
    const item = await itemNamed(connector, 'testing-approach');
    const { observations } = item.value as { observations: string[] };
    const wanted = observations.filter((text) => !text.startsWith('run')).concat('ask when unsure');
    const value = memory('testing-approach', wanted, { type: 'feedback' });
    const [outcome] = await connector.apply([updateOp(item, value)]);
    expect(outcome).toMatchObject({ status: 'applied', written: value });
    expect(await project.read('memory/feedback_testing.md')).toBe(
      FEEDBACK.replace('* run `npm test`\n', '* ask when unsure\n').replace(
        /(\* ask when unsure\n)(\* keep fixtures small\n)/,
        '$1$2',
      ),
    );
  });

  it('a new type goes where the old one stood, and comments of the frontmatter stay', async () => {
    const text = '---\nname: Api # ours\nmetadata:\n  type: project\n---\n\n- REST\n';
    await project.write('memory/api.md', text);
    const connector = await project.open();
    const item = await itemNamed(connector, 'Api');
    await connector.apply([updateOp(item, memory('Api', ['REST'], { type: 'reference' }))]);
    expect(await project.read('memory/api.md')).toBe(text.replace('project', 'reference'));
  });

  it('refuses to rename a note whose frontmatter is no YAML, and leaves it alone', async () => {
    await project.write('memory/feedback_testing.md', FEEDBACK);
    const connector = await project.open();
    const item = await itemNamed(connector, 'testing-approach');
    const [outcome] = await connector.apply([updateOp(item, { ...item.value, name: 'New' })]);
    expect(outcome).toMatchObject({ status: 'failed', code: 'ITEM_INVALID' });
    expect(await project.read('memory/feedback_testing.md')).toBe(FEEDBACK);
  });

  it('new memories become notes with a line in the index, after the lines that are there', async () => {
    const index = '# Memory\r\n\r\n* [Api](api.md) — REST\r\n\r\n## Preferences\r\n\r\n- tabs\r\n';
    await project.write('memory/MEMORY.md', index);
    const connector = await project.open();
    const maya = memory('Maya Chen', ['leads billing'], {
      type: 'person',
      relations: [{ to: 'Billing', type: 'owns' }],
    });
    const outcomes = await connector.apply([
      createOp(maya),
      createOp(memory('MEMORY', ['x'])),
      createOp(memory('日本', ['y'])),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['applied', 'applied', 'applied']);
    expect(await project.read('memory/maya-chen.md')).toBe(
      '---\nname: Maya Chen\nmetadata:\n  node_type: memory\n  type: person\n---\n\n' +
        '- leads billing\n- owns:: [[Billing]]\n',
    );
    const files = (await readdir(project.memoryDir)).sort();
    const [odd, other] = files.filter((file) => file.startsWith('memory-') || /^note-/.test(file));
    expect(await project.read('memory/MEMORY.md')).toBe(
      index.replace(
        'REST\r\n',
        `REST\r\n* [Maya Chen](maya-chen.md)\r\n* [MEMORY](${odd})\r\n* [日本](${other})\r\n`,
      ),
    );
  });

  it.each([
    ['Windows line ends', '\r\n'],
    ['lone carriage returns', '\r'],
  ])('a note and an index of %s get new lines with their own ending', async (_what, eol) => {
    const inEol = (text: string): string => text.replaceAll('\n', eol);
    await project.write('memory/api.md', inEol('# The API\n\n- REST\n'));
    await project.write('memory/MEMORY.md', inEol('# Memory\n\n- [Api](api.md)\n'));
    const connector = await project.open();
    const item = await itemNamed(connector, 'The API');
    await connector.apply([
      updateOp(item, memory('The API', ['REST', 'no SOAP\nat all'])),
      createOp(memory('Maya', ['x'])),
    ]);
    expect(await project.read('memory/api.md')).toBe(
      inEol('# The API\n\n- REST\n- no SOAP\n  at all\n'),
    );
    expect(await project.read('memory/MEMORY.md')).toBe(
      inEol('# Memory\n\n- [Api](api.md)\n- [Maya](maya.md)\n'),
    );
  });

  it('a first line goes above the sections of an index, and no section changes by it', async () => {
    await project.write('memory/MEMORY.md', '# Memory\n\n## Preferences\n\n- tabs\n');
    const connector = await project.open();
    await connector.apply([createOp(memory('Api', ['REST']))]);
    expect(await project.read('memory/MEMORY.md')).toBe(
      '# Memory\n\n- [Api](api.md)\n\n## Preferences\n\n- tabs\n',
    );
  });

  it('a deleted memory goes with its note and its line', async () => {
    await project.write('memory/api.md', '- REST\n');
    await project.write('memory/MEMORY.md', '# M\n\n- [The API](./api.md) — REST\n- [B](b.md)\n');
    const connector = await project.open();
    await connector.apply([deleteOp(await itemNamed(connector, 'api'))]);
    expect(await readdir(project.memoryDir)).toEqual(['MEMORY.md']);
    expect(await project.read('memory/MEMORY.md')).toBe('# M\n\n- [B](b.md)\n');
  });

  it('a section of the index is edited in place', async () => {
    const index = '# Memory\n\n- [Api](api.md)\n\n## Preferences\n\n- tabs\n- tea\n';
    await project.write('memory/MEMORY.md', index);
    const connector = await project.open();
    const item = await itemNamed(connector, 'Preferences');
    await connector.apply([updateOp(item, memory('Preferences', ['spaces', 'tea']))]);
    expect(await project.read('memory/MEMORY.md')).toBe(index.replace('tabs', 'spaces'));
  });

  it('an item may lose all its observations and get some again', async () => {
    await project.write('memory/api.md', '---\nname: Api\n---\n\n# Api\n\n- REST\n');
    const connector = await project.open();
    await connector.apply([updateOp(await itemNamed(connector, 'Api'), memory('Api', []))]);
    expect(await project.read('memory/api.md')).toBe('---\nname: Api\n---\n\n# Api\n\n');
    await connector.apply([updateOp(await itemNamed(connector, 'Api'), memory('Api', ['gRPC']))]);
    expect(await project.read('memory/api.md')).toBe('---\nname: Api\n---\n\n# Api\n\n- gRPC\n');
  });

  it('a name that is a document of the link is refused', async () => {
    const connector = await project.open();
    const [outcome] = await connector.apply([createOp(memory('CLAUDE.md', ['x']))]);
    expect(outcome).toMatchObject({ status: 'failed', code: 'ITEM_NAME_TAKEN' });
  });

  it('a document is only written where the link includes one', async () => {
    const connector = await project.open();
    const create = (path: string): RemoteOp => ({
      ...createOp(memory('', [])),
      opId: path,
      kind: 'document',
      remoteId: asRemoteId(path),
      value: { path, frontmatter: { paths: ['src/**'] }, text: 'Be careful.\n' },
    });
    const outcomes = await connector.apply(
      ['.claude/rules/new/a.md', '.claude/settings.json', '../CLAUDE.md', 'memory/x.md'].map(
        create,
      ),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(['applied', 'failed', 'failed', 'failed']);
    expect(await project.read('.claude/rules/new/a.md')).toBe(
      '---\npaths:\n  - src/**\n---\nBe careful.\n',
    );
  });
});

describe('somebody writes behind its back', () => {
  /** A connector that calls `between` after it has read a file and before it writes. */
  function connectorWith(between: (nth: number) => void, lateLooksMs: readonly number[] = []) {
    let tries = 0;
    const config = claudeCode.configSchema.parse(project.config);
    const connector = createClaudeConnector({
      config,
      places: placesOf(config, project.home),
      ...openContext([project.home]),
      capabilities: claudeCode.capabilities,
      clock: systemClock,
      newId: () => {
        between((tries += 1));
        return `try-${tries}`;
      },
      lateLooksMs,
    });
    opened.push(connector);
    return connector;
  }

  it.each([
    ['appends to the index', (text: string) => `${text}- [Late](late.md)\n`],
    ['rewrites the index', () => '# Memory\n\n- [Late](late.md)\n'],
  ])('and %s: its line and ours are both there', async (_how, edit) => {
    await project.write('memory/MEMORY.md', '# Memory\n\n- [Api](api.md)\n');
    const file = project.path('memory/MEMORY.md');
    const connector = connectorWith((nth) => {
      if (nth !== 1) return;
      writeFileSync(`${file}.swp`, edit('# Memory\n\n- [Api](api.md)\n'));
      renameSync(`${file}.swp`, file);
    });
    await connector.apply([createOp(memory('Ours', ['one']))]);
    const text = await project.read('memory/MEMORY.md');
    expect(text).toContain('- [Late](late.md)\n');
    expect(text).toContain('- [Ours](ours.md)\n');
  });

  it('and changes the very note: ours is told that it moved, theirs stays', async () => {
    const theirs = noteText(memory('Api', ['theirs']));
    await project.write('memory/api.md', noteText(memory('Api', ['one'])));
    const connector = connectorWith(
      (nth) => nth === 1 && writeFileSync(project.path('memory/api.md'), theirs),
    );
    const item = await itemNamed(connector, 'Api');
    const [outcome] = await connector.apply([updateOp(item, memory('Api', ['ours']))]);
    expect(outcome).toMatchObject({
      status: 'moved',
      current: { status: 'present', value: memory('Api', ['theirs']) },
    });
    expect(await project.read('memory/api.md')).toBe(theirs);
  });

  it('and makes the very file a new note would get: theirs stays, ours is tried again', async () => {
    const connector = connectorWith(
      (nth) => nth === 2 && writeFileSync(project.path('memory/api.md'), 'theirs\n'),
    );
    const ours = createOp(memory('Api', ['ours']));
    const [outcome] = await connector.apply([ours]);
    expect(outcome).toMatchObject({ code: 'REMOTE_WRITE_RACED', isRetryable: true });
    expect(await project.read('memory/api.md')).toBe('theirs\n');
    const [again] = await connector.apply([ours]);
    expect(again?.status).toBe('applied');
    expect(await names(connector)).toEqual(expect.arrayContaining(['Api', 'api']));
  });

  it('and appends to a note we have just replaced: the line is brought into ours', async () => {
    await project.write('memory/api.md', '- one\n');
    const file = project.path('memory/api.md');
    const connector = connectorWith(() => undefined, [5, 5, 5]);
    const { openSync, writeSync, closeSync } = await import('node:fs');
    const old = openSync(file, 'a');
    await connector.apply([
      updateOp(await itemNamed(connector, 'api'), memory('api', ['one', 'ours'])),
    ]);
    writeSync(old, '- late\n');
    closeSync(old);
    await until(async () => (await project.read('memory/api.md')).includes('late'));
    expect(await project.read('memory/api.md')).toBe('- one\n- ours\n- late\n');
  });

  it('and the change is hinted, in the memory folder and in the rules', async () => {
    const connector = await project.open();
    for (const file of [
      'memory/new.md',
      'memory/MEMORY.md',
      '.claude/rules/deep/a.md',
      'CLAUDE.md',
    ]) {
      let hints = 0;
      const stop = await connector.watch!(() => (hints += 1));
      await project.write(file, 'text\n');
      await until(async () => hints > 0);
      await stop();
    }
  });
});

describe('what is wrong with a file', () => {
  it('sets aside exactly the item of an unreadable note, also after a restart', async () => {
    await project.write('memory/api.md', noteText(memory('The API', ['one'])));
    await project.write('memory/b.md', '- b\n');
    const connector = await project.open();
    const first = await connector.observe({ since: null, page: null });
    await project.write('memory/api.md', Uint8Array.of(0xff, 0xfe, 0));
    const second = await connector.observe({ since: first.cursor, page: null });
    const expected: unknown = expect.objectContaining({
      status: 'faulty',
      remoteId: 'The API',
      code: 'REMOTE_NOT_UTF8',
    });
    expect(second).toMatchObject({ isComplete: true });
    expect(second.entries).toContainEqual(expected);
    appendFileSync(project.path('memory/b.md'), '- more\n');
    const restarted = await project.open();
    const third = await restarted.observe({ since: second.cursor, page: null });
    expect(third.entries).toContainEqual(expected);
    expect(await restarted.read([asRemoteId('The API')])).toEqual([expected]);
  });

  it('stops where nobody can tell any more what an unreadable file held', async () => {
    await project.write('memory/api.md', noteText(memory('The API', ['one'])));
    const { cursor } = await (await project.open()).observe({ since: null, page: null });
    await project.write('memory/api.md', Uint8Array.of(0xff, 0xfe, 0));
    const restarted = await project.open();
    await expect(restarted.observe({ since: cursor, page: null })).rejects.toMatchObject({
      code: 'REMOTE_NOT_UTF8',
    });
  });

  it.each([
    ['is no UTF-8', Uint8Array.of(0xff, 0xfe), 'REMOTE_NOT_UTF8'],
    ['is over-large', 'x'.repeat(5 * 1024 * 1024 + 1), 'REMOTE_TOO_LARGE'],
    ['is nested too deep', `${'> '.repeat(200)}x\n`, 'REMOTE_MALFORMED'],
  ])('a note that %s is set aside, the rest goes on', async (_how, content, code) => {
    await project.write('memory/bad.md', content);
    await project.write('memory/MEMORY.md', content);
    await project.write('memory/good.md', '- good\n');
    const connector = await project.open();
    const entries = await observed(connector);
    expect(entries).toMatchObject([
      { status: 'present', remoteId: 'good' },
      { status: 'faulty', remoteId: 'memory/bad.md', code },
      { status: 'faulty', remoteId: 'memory/MEMORY.md', code },
    ]);
    const [outcome] = await connector.apply([createOp(memory('New', ['one']))]);
    expect(outcome?.status).toBe('applied');
    expect((await itemNamed(connector, 'New')).value).toEqual(memory('New', ['one']));
  });

  it('refuses links that lead out of the folder, and reads none of what is there', async () => {
    await mkdir(join(project.home, 'outside'));
    writeFileSync(join(project.home, 'outside', 'secret.md'), '- secret\n');
    symlinkSync(join(project.home, 'outside', 'secret.md'), project.path('memory/link.md'));
    symlinkSync(join(project.home, 'outside', 'secret.md'), project.path('CLAUDE.md'));
    const entries = await observed(await project.open());
    expect(entries).toMatchObject([
      { status: 'faulty', remoteId: 'memory/link.md', code: 'PATH_ESCAPES_ROOT' },
      { status: 'faulty', remoteId: 'CLAUDE.md', code: 'PATH_ESCAPES_ROOT' },
    ]);
  });

  it.each([['the project', 'root'] as const, ['the memory folder', 'memoryDir'] as const])(
    'is unreachable, not empty, when %s is gone',
    async (_what, folder) => {
      await project.write('memory/api.md', '- one\n');
      const connector = await project.open();
      await rm(project[folder], { recursive: true });
      const code = 'CONNECTOR_UNREACHABLE';
      await expect(observed(connector)).rejects.toMatchObject({ code });
      await expect(connector.probe()).rejects.toMatchObject({ code });
      await expect(connector.apply([createOp(memory('A', []))])).rejects.toMatchObject({ code });
    },
  );
});

describe('the configuration', () => {
  const parse = (config: object) => claudeCode.configSchema.safeParse(config);

  it('takes memory only where its folder is named or asked for', () => {
    const places = (config: object) =>
      placesOf(claudeCode.configSchema.parse(config), '/home/me').map(({ base }) => base);
    expect(places({ root: '/p' })).toEqual(['/p']);
    expect(places({ root: '/p', memoryDir: '/m' })).toEqual(['/p', '/m']);
    expect(places({ root: '/p', include: ['rules'], memoryDir: '/m' })).toEqual(['/p']);
    expect(places({ root: '/p/my_app.v2', include: ['memory'] })).toEqual([
      '/p/my_app.v2',
      '/home/me/.claude/projects/-p-my-app-v2/memory',
    ]);
  });

  it('finds the default folder through links to the project', () => {
    symlinkSync(project.root, join(project.home, 'alias'));
    expect(defaultMemoryDir(join(project.home, 'alias'), '/h')).toBe(
      defaultMemoryDir(project.root, '/h'),
    );
  });

  it.each([
    [{ root: 'relative' }],
    [{ root: '/p', memoryDir: 'relative' }],
    [{ root: '/p', include: [] }],
    [{ root: '/p', include: ['memories'] }],
    [{ root: '/p', memoryDir: '/p' }],
    [{ root: '/p', memoryDir: '/' }],
    [{ root: '/p', memoryDir: '/p/.claude' }],
    [{ root: '/p', memoryDir: '/p/.claude/rules/x' }],
    [{ root: '/p', extra: 1 }],
    [{}],
  ])('refuses %j', (config) => {
    expect(parse(config).success).toBe(false);
  });

  it('is refused where a folder is not allowed, with the way out', async () => {
    const config = claudeCode.configSchema.parse({ root: project.root, include: ['memory'] });
    const open = claudeCode.open(config, openContext([project.home]));
    await expect(open).rejects.toMatchObject({
      code: 'CONNECTOR_NOT_ALLOWED',
      message: expect.stringContaining('memoryDir') as string,
    });
    const other = claudeCode.configSchema.parse(project.config);
    expect(() => claudeCode.checkAllowed(other, openContext([project.root]).permissions)).toThrow(
      /memory folder/,
    );
  });
});
