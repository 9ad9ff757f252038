/** File names of new notes. */
import { hashText } from '../../domain/hash.ts';

const MAX_STEM = 60;

/** A free path for a note of this name: letters, digits and dashes, as Claude Code names its own. */
export function notePath(name: string, isTaken: (path: string) => boolean): string {
  const stem = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}+/gu, '')
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, MAX_STEM)
    .replace(/^-+|-+$/g, '');
  const mark = hashText(name).slice(0, 8);
  const paths = [`${stem}.md`, `${stem}-${mark}.md`, `note-${mark}.md`];
  // The index is called so on file systems that know no case.
  const free = paths.find((path) => !/^(?:memory|)\.md$|^-/.test(path) && !isTaken(path));
  return free ?? `note-${hashText(name)}.md`;
}
