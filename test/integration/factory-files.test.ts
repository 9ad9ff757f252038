import { mkdir, open, readdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFactoryConnector } from '../../connectors/factory-files/factory-connector.ts';
import { factoryFiles } from '../../connectors/factory-files/factory-files.ts';
import { placesOf } from '../../connectors/factory-files/places.ts';
import { systemClock } from '../../domain/clock.ts';
import { asRemoteId } from '../../domain/item.ts';
import {
  createOp,
  createProject,
  deleteOp,
  itemNamed,
  memory,
  observed,
  openContext,
  updateOp,
  type Project,
} from './factory-files-project.ts';

let project: Project;
beforeEach(async () => void (project = await createProject()));
afterEach(() => project.remove());

describe('a folder the server may not open', () => {
  it('is refused before anything is read, also through a symbolic link', async () => {
    const other = await createProject();
    const way = join(project.root, 'way-out');
    await symlink(other.root, way);
    const { permissions } = openContext([project.root]);
    for (const root of [other.root, way, '/', join(project.root, '..')]) {
      const config = factoryFiles.configSchema.parse({ root });
      expect(() => factoryFiles.checkAllowed(config, permissions)).toThrow(
        expect.objectContaining({ code: 'CONNECTOR_NOT_ALLOWED' }),
      );
    }
    await other.remove();
  });

  it('is not mistaken for one whose name begins alike', () => {
    const config = factoryFiles.configSchema.parse({ root: `${project.root}-more` });
    expect(() =>
      factoryFiles.checkAllowed(config, openContext([project.root]).permissions),
    ).toThrow();
  });

  it('is refused when the user’s own folder is asked for and not allowed', () => {
    const config = factoryFiles.configSchema.parse({ root: project.root, personal: true });
    expect(() =>
      factoryFiles.checkAllowed(config, openContext([project.root]).permissions),
    ).toThrow(expect.objectContaining({ code: 'CONNECTOR_NOT_ALLOWED' }));
  });

  it('must be given as an absolute path', () => {
    expect(factoryFiles.configSchema.safeParse({ root: 'project' }).success).toBe(false);
    expect(factoryFiles.configSchema.safeParse({ root: '/p', extra: 1 }).success).toBe(false);
  });
});

describe('a remote that cannot be read', () => {
  it('is unreachable, not empty, when the project folder is gone', async () => {
    const connector = await project.open();
    await rm(project.root, { recursive: true });
    const gone = { code: 'CONNECTOR_UNREACHABLE', retryable: true };
    await expect(connector.observe({ since: null, page: null })).rejects.toMatchObject(gone);
    await expect(connector.apply([createOp(memory('A', ['b']))])).rejects.toMatchObject(gone);
    await expect(connector.probe()).rejects.toMatchObject(gone);
  });

  it('is complete and empty when there is no memory file', async () => {
    const connector = await project.open();
    const seen = await connector.observe({ since: null, page: null });
    expect(seen).toMatchObject({ mode: 'scan', entries: [], isComplete: true });
  });

  it('is unreachable when a folder stands where the memory file should be', async () => {
    await mkdir(project.memories);
    const connector = await project.open();
    await expect(observed(connector)).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE' });
  });

  it.each([
    ['REMOTE_NOT_UTF8', Buffer.from([0x23, 0x20, 0xff, 0xfe])],
    ['REMOTE_NOT_UTF8', Buffer.from('# a\0b')],
    ['REGION_DAMAGED', '# M\n<!-- syncline:begin -->\n\n## A\n- b\n'],
    ['REGION_DAMAGED', '<!-- syncline:end -->\n<!-- syncline:begin -->\n'],
    ['REMOTE_MALFORMED', `${'> '.repeat(500)}deep`],
  ])('throws %s for the file as a whole and leaves it alone', async (code, content) => {
    await project.write(content);
    const connector = await project.open();
    const before = await project.read();
    await expect(observed(connector)).rejects.toMatchObject({ code });
    await expect(connector.apply([createOp(memory('A', ['b']))])).rejects.toMatchObject({ code });
    expect(await project.read()).toBe(before);
  });

  it('refuses a 20 MB file', async () => {
    await project.write('');
    await truncate(project.memories, 20 * 1024 * 1024);
    const connector = await project.open();
    await expect(observed(connector)).rejects.toMatchObject({ code: 'REMOTE_TOO_LARGE' });
  });

  it('refuses a memory file that is a link out of the project', async () => {
    const other = await createProject();
    await other.write('## Secret\n\n- stays here\n');
    await symlink(other.memories, project.memories);
    const connector = await project.open();
    await expect(observed(connector)).rejects.toMatchObject({ code: 'PATH_ESCAPES_ROOT' });
    await expect(connector.apply([createOp(memory('A', ['b']))])).rejects.toMatchObject({
      code: 'PATH_ESCAPES_ROOT',
    });
    expect(await other.read()).toBe('## Secret\n\n- stays here\n');
    await other.remove();
  });

  it('refuses a .factory folder that is a link out of the project', async () => {
    const other = await createProject();
    await rm(join(project.root, '.factory'), { recursive: true });
    await symlink(join(other.root, '.factory'), join(project.root, '.factory'));
    const connector = await project.open();
    await expect(connector.apply([createOp(memory('A', ['b']))])).rejects.toMatchObject({
      code: 'PATH_ESCAPES_ROOT',
    });
    expect(await readdir(join(other.root, '.factory'))).toEqual([]);
    await other.remove();
  });

  it('follows a link that stays inside, and keeps it a link', async () => {
    await project.write('## A\n\n- one\n', 'notes/memories.md');
    await symlink(join(project.root, 'notes/memories.md'), project.memories);
    const connector = await project.open();
    const item = await itemNamed(connector, 'A');
    await connector.apply([updateOp(item, memory('A', ['one', 'two']))]);
    expect(await project.read('notes/memories.md')).toBe('## A\n\n- one\n- two\n');
    expect(await project.read()).toBe('## A\n\n- one\n- two\n');
  });
});

