/** Which files of a project and its memory folder belong to a `claude-code` link. */
import type { FileLayout } from '../files/file-layout.ts';
import { walk } from '../files/list-folder.ts';
import type { Place } from '../files/places.ts';
import type { Include } from './claude-code-config.ts';
import { MEMORY_PREFIX } from './places.ts';

const RULES_FOLDER = '.claude/rules';
const DOCUMENTS: Record<Include, RegExp | null> = {
  memory: null,
  instructions: /^(?:\.claude\/)?CLAUDE\.md$/,
  local: /^CLAUDE\.local\.md$/,
  rules: /^\.claude\/rules\/(?:(?!\.)[^/]+\/)*(?!\.)[^/]+\.md$/,
};

/** The index, and the notes beside it; hidden files are somebody's own business. */
export const INDEX_PATH = 'MEMORY.md';
const MEMORY_FILE = /^(?!\.)[^/\0\\]+\.md$/;

export function createClaudeLayout(
  places: readonly Place[],
  include: readonly Include[],
): FileLayout {
  const isDocument = (place: Place, path: string): boolean => {
    if (isMemoryPlace(place) || /[\0\\]/.test(path) || path.split('/').includes('..')) return false;
    return include.some((one) => DOCUMENTS[one]?.test(path));
  };
  return {
    places,
    isDocument,
    listDocuments: async (place) =>
      isMemoryPlace(place)
        ? []
        : (await candidates(place, include)).filter((path) => isDocument(place, path)).sort(),
    isFile: (place, path) => isDocument(place, path) || isMemoryFile(place, path),
    isFolder: (place, path) =>
      !isMemoryPlace(place) &&
      (path === '.claude' || path === RULES_FOLDER || path.startsWith(`${RULES_FOLDER}/`)),
  };
}

export const isMemoryPlace = (place: Place): boolean => place.idPrefix === MEMORY_PREFIX;

/** Whether a path is the index or a note of the memory folder. */
export function isMemoryFile(place: Place, path: string): boolean {
  return isMemoryPlace(place) && MEMORY_FILE.test(path);
}

/** Paths that may be documents; one that is not there is skipped when it is read. */
async function candidates(place: Place, include: readonly Include[]): Promise<readonly string[]> {
  const fixed = ['CLAUDE.md', '.claude/CLAUDE.md', 'CLAUDE.local.md'];
  if (!include.includes('rules')) return fixed;
  const isVisible = (name: string): boolean => !name.startsWith('.');
  const rules = await walk(place, {
    folder: RULES_FOLDER,
    isWanted: (name) => isVisible(name) && name.endsWith('.md'),
    isEntered: isVisible,
  });
  return [...fixed, ...rules];
}
