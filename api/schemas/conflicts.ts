/** What goes into and comes out of the calls about conflicts, and of waiting for a write. */
import { z } from 'zod';
import { CONFLICT_REASONS } from '../../domain/link.ts';
import {
  cursorSchema,
  dataSchema,
  idSchema,
  keySchema,
  MAX_LIMIT,
  nameSchema,
  pageSchema,
  prefixSchema,
  queryLimit,
  timeSchema,
  wholeNumber,
} from './values.ts';

const MAX_BY_CODE_POINTS = 256;
/** Postgres `integer`. */
const MAX_INTEGER = 2_147_483_647;
const MAX_WAIT_MS = 30_000;
const DEFAULT_WAIT_MS = 10_000;
const DEFAULT_BULK = 100;

export const conflictsQuery = z.strictObject({
  linkId: idSchema.optional().meta({ description: 'Id or name of a link.' }),
  status: z.enum(['open', 'resolved', 'closed']).optional(),
  limit: queryLimit,
  cursor: cursorSchema.optional(),
});

const bySchema = nameSchema(MAX_BY_CODE_POINTS).nullable().optional().meta({
  description: 'Who decided. Default: the caller.',
});

export const resolveSchema = z
  .strictObject({
    choice: z.enum(['hub', 'remote', 'base', 'merged', 'value']).meta({
      description: '`merged` takes the proposal; `value` takes the `value` sent along.',
    }),
    value: dataSchema.optional(),
    by: bySchema,
    ifRevision: wholeNumber(1, MAX_INTEGER).optional().meta({
      description: 'Decide only if the conflict is still at this revision.',
    }),
  })
  .refine((body) => body.choice !== 'value' || body.value !== undefined, {
    path: ['value'],
    error: 'is required when choice is `value`',
  })
  .refine((body) => body.choice === 'value' || body.value === undefined, {
    path: ['value'],
    error: 'may only be given when choice is `value`',
  });

const reasonSchema = z.enum(CONFLICT_REASONS);

export const conflictSchema = z
  .object({
    id: z.string(),
    linkId: z.string(),
    key: z.string(),
    status: z.enum(['open', 'resolved', 'closed']),
    reason: reasonSchema,
    base: dataSchema.nullable(),
    hub: dataSchema.nullable(),
    remote: dataSchema.nullable(),
    pointers: z.array(z.string()).readonly().meta({ description: 'The contested places.' }),
    proposal: dataSchema.nullable().meta({ description: 'All that merges, merged.' }),
    dueAt: timeSchema.nullable().meta({
      description: 'When the link’s `conflictFallback` decides, if nobody has.',
    }),
    revision: z.int().meta({ description: 'Rises with every change of a side.' }),
    createdAt: timeSchema,
    resolvedAt: timeSchema.nullable(),
    resolvedBy: z.string().nullable(),
  })
  .meta({ id: 'Conflict' });
export const conflictPageSchema = pageSchema(conflictSchema);

export const bulkResolveSchema = z.strictObject({
  linkId: idSchema.meta({ description: 'Id or name of a link.' }),
  filter: z
    .strictObject({
      reason: reasonSchema.optional(),
      prefix: prefixSchema.optional(),
      key: keySchema.optional(),
    })
    .default({})
    .meta({ description: 'Which open conflicts; those that fit all of it. Default: all.' }),
  choice: z.enum(['hub', 'remote', 'base', 'merged']),
  preview: z.boolean().default(false).meta({ description: 'Show what it would do; do nothing.' }),
  by: bySchema,
  limit: wholeNumber(1, MAX_LIMIT)
    .default(DEFAULT_BULK)
    .meta({
      description: `Conflicts of this call, at most ${MAX_LIMIT}.`,
    }),
  cursor: cursorSchema.optional(),
});

const sideSchema = z
  .object({ before: dataSchema.nullable(), after: dataSchema.nullable() })
  .optional()
  .meta({ description: 'Of a preview. Null: no such item.' });

export const bulkResultSchema = z
  .object({
    preview: z.boolean(),
    count: z.int().meta({ description: 'Open conflicts that fit, on all pages.' }),
    items: z
      .array(
        z.object({
          id: z.string(),
          key: z.string(),
          reason: reasonSchema,
          revision: z.int(),
          status: z.enum(['resolvable', 'resolved', 'refused']),
          code: z.string().optional(),
          detail: z.string().optional().meta({ description: 'Why it was refused.' }),
          hub: sideSchema,
          remote: sideSchema,
        }),
      )
      .readonly(),
    nextCursor: z.string().nullable().meta({ description: 'Null on the last page.' }),
  })
  .meta({ id: 'BulkResolution' });

export const waitSchema = z.strictObject({
  key: keySchema,
  version: wholeNumber(1, MAX_INTEGER).meta({ description: 'As the write was acknowledged.' }),
  linkId: idSchema.meta({ description: 'Id or name of a link.' }),
  timeoutMs: wholeNumber(0, MAX_WAIT_MS).default(DEFAULT_WAIT_MS),
});

export const waitedSchema = z
  .object({
    outcome: z.enum(['accepted', 'merged', 'conflict', 'rejected', 'timeout']).meta({
      description:
        '`accepted`: both sides hold the write, or a later version that contains it. `merged`: so, and it was merged with an edit of the remote, or took part in a conflict that was decided. `conflict`: the item rests with it. `rejected`: the link will not carry it as it is. `timeout`: nothing of this yet.',
    }),
    version: z.int().optional().meta({
      description: 'The version both sides agreed on, or that takes part in the conflict.',
    }),
    conflictId: z.string().optional(),
    code: z.string().optional().meta({ description: 'Why it was rejected.' }),
    detail: z.string().optional(),
  })
  .meta({ id: 'WriteOutcome' });
