import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { placeNew, requireFree, writeWholeFile } from '../../../cli/whole-file.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'syncline-whole-'));
  file = join(folder, 'out');
});
afterEach(() => rmSync(folder, { recursive: true }));

async function* pieces(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

const noLinks = (): Promise<void> =>
  Promise.reject(Object.assign(new Error('not permitted'), { code: 'EPERM' }));

describe('a file that appears whole', () => {
  it('is not put in the place of one that came meanwhile, and leaves nothing', async () => {
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield* pieces('new');
      writeFileSync(file, 'theirs');
    }
    await expect(writeWholeFile(file, slow(), { isForced: false })).rejects.toMatchObject({
      code: 'FILE_EXISTS',
    });
    expect([readFileSync(file, 'utf8'), readdirSync(folder)]).toEqual(['theirs', ['out']]);
  });

  it('is put there when forced', async () => {
    writeFileSync(file, 'old');
    await writeWholeFile(file, pieces('new'), { isForced: true });
    expect([readFileSync(file, 'utf8'), readdirSync(folder)]).toEqual(['new', ['out']]);
  });

  it.each([
    ['with hard links', undefined],
    ['without', noLinks],
  ])('on a file system %s: of several at once one gets the name', async (_name, hardLink) => {
    const drafts = ['a', 'b', 'c'].map((name) => join(folder, name));
    for (const draft of drafts) writeFileSync(draft, draft);
    const ends = await Promise.allSettled(drafts.map((draft) => placeNew(draft, file, hardLink)));
    const placed = drafts.filter((_draft, at) => ends[at]!.status === 'fulfilled');
    expect(placed).toEqual([readFileSync(file, 'utf8')]);
    expect(existsSync(placed[0]!)).toBe(false);
    for (const end of ends)
      if (end.status === 'rejected') expect(end.reason).toMatchObject({ code: 'FILE_EXISTS' });
  });

  it('leaves no empty file where the draft cannot be moved', async () => {
    await expect(placeNew(join(folder, 'nowhere'), file, noLinks)).rejects.toThrow('ENOENT');
    expect(existsSync(file)).toBe(false);
  });
});

describe('a name to write under', () => {
  it('is free in a folder that is there; a link to nowhere takes it, too', async () => {
    await requireFree(file, { isForced: false });
    symlinkSync(join(folder, 'nowhere'), file);
    await expect(requireFree(file, { isForced: false })).rejects.toMatchObject({
      code: 'FILE_EXISTS',
      message: `${file} exists; name another, or replace it with --force`,
    });
    await requireFree(file, { isForced: true });
  });

  it('is refused in a folder that is not there or is none, and when it is a folder', async () => {
    writeFileSync(file, '');
    for (const parent of [join(folder, 'no', 'such'), file]) {
      await expect(requireFree(join(parent, 'x'), { isForced: true })).rejects.toMatchObject({
        code: 'FOLDER_NOT_FOUND',
        message: expect.stringContaining(`the folder ${parent} `) as string,
      });
    }
    mkdirSync(join(folder, 'sub'));
    const sub = requireFree(join(folder, 'sub'), { isForced: true });
    await expect(sub).rejects.toThrow('is a folder; name a file');
  });
});
