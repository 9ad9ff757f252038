/** What goes into and comes out of diff and rollback. */
import { z } from 'zod';
import { actorSchema } from './contexts.ts';
import { dataSchema, ifVersionSchema, queryVersion, wholeNumber } from './values.ts';

export const diffQuery = z.strictObject({
  from: queryVersion
    .optional()
    .meta({ description: 'Left out: the version with data before `to`.' }),
  to: queryVersion.optional().meta({ description: 'Left out: the current version.' }),
});

const patchOpSchema = z
  .object({
    op: z.enum(['add', 'remove', 'replace']),
    path: z.string(),
    value: dataSchema.optional(),
  })
  .meta({ id: 'JsonPatchOp' });

export const diffSchema = z
  .object({
    from: z.int(),
    to: z.int(),
    patch: z
      .array(patchOpSchema)
      .readonly()
      .meta({ description: 'RFC 6902: applied to `from` it gives `to`.' }),
    delta: dataSchema.meta({
      description: 'The same in the format of jsondiffpatch, old values included; null: equal.',
      override: {},
    }),
  })
  .meta({ id: 'ContextDiff' });

export const rollbackBodySchema = z.strictObject({
  version: wholeNumber(1, 2_147_483_647).meta({
    description: 'The version whose data is to be the current data again.',
  }),
  changedBy: actorSchema.optional(),
  ifVersion: ifVersionSchema.optional(),
});
