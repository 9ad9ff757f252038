/** Export and import: what a line may say, and what an import answers. */
import { z } from 'zod';
import { ERROR_CODES, type ErrorCode } from '../../domain/errors.ts';
import {
  dataSchema,
  keySchema,
  metadataSchema,
  nameSchema,
  prefixSchema,
  wholeNumber,
} from './values.ts';
import {
  changeTypeSchema,
  deleteReasonSchema,
  foreignIdSchema,
  MAX_KIND_CODE_POINTS,
  tagsSchema,
  tagsQuery,
} from './contexts.ts';

/** Well below what Postgres' `integer` holds: a key whose numbers are used up takes no more writes. */
const MAX_VERSION = 2_000_000_000;

export const exportQuery = z.strictObject({
  prefix: prefixSchema.optional(),
  tag: tagsQuery.optional(),
  decrypt: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional()
    .meta({
      description:
        'Give out encrypted data in clear; needs the scope `admin`. Else it is left out and counted.',
      override: { type: 'boolean' },
    }),
});

export const importQuery = z.strictObject({
  mode: z.enum(['skip', 'overwrite', 'newer']).default('skip').meta({
    description:
      'What wins over a context that is there: it itself (`skip`), the import (`overwrite`), or whichever changed last (`newer`: `updatedAt`, then the version).',
  }),
});

const time = z.iso
  .datetime({ offset: true, error: 'must be a time like `2026-01-31T12:00:00Z`' })
  .transform((text) => new Date(text));
const actor = foreignIdSchema.nullable();

/** One version. Only `key`, `version` and `data` (or `deleted`) are a must, for files made by hand. */
export const exportLineSchema = z
  .strictObject({
    key: keySchema,
    version: wholeNumber(1, MAX_VERSION),
    changeType: changeTypeSchema.optional(),
    reason: deleteReasonSchema.optional(),
    kind: nameSchema(MAX_KIND_CODE_POINTS).default('json'),
    source: foreignIdSchema.nullable().default(null),
    parentId: keySchema.nullable().default(null),
    sessionId: foreignIdSchema.nullable().default(null),
    agentId: foreignIdSchema.nullable().default(null),
    tags: tagsSchema.default([]),
    metadata: metadataSchema.default({}),
    encrypted: z.boolean().default(false),
    compressed: z.boolean().optional(),
    size: z.int().min(0).optional(),
    createdAt: time.optional(),
    createdBy: actor.default(null),
    updatedAt: time.optional(),
    updatedBy: actor.default(null),
    expiresAt: time.nullable().default(null),
    hash: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in hex')
      .optional(),
    deleted: z.literal(true).optional(),
    data: dataSchema.optional(),
  })
  .refine((line) => (line.data === undefined) === (line.deleted === true), {
    error: 'must have either `data` or `deleted: true`',
  })
  .refine(
    (line) => (line.changeType === 'delete') === (line.deleted === true) || !line.changeType,
    {
      error: 'must be `delete` for a deleted version, and only for one',
      path: ['changeType'],
    },
  );

const codes = Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]];

export const importResultSchema = z
  .object({
    imported: z.int().meta({ description: 'Versions that were written.' }),
    skipped: z.int().meta({ description: 'Versions that did not win, or were there.' }),
    failed: z.int().meta({ description: 'Lines that could not be taken.' }),
    errors: z
      .array(z.object({ line: z.int(), code: z.enum(codes), detail: z.string() }))
      .readonly()
      .meta({ description: 'The first hundred of them, by line from 1.' }),
  })
  .meta({ id: 'ImportResult' });
