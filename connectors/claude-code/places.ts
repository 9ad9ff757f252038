/** The folders of a `claude-code` link: the project, and Claude Code's memory folder for it. */
import { join, resolve } from 'node:path';
import { realOrSelf, type Place } from '../files/places.ts';
import { includesOf, type ClaudeCodeConfig } from './claude-code-config.ts';

/** Before the names of files in the memory folder, in messages and quarantined ids. */
export const MEMORY_PREFIX = 'memory/';

/** The places of a configuration; `home` is the folder that holds `.claude`. */
export function placesOf(config: ClaudeCodeConfig, home: string): readonly Place[] {
  const root = resolve(config.root);
  const project = placeAt(root, '');
  if (!includesOf(config).includes('memory')) return [project];
  return [
    project,
    placeAt(resolve(config.memoryDir ?? defaultMemoryDir(root, home)), MEMORY_PREFIX),
  ];
}

/**
 * Where Claude Code keeps a project's memory unless its `autoMemoryDirectory` says otherwise: every
 * character of the path but ASCII letters and digits becomes a dash (anthropics/claude-code#70076).
 * For a git worktree that is the path of the main checkout, which only the user can tell us.
 */
export function defaultMemoryDir(root: string, home: string): string {
  const project = realOrSelf(root).replace(/[^a-zA-Z0-9]/g, '-');
  return join(home, '.claude', 'projects', project, 'memory');
}

function placeAt(folder: string, idPrefix: string): Place {
  return { base: folder, boundary: folder, idPrefix, namePrefix: '', isRequired: true };
}
