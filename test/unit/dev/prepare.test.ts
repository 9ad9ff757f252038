import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

interface Prepare {
  readonly ROOMS: readonly string[];
  readonly sourceFiles: (root: string) => string[];
}

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
let prepare: Prepare;
let clone: string;
beforeAll(async () => {
  const file = pathToFileURL(join(ROOT, 'dev', 'prepare.mjs')).href;
  prepare = (await import(file)) as Prepare;
  clone = mkdtempSync(join(tmpdir(), 'syncline-clone-'));
  for (const room of prepare.ROOMS) put(`${room}/deep/some.ts`);
});
afterAll(() => rmSync(clone, { recursive: true, force: true }));

function put(path: string): void {
  mkdirSync(dirname(join(clone, path)), { recursive: true });
  writeFileSync(join(clone, path), '');
}

const sources = (): string[] => prepare.sourceFiles(clone).map((file) => relative(clone, file));

describe('the sources of a build', () => {
  it('are the files of our rooms and the settings of the build', () => {
    const configs = ['package-lock.json', 'tsconfig.build.json', 'tsconfig.json'];
    const files = prepare.ROOMS.map((room) => join(room, 'deep', 'some.ts'));
    expect(sources().toSorted()).toEqual([...files, ...configs].toSorted());
  });

  it('are not the files of any other folder in the clone', () => {
    const before = sources();
    for (const path of ['backups/a.backup', 'my-home/stack.json', 'scratch/main/a.ts']) put(path);
    symlinkSync(join(clone, 'nowhere'), join(clone, 'scratch', 'broken'));
    expect(sources()).toEqual(before);
  });

  it('are no symlinks either, such as the lock an editor leaves beside a file', () => {
    const before = sources();
    symlinkSync('somebody@host.1', join(clone, 'main', '.#run.ts'));
    expect(sources()).toEqual(before);
  });

  it('are all that tsconfig.build.json compiles, with what that imports, and no other folder', () => {
    const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.build.json'), (path) =>
      ts.sys.readFile(path),
    ) as { config: unknown };
    const compiled = withImports(ts.parseJsonConfigFileContent(config, ts.sys, ROOT).fileNames);
    const rooms = new Set(compiled.map((file) => relative(ROOT, file).split('/', 1)[0]));
    expect([...rooms].toSorted()).toEqual(prepare.ROOMS.toSorted());
  });
});

/** These files and every file of ours they lead to. */
function withImports(files: readonly string[]): readonly string[] {
  const found = new Set(files);
  // A set is walked to its end, also over what is added on the way.
  for (const file of found) {
    const { importedFiles } = ts.preProcessFile(readFileSync(file, 'utf8'), true, true);
    for (const { fileName } of importedFiles)
      if (fileName.startsWith('.') && fileName.endsWith('.ts'))
        found.add(join(dirname(file), fileName));
  }
  return [...found];
}
