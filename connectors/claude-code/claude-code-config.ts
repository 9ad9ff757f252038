/** What a `claude-code` link may be configured with. */
import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { isWithin } from '../files/places.ts';

export const INCLUDES = ['memory', 'instructions', 'rules', 'local'] as const;
export type Include = (typeof INCLUDES)[number];

const absolutePath = z
  .string()
  .refine((path) => isAbsolute(path) && !path.includes('\0'), 'must be an absolute path');

export const claudeCodeConfigSchema = z
  .strictObject({
    root: absolutePath.describe('The project folder, absolute: where `CLAUDE.md` is.'),
    include: z
      .array(z.enum(INCLUDES))
      .min(1)
      .optional()
      .describe(
        'What to keep in step: `memory` (the auto-memory folder), `instructions` (`CLAUDE.md`, ' +
          '`.claude/CLAUDE.md`), `rules` (`.claude/rules/`), `local` (`CLAUDE.local.md`). ' +
          'Without it: instructions and rules, and memory where `memoryDir` is given.',
      ),
    memoryDir: absolutePath
      .optional()
      .describe(
        "Claude Code's memory folder of this project, absolute. Without it the default one: " +
          '`~/.claude/projects/<project path with dashes>/memory`.',
      ),
  })
  .refine((config) => !isMixedUp(config), {
    path: ['memoryDir'],
    error: 'must be a folder of its own: not the project, nor one above it, nor `.claude/rules`',
  });

export type ClaudeCodeConfig = z.infer<typeof claudeCodeConfigSchema>;

/** What a link takes; memory is never opened outside the project without being asked for. */
export function includesOf({ include, memoryDir }: ClaudeCodeConfig): readonly Include[] {
  if (include) return [...new Set(include)].sort();
  return memoryDir === undefined ? ['instructions', 'rules'] : ['instructions', 'memory', 'rules'];
}

/** A file must not be a document and a memory at once. */
function isMixedUp(config: { readonly root: string; readonly memoryDir?: string | undefined }) {
  if (config.memoryDir === undefined) return false;
  const root = resolve(config.root);
  const memoryDir = resolve(config.memoryDir);
  const isOver = ['.', '.claude'].some((path) => isWithin(resolve(root, path), memoryDir));
  return isOver || isWithin(memoryDir, resolve(root, '.claude', 'rules'));
}
