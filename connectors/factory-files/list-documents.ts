/** Which files of a place are documents of a link: found by walking, or judged by their path. */
import type { FileLayout } from '../files/file-layout.ts';
import { pathsIn, walk } from '../files/list-folder.ts';
import type { Place } from '../files/places.ts';
import type { Include } from './factory-files-config.ts';
import { MEMORY_PATH } from './places.ts';

const RULES = /^\.factory\/rules\/[^/]+\.md$/;
const DROIDS = /^\.factory\/droids\/[^/]+\.md$/;
const SKILLS = /^\.factory\/skills\/[^/]+\/SKILL\.md$/;
const PROJECT_AGENTS = /^(?:(?!\.|node_modules\/)[^/]+\/)*AGENTS\.md$/;
const PERSONAL_AGENTS = /^\.factory\/AGENTS\.md$/;

/** The files of a Factory project that a link takes. */
export function createFactoryLayout(
  places: readonly Place[],
  include: readonly Include[],
): FileLayout {
  return {
    places,
    isDocument: (place, path) => isDocumentPath(place, path, include),
    listDocuments: (place) => listDocuments(place, include),
    isFile: (place, path) =>
      path === MEMORY_PATH ? include.includes('memories') : isDocumentPath(place, path, include),
    isFolder: (place, path) => isFolderPath(place, path, include),
  };
}

/** Whether a path (relative to the place, with `/`) is a document of the link. */
export function isDocumentPath(place: Place, path: string, include: readonly Include[]): boolean {
  const agents = place.idPrefix === '' ? PROJECT_AGENTS : PERSONAL_AGENTS;
  const patterns: Record<Include, RegExp | null> = {
    memories: null,
    rules: RULES,
    agents,
    droids: DROIDS,
    skills: SKILLS,
  };
  if (/[\0\\]/.test(path) || path.split('/').includes('..')) return false;
  return include.some((one) => patterns[one]?.test(path));
}

async function listDocuments(
  place: Place,
  include: readonly Include[],
): Promise<readonly string[]> {
  const found: string[] = [];
  const keep = (path: string): unknown => isDocumentPath(place, path, include) && found.push(path);
  if (include.includes('rules'))
    for (const path of await pathsIn(place, '.factory/rules')) keep(path);
  if (include.includes('droids'))
    for (const path of await pathsIn(place, '.factory/droids')) keep(path);
  if (include.includes('skills')) {
    for (const folder of await pathsIn(place, '.factory/skills')) {
      for (const path of await pathsIn(place, folder)) keep(path);
    }
  }
  if (include.includes('agents')) {
    const isProject = place.idPrefix === '';
    const isWanted = (name: string): boolean => name === 'AGENTS.md';
    const paths = isProject
      ? await walk(place, { folder: '', isWanted, isEntered })
      : await pathsIn(place, '.factory');
    for (const path of paths) keep(path);
  }
  return found.sort();
}

function isFolderPath(place: Place, path: string, include: readonly Include[]): boolean {
  if (path === '.factory') return true;
  const parts = path.split('/');
  if (parts[0] === '.factory') return include.some((one) => parts[1] === one) && parts.length <= 3;
  const mayHoldAgents = include.includes('agents') && place.idPrefix === '';
  return mayHoldAgents && parts.every(isEntered) && !/\.[a-z0-9]+$/i.test(parts.at(-1) ?? '');
}

/** Folders with other people's code, or tools' own. */
function isEntered(name: string): boolean {
  return !name.startsWith('.') && name !== 'node_modules';
}
