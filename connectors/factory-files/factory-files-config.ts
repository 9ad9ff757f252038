/** What a `factory-files` link may be configured with. */
import { isAbsolute } from 'node:path';
import { z } from 'zod';

export const INCLUDES = ['memories', 'rules', 'agents', 'droids', 'skills'] as const;
export type Include = (typeof INCLUDES)[number];

export const factoryFilesConfigSchema = z.strictObject({
  root: z
    .string()
    .refine((path) => isAbsolute(path) && !path.includes('\0'), 'must be an absolute path')
    .describe('The project folder, absolute. Its memories are in `.factory/memories.md`.'),
  include: z
    .array(z.enum(INCLUDES))
    .min(1)
    .default(['memories'])
    .describe('What to keep in step; all but `memories` are whole documents.'),
  personal: z
    .boolean()
    .default(false)
    .describe('Also `~/.factory` of the user the server runs as. It must be an allowed folder.'),
  blocks: z
    .enum(['all', 'bullets'])
    .default('all')
    .describe('Which blocks of a section are observations: all of them, or list items only.'),
});

export type FactoryFilesConfig = z.infer<typeof factoryFilesConfigSchema>;
