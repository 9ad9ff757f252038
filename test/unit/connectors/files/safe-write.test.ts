import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Place } from '../../../../connectors/files/places.ts';
import {
  createSafeWrite,
  type FileJob,
  type ReplacedFile,
  type SafeWrite,
} from '../../../../connectors/files/safe-write.ts';

let root: string;
let place: Place;
let replaced: ReplacedFile[];
let write: SafeWrite;

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'safe-write-')));
  place = { base: root, boundary: root, idPrefix: '', namePrefix: '', isRequired: true };
  replaced = [];
  write = createSafeWrite({
    newId: randomUUID,
    onReplaced: async (one) => {
      replaced.push(one);
      await one.handle.close();
    },
  });
});
afterEach(() => rm(root, { recursive: true }));

const job = (path: string, text: string): FileJob<string> => ({
  path,
  decide: () => ({ action: 'replace', text, result: path }),
});

describe('a batch of files', () => {
  it('is written whole, more files than fit under one lock, and leaves nothing else behind', async () => {
    const jobs = Array.from({ length: 300 }, (_, nth) => job(`n${nth}.md`, `text ${nth}`));
    const settled = await write.all(place, jobs);
    expect(settled.every(({ status }) => status === 'fulfilled')).toBe(true);
    expect((await readdir(root)).sort()).toEqual(jobs.map(({ path }) => path).sort());
    expect(await readFile(join(root, 'n299.md'), 'utf8')).toBe('text 299');
  });

  it('goes on past a file that cannot be written, and says which one it was', async () => {
    await mkdir(join(root, 'folder.md'));
    const settled = await write.all(place, [
      job('a.md', 'a'),
      job('folder.md', 'x'),
      job('../out.md', 'x'),
      job('deep/er/b.md', 'b'),
    ]);
    expect(settled).toMatchObject([
      { status: 'fulfilled', value: 'a.md' },
      { status: 'rejected', reason: { code: 'CONNECTOR_UNREACHABLE' } },
      { status: 'rejected', reason: { code: 'PATH_ESCAPES_ROOT' } },
      { status: 'fulfilled', value: 'deep/er/b.md' },
    ]);
    expect(await readFile(join(root, 'deep/er/b.md'), 'utf8')).toBe('b');
  });

  it('hands over each file it replaced or removed, and takes no lock where all is well', async () => {
    await writeFile(join(root, 'a.md'), 'old');
    await writeFile(join(root, 'b.md'), 'old');
    await write.all(place, [
      job('a.md', 'new'),
      { path: 'b.md', decide: () => ({ action: 'remove', result: '' }) },
      { path: 'missing/c.md', decide: () => ({ action: 'keep', result: '' }) },
    ]);
    expect(replaced.map(({ path, written }) => [path, written]).sort()).toEqual([
      ['a.md', 'new'],
      ['b.md', null],
    ]);
    expect(await readdir(root)).toEqual(['a.md']);
  });

  it('decides again on what a file says by then', async () => {
    await writeFile(join(root, 'a.md'), 'one');
    let isFirst = true;
    const settled = await write.all(place, [
      {
        path: 'a.md',
        decide: async (now) => {
          if (isFirst) await writeFile(join(root, 'a.md'), 'theirs');
          isFirst = false;
          return { action: 'replace', text: `${now?.text} and ours`, result: now?.text };
        },
      },
    ]);
    expect(settled).toEqual([{ status: 'fulfilled', value: 'theirs' }]);
    expect(await readFile(join(root, 'a.md'), 'utf8')).toBe('theirs and ours');
  });

  it('keeps a byte order mark that is the text’s own apart from the file’s', async () => {
    await write(place, 'a.md', () => ({ action: 'replace', text: '\uFEFFtext', result: null }));
    const read = await write(place, 'a.md', (now) => ({ action: 'keep', result: now?.text }));
    expect(read).toBe('\uFEFFtext');
  });
});