describe('writing', () => {
  it('creates the folder, the file and its region when nothing is there', async () => {
    await rm(join(project.root, '.factory'), { recursive: true });
    const connector = await project.open();
    const [outcome] = await connector.apply([
      createOp(
        memory('Alice', ['Prefers tabs'], {
          type: 'person',
          relations: [{ to: 'Syncline', type: 'works on' }],
        }),
      ),
    ]);
    expect(outcome?.status).toBe('applied');
    expect(await project.read()).toBe(
      '# Memories\n\n<!-- syncline:begin -->\n\n## Alice\n\n- type:: person\n- Prefers tabs\n- works on:: [[Syncline]]\n\n<!-- syncline:end -->\n',
    );
    expect((await observed(connector)).map(({ remoteId }) => remoteId)).toEqual(['Alice']);
  });

  it('leaves no lock and no temporary file, also none of a writer that died', async () => {
    await project.write('## A\n');
    await project.write('half', '.factory/.memories.md.dead.syncline-tmp');
    const connector = await project.open();
    await connector.apply([createOp(memory('B', ['c']))]);
    expect(await readdir(join(project.root, '.factory'))).toEqual(['memories.md']);
  });

  it('keeps a byte order mark, Windows line ends and a missing last one', async () => {
    await project.write('\uFEFF# M\r\n\r\n## A\r\n\r\n- one\r\n\r\n## B\r\n\r\nprose\r\nmore');
    const connector = await project.open();
    const [a, b] = [await itemNamed(connector, 'A'), await itemNamed(connector, 'B')];
    expect(b.value).toMatchObject({ observations: ['prose\nmore'] });
    await connector.apply([
      updateOp(a, memory('A', ['one', 'two\nlines'])),
      updateOp(b, memory('B', ['prose\nmore', 'new'])),
    ]);
    expect(await project.read()).toBe(
      '\uFEFF# M\r\n\r\n## A\r\n\r\n- one\r\n- two\r\n  lines\r\n\r\n## B\r\n\r\nprose\r\nmore\r\n\r\n- new',
    );
  });

  it.each([
    ['lone line feeds', '\n'],
    ['Windows line ends', '\r\n'],
    ['lone carriage returns', '\r'],
  ])(
    'writes new lines, sections and a region into a file of %s with its own ending',
    async (_what, eol) => {
      const inEol = (text: string): string => text.replaceAll('\n', eol);
      await project.write(inEol('# M\n\n## A\n\n- one\n\n## B\n\nprose\nmore\n'));
      const connector = await project.open();
      const [a, b] = [await itemNamed(connector, 'A'), await itemNamed(connector, 'B')];
      expect(b.value).toMatchObject({ observations: ['prose\nmore'] });
      const outcomes = await connector.apply([
        updateOp(a, memory('A', ['one', 'two\nlines'])),
        updateOp(b, memory('B', ['prose\nless'])),
        createOp(memory('C', ['new'])),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(['applied', 'applied', 'applied']);
      expect(await project.read()).toBe(
        inEol(
          '# M\n\n## A\n\n- one\n- two\n  lines\n\n## B\n\nprose\nless\n\n' +
            '<!-- syncline:begin -->\n\n## C\n\n- new\n\n<!-- syncline:end -->\n',
        ),
      );
    },
  );

  it('writes nothing, not even the time of change, for a batch that changes nothing', async () => {
    await project.write('## A\n\n- one\n');
    const connector = await project.open();
    const { cursor } = await connector.observe({ since: null, page: null });
    const item = await itemNamed(connector, 'A');
    const [same, stale] = await connector.apply([
      updateOp(item, item.value!),
      { ...deleteOp(item), opId: 'stale', expectedVersion: 'old' },
    ]);
    expect(same?.status).toBe('applied');
    expect(stale?.status).toBe('moved');
    const again = await connector.observe({ since: cursor, page: null });
    expect(again).toMatchObject({ mode: 'unchanged', entries: [] });
    expect((await itemNamed(connector, 'A')).changedAtMs).toBe(item.changedAtMs);
  });

  it('writes a thousand new items with one write of the file', async () => {
    await project.write('# Memory\n\n## Preferences\n\n- tabs\n');
    const config = factoryFiles.configSchema.parse({ root: project.root });
    let writes = 0;
    const connector = createFactoryConnector({
      config,
      places: placesOf(config, project.root),
      ...openContext([project.root]),
      capabilities: factoryFiles.capabilities,
      clock: systemClock,
      // Each file that is written takes one id, for its temporary file.
      newId: () => `write-${(writes += 1)}`,
      lateLooksMs: [],
    });
    const ops = Array.from({ length: 1000 }, (_, nth) =>
      createOp(
        memory(`Entity ${nth}`, [`Fact ${nth}`, `[2026-11-01] **Second**: ${nth}`, `a\nb ${nth}`], {
          type: 'thing',
        }),
      ),
    );
    const outcomes = await connector.apply(ops);
    expect(outcomes.filter(({ status }) => status !== 'applied')).toEqual([]);
    expect(writes).toBe(1);
    expect(await observed(connector)).toHaveLength(1001);
    await connector.close();
  });

  it('refuses what would make the file too large to be read again, and still deletes', async () => {
    await project.write('## A\n\n- one\n\n## B\n\n- two\n');
    const connector = await project.open();
    const a = await itemNamed(connector, 'A');
    const [large, removed] = await connector.apply([
      createOp(memory('Large', ['x'.repeat(6 * 1024 * 1024)])),
      deleteOp(a),
    ]);
    expect(large).toMatchObject({ status: 'failed', code: 'REMOTE_TOO_LARGE', isRetryable: false });
    expect(removed?.status).toBe('applied');
    expect(await project.read()).toBe('## B\n\n- two\n');
  });
});

describe('documents', () => {
  const config = { include: ['rules', 'agents', 'droids', 'skills'] };
  const droid = '---\n# who\nname: reviewer\nmodel: fast\n---\nReview **carefully**.\r\n';

  it('lists rules, nested AGENTS.md, droids and skills, and nothing else', async () => {
    await project.write('# Rule', '.factory/rules/style.md');
    await project.write('Top', 'AGENTS.md');
    await project.write('Nested', 'packages/app/AGENTS.md');
    await project.write('Not ours', 'node_modules/x/AGENTS.md');
    await project.write(droid, '.factory/droids/reviewer.md');
    await project.write('---\nname: pdf\n---\nHow', '.factory/skills/pdf/SKILL.md');
    await project.write('x', '.factory/skills/pdf/notes.md');
    await project.write('## A\n- b\n');
    const connector = await project.open(config);
    const entries = await observed(connector);
    expect(entries.map(({ remoteId }) => remoteId)).toEqual([
      '.factory/droids/reviewer.md',
      '.factory/rules/style.md',
      '.factory/skills/pdf/SKILL.md',
      'AGENTS.md',
      'packages/app/AGENTS.md',
    ]);
    expect(entries[0]).toMatchObject({
      value: {
        path: '.factory/droids/reviewer.md',
        frontmatter: { name: 'reviewer', model: 'fast' },
        text: 'Review **carefully**.\r\n',
      },
    });
    expect(
      await connector.read([asRemoteId('AGENTS.md'), asRemoteId('.factory/rules/none.md')]),
    ).toMatchObject([{ status: 'present', value: { text: 'Top' } }, { status: 'absent' }]);
  });

  it('keeps untouched frontmatter byte for byte, and the comments of touched one', async () => {
    await project.write(droid, '.factory/droids/reviewer.md');
    const connector = await project.open(config);
    const item = await itemNamed(connector, '.factory/droids/reviewer.md');
    await connector.apply([updateOp(item, { ...item.value!, text: 'New.\n' })]);
    expect(await project.read('.factory/droids/reviewer.md')).toBe(
      '---\n# who\nname: reviewer\nmodel: fast\n---\nNew.\n',
    );
    const next = await itemNamed(connector, '.factory/droids/reviewer.md');
    await connector.apply([
      updateOp(next, { ...next.value!, frontmatter: { name: 'reviewer', model: 'slow' } }),
    ]);
    expect(await project.read('.factory/droids/reviewer.md')).toBe(
      '---\n# who\nname: reviewer\nmodel: slow\n---\nNew.\n',
    );
  });

  it('creates, moves and deletes whole files', async () => {
    const connector = await project.open(config);
    const path = '.factory/skills/pdf/SKILL.md';
    const value = { path, frontmatter: { name: 'pdf' }, text: '# PDF\n' };
    const create = {
      ...createOp(memory('x', [])),
      kind: 'document' as const,
      remoteId: asRemoteId(path),
      value,
    };
    expect((await connector.apply([create]))[0]).toMatchObject({
      status: 'applied',
      written: value,
    });
    expect(await project.read(path)).toBe('---\nname: pdf\n---\n# PDF\n');
    const moved = '.factory/rules/pdf.md';
    const item = await itemNamed(connector, path);
    expect((await connector.apply([updateOp(item, { ...value, path: moved })]))[0]).toMatchObject({
      status: 'applied',
      remoteId: moved,
    });
    expect((await observed(connector)).map(({ remoteId }) => remoteId)).toEqual([moved]);
    await connector.apply([deleteOp(await itemNamed(connector, moved))]);
    expect(await observed(connector)).toEqual([]);
  });

  it.each([
    '../../outside.md',
    '/etc/passwd',
    '.factory/rules/../../../x.md',
    '.factory/memories.md',
    'README.md',
    '~/.factory/rules/x.md',
    '.factory/rules/a\\b.md',
  ])('refuses to write %s', async (path) => {
    const connector = await project.open(config);
    const op = {
      ...createOp(memory('x', [])),
      kind: 'document' as const,
      remoteId: asRemoteId(path),
      value: { path, frontmatter: {}, text: 'x' },
    };
    expect((await connector.apply([op]))[0]).toMatchObject({
      status: 'failed',
      code: 'ITEM_INVALID',
    });
    expect(await readdir(project.root)).toEqual(['.factory']);
  });

  it('sets one bad document aside and goes on with the others', async () => {
    const other = await createProject();
    await other.write('secret', 'secret.md');
    await project.write('fine', '.factory/rules/a.md');
    await project.write('---\n- a list\n---\n', '.factory/rules/b.md');
    await project.write(Buffer.from([0xc3, 0x28]), '.factory/rules/c.md');
    await project.write('', '.factory/rules/d.md');
    await truncate(join(project.root, '.factory/rules/d.md'), 20 * 1024 * 1024);
    await symlink(join(other.root, 'secret.md'), join(project.root, '.factory/rules/e.md'));
    await project.write(
      `---\na: &a [x,x]\nb: &b [${'*a,'.repeat(200)}*a]\n---\n`,
      '.factory/rules/f.md',
    );
    const connector = await project.open(config);
    const entries = await observed(connector);
    expect(entries.map((entry) => (entry.status === 'faulty' ? entry.code : entry.status))).toEqual(
      [
        'present',
        'REMOTE_MALFORMED',
        'REMOTE_NOT_UTF8',
        'REMOTE_TOO_LARGE',
        'PATH_ESCAPES_ROOT',
        'REMOTE_MALFORMED',
      ],
    );
    await other.remove();
  });

  it('is unreachable when one of them cannot be read at all', async () => {
    await project.write('fine', '.factory/rules/a.md');
    await mkdir(join(project.root, '.factory/rules/b.md'));
    const connector = await project.open(config);
    await expect(observed(connector)).rejects.toMatchObject({ code: 'CONNECTOR_UNREACHABLE' });
  });
});

describe('personal memories', () => {
  it('are items of their own beside the project’s', async () => {
    const home = process.env['HOME'];
    const user = await createProject();
    process.env['HOME'] = user.root;
    try {
      await project.write('## Style\n\n- two spaces\n');
      await user.write('## Style\n\n- tabs\n');
      const config = factoryFiles.configSchema.parse({
        root: project.root,
        personal: true,
        include: ['memories', 'agents'],
      });
      await user.write('Be brief.', '.factory/AGENTS.md');
      const connector = await factoryFiles.open(config, openContext([project.root, user.root]));
      expect((await observed(connector)).map(({ remoteId }) => remoteId)).toEqual([
        'Style',
        'Personal > Style',
        '~/.factory/AGENTS.md',
      ]);
      const item = await itemNamed(connector, 'Personal > Style');
      await connector.apply([
        updateOp(item, memory('Personal > Style', ['spaces'])),
        createOp(memory('Personal > Name', ['Ada'])),
        createOp(memory('Team', ['four'])),
      ]);
      expect(await user.read()).toBe(
        '## Style\n\n- spaces\n\n<!-- syncline:begin -->\n\n## Name\n\n- Ada\n\n<!-- syncline:end -->\n',
      );
      expect(await project.read()).toContain('## Team');
      await connector.close();
    } finally {
      process.env['HOME'] = home;
      await user.remove();
    }
  });
});

describe('hints', () => {
  const edits: readonly [string, () => Promise<void>][] = [
    ['is written in place', () => project.write('## A\n\n- two\n')],
    [
      'is appended to',
      async () => {
        const handle = await open(project.memories, 'a');
        await handle.appendFile('- more\n');
        await handle.close();
      },
    ],
    [
      'is saved by renaming a new file over it',
      async () => {
        const temp = join(project.root, '.factory/memories.md~');
        await writeFile(temp, '## A\n\n- new\n');
        await rename(temp, project.memories);
      },
    ],
    [
      'is moved away and written anew',
      async () => {
        await rename(project.memories, `${project.memories}.bak`);
        await project.write('## A\n\n- new\n');
      },
    ],
    ['is deleted', () => rm(project.memories)],
  ];

  it.each(edits)('come when the memory file %s', async (_how, edit) => {
    await project.write('## A\n\n- one\n');
    const connector = await project.open();
    let onHint: () => void = () => undefined;
    const hinted = new Promise<void>((resolve) => (onHint = resolve));
    const stop = await connector.watch!(onHint);
    await edit();
    await hinted;
    await stop();
  });

  it('come when the whole .factory folder appears', async () => {
    await rm(join(project.root, '.factory'), { recursive: true });
    const connector = await project.open();
    let onHint: () => void = () => undefined;
    const hinted = new Promise<void>((resolve) => (onHint = resolve));
    const stop = await connector.watch!(onHint);
    await project.write('## A\n');
    await hinted;
    await stop();
  });

  it('let the last of two quick changes be seen', async () => {
    await project.write('## A\n\n- one\n');
    const connector = await project.open();
    let done: () => void = () => undefined;
    const seenLast = new Promise<void>((resolve) => (done = resolve));
    const stop = await connector.watch!(() => {
      void project.read().then((text) => text.includes('last') && done());
    });
    await project.write('');
    await project.write('## A\n\n- last\n');
    await seenLast;
    await stop();
  });
});
