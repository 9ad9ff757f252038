import {
  mkdtemp,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
  mkdir,
  realpath,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFileReader, type FileReader } from '../../../../connectors/files/file-reader.ts';
import type { Place } from '../../../../connectors/files/places.ts';
import type { FileState } from '../../../../connectors/files/read-file.ts';

let base: string;
let place: Place;
let reader: FileReader;
/** How far the reader's clock is ahead: files have rested, or are in doubt. */
let aheadMs = 0;

beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'file-reader-')));
  await mkdir(join(base, 'root/notes'), { recursive: true });
  const root = join(base, 'root');
  place = { base: root, boundary: root, idPrefix: '', namePrefix: '', isRequired: true };
  aheadMs = 60_000;
  reader = createFileReader({ clock: { now: () => Date.now() + aheadMs } });
});
afterEach(() => rm(base, { recursive: true }));

const path = (name: string): string => join(base, 'root/notes', name);
async function readOne(name: string): Promise<FileState> {
  const [state] = await reader.readAll(place, [`notes/${name}`]);
  return state!;
}

describe('a file that is read again and again', () => {
  it('is not read again while it is untouched and has rested', async () => {
    await writeFile(path('a.md'), 'one');
    const first = await readOne('a.md');
    expect(first).toMatchObject({ status: 'text', text: 'one' });
    expect(await readOne('a.md')).toBe(first);
  });

  it('is read again while it is in doubt', async () => {
    aheadMs = 0;
    await writeFile(path('a.md'), 'one');
    const first = await readOne('a.md');
    const again = await readOne('a.md');
    expect(again).toEqual(first);
    expect(again).not.toBe(first);
  });

  it('is read again when it changed to as many bytes and its time was put back', async () => {
    await writeFile(path('a.md'), 'one');
    await readOne('a.md');
    const { atime, mtime } = await stat(path('a.md'));
    // A tick of the file system's clock, so that the change has a time of its own.
    await expect
      .poll(async () => {
        await writeFile(path('b.md'), 'x');
        return (await stat(path('b.md'))).ctimeMs > (await stat(path('a.md'))).ctimeMs;
      })
      .toBe(true);
    await writeFile(path('a.md'), 'two');
    await utimes(path('a.md'), atime, mtime);
    expect(await readOne('a.md')).toMatchObject({ text: 'two' });
  });

  it('is missing once it is gone, and another one once it was replaced', async () => {
    await writeFile(path('a.md'), 'one');
    await readOne('a.md');
    await writeFile(path('b.md'), 'two');
    await rename(path('b.md'), path('a.md'));
    expect(await readOne('a.md')).toMatchObject({ text: 'two' });
    await rm(path('a.md'));
    expect(await readOne('a.md')).toEqual({ status: 'missing' });
  });

  it('is refused once its folder leads out of the place, though its bytes are known', async () => {
    await writeFile(path('a.md'), 'one');
    await readOne('a.md');
    await rename(join(base, 'root/notes'), join(base, 'outside'));
    await symlink(join(base, 'outside'), join(base, 'root/notes'));
    expect(await readOne('a.md')).toMatchObject({ status: 'faulty', code: 'PATH_ESCAPES_ROOT' });
  });

  it('gives every file of many its own state, in the order asked for', async () => {
    const names = Array.from({ length: 50 }, (_, nth) => `notes/${nth}.md`);
    const isThere = (nth: number): boolean => nth % 7 !== 0;
    for (const [nth, name] of names.entries()) {
      if (isThere(nth)) await writeFile(join(base, 'root', name), `n${nth}`);
    }
    const states = await reader.readAll(place, names);
    expect(states.map((state) => (state.status === 'text' ? state.text : state.status))).toEqual(
      names.map((_, nth) => (isThere(nth) ? `n${nth}` : 'missing')),
    );
  });
});
