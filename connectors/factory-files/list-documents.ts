/** Which files of a place are documents of a link: found by walking, or judged by their path. */
import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { AppError } from '../../domain/errors.ts';
import type { Include } from './factory-files-config.ts';
import { isMissing, realPathIn, unreachable, type Place } from './places.ts';

/** A walk over more entries than this is refused rather than cut: a cut listing looks like deletes. */
const MAX_ENTRIES = 200_000;
const MAX_DEPTH = 24;

const RULES = /^\.factory\/rules\/[^/]+\.md$/;
const DROIDS = /^\.factory\/droids\/[^/]+\.md$/;
const SKILLS = /^\.factory\/skills\/[^/]+\/SKILL\.md$/;
const PROJECT_AGENTS = /^(?:(?!\.|node_modules\/)[^/]+\/)*AGENTS\.md$/;
const PERSONAL_AGENTS = /^\.factory\/AGENTS\.md$/;

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

/**
 * Paths of all documents of a place, sorted.
 *
 * @throws AppError CONNECTOR_UNREACHABLE when a folder cannot be read, PATH_ESCAPES_ROOT when one
 * leads out, REMOTE_TOO_LARGE when there are too many entries to walk
 */
export async function listDocuments(
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
    const paths = isProject ? await agentsBelow(place) : await pathsIn(place, '.factory');
    for (const path of paths.filter((one) => one.endsWith('AGENTS.md'))) keep(path);
  }
  return found.sort();
}

/** Entries of a folder as paths; none when there is no such folder, or it is a file. */
async function pathsIn(place: Place, folder: string): Promise<readonly string[]> {
  const entries = await entriesOf(place, folder);
  return entries.map((entry) => `${folder}/${entry.name}`);
}

/** All `AGENTS.md` of a project; hidden folders, `node_modules` and linked folders are not entered. */
async function agentsBelow(place: Place): Promise<readonly string[]> {
  const found: string[] = [];
  const folders = [''];
  let seen = 0;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const entries = await entriesOf(place, folder);
    seen += entries.length;
    if (seen > MAX_ENTRIES)
      throw new AppError('REMOTE_TOO_LARGE', `more than ${MAX_ENTRIES} files to look through`);
    for (const entry of entries) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.name === 'AGENTS.md') found.push(path);
      else if (entry.isDirectory() && isEntered(entry.name) && path.split('/').length < MAX_DEPTH)
        folders.push(path);
    }
  }
  return found;
}

/** Folders with other people's code, or tools' own. */
export function isEntered(name: string): boolean {
  return !name.startsWith('.') && name !== 'node_modules';
}

async function entriesOf(place: Place, folder: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(await realPathIn(place, folder), { withFileTypes: true });
  } catch (thrown) {
    if (isMissing(thrown) || isNoFolder(thrown)) return [];
    throw unreachable(`${place.idPrefix}${folder}`, thrown);
  }
}

function isNoFolder(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOTDIR';
}
