import {
  appendFile,
  mkdtemp,
  open,
  realpath,
  rm,
  writeFile,
  type FileHandle,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLateWrites, type LateWrites } from '../../../../connectors/files/late-writes.ts';
import type { Place } from '../../../../connectors/files/places.ts';
import { requireText } from '../../../../connectors/files/read-file.ts';

let root: string;
let place: Place;
let late: LateWrites;
let merged: string[];
let afterMerge: () => Promise<void>;

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'late-writes-')));
  place = { base: root, boundary: root, idPrefix: '', namePrefix: '', isRequired: true };
  merged = [];
  afterMerge = async () => undefined;
  late = createLateWrites({
    merge: async ({ path, after }) => {
      merged.push(`${path}: ${after.text}`);
      await afterMerge();
    },
    serially: (work) => work(),
    onError: (thrown) => expect.unreachable(String(thrown)),
    delaysMs: [60_000],
  });
});
afterEach(async () => {
  await late.close();
  await rm(root, { recursive: true });
});

async function keep(name: string): Promise<FileHandle> {
  await writeFile(join(root, name), 'old\n');
  const handle = await open(join(root, name));
  const before = (await requireText(place, name))!;
  await late.keep({ place, path: name, handle, before, written: 'new\n' });
  return handle;
}

it('lets go of the oldest of many replaced files, after a last look at each', async () => {
  const handles: FileHandle[] = [];
  for (let nth = 0; nth < 16; nth += 1) handles.push(await keep(`n${nth}.md`));
  await appendFile(join(root, 'n0.md'), 'late\n');
  handles.push(await keep('n16.md'));
  expect(merged).toEqual(['n0.md: old\nlate\n']);
  expect(handles.filter(({ fd }) => fd >= 0)).toHaveLength(16);
});

it('merges a late write once, though merging it replaces another file', async () => {
  for (let nth = 0; nth < 16; nth += 1) await keep(`n${nth}.md`);
  await appendFile(join(root, 'n0.md'), 'late\n');
  await appendFile(join(root, 'n1.md'), 'late\n');
  let more = 0;
  afterMerge = async () => {
    if (more < 3) await keep(`more${(more += 1)}.md`);
  };
  await late.look();
  expect(merged.sort()).toEqual(['n0.md: old\nlate\n', 'n1.md: old\nlate\n']);
});
