/** What goes into and comes out of a batch of context operations. */
import { z } from 'zod';
import { changesSomething, contextSchema, storeOptionsSchema, updateParts } from './contexts.ts';
import { dataSchema, ifVersionSchema, keySchema, wholeNumber } from './values.ts';

/** Most operations of one batch. */
export const MAX_BATCH_OPERATIONS = 1_000;
/** Most bytes of its body. */
export const MAX_BATCH_BODY_BYTES = 32 * 1024 * 1024;

const storeOperation = z
  .strictObject({
    op: z.literal('store'),
    key: keySchema,
    data: dataSchema,
    options: storeOptionsSchema.optional(),
  })
  .meta({ id: 'BatchStore' });

const updateOperation = z
  .strictObject({
    op: z.literal('update'),
    key: keySchema,
    ...updateParts,
  })
  .superRefine(changesSomething)
  .meta({ id: 'BatchUpdate' });

const deleteOperation = z
  .strictObject({
    op: z.literal('delete'),
    key: keySchema,
    ifVersion: ifVersionSchema.optional(),
    options: z
      .strictObject({ ifVersion: ifVersionSchema.optional() })
      .optional()
      .meta({ description: 'The same as beside it; as the other operations have it.' }),
  })
  .meta({ id: 'BatchDelete' });

const getOperation = z
  .strictObject({
    op: z.literal('get'),
    key: keySchema,
    version: wholeNumber(1, 2_147_483_647).optional(),
    fields: z.string().optional().meta({ description: 'As in `GET /get`.' }),
  })
  .meta({ id: 'BatchGet' });

export const batchOperationSchema = z.discriminatedUnion('op', [
  storeOperation,
  updateOperation,
  deleteOperation,
  getOperation,
]);

/** An operation as it is sent, or (`op: 'invalid'`) what stands in its place. */
const sentOperationSchema = z
  .union([
    batchOperationSchema,
    z.unknown().transform((given) => ({ op: 'invalid' as const, given })),
  ])
  .meta({
    description: 'One that is not valid fails like any other: with status 400, in its place.',
  });

export const batchBodySchema = z.strictObject({
  atomic: z
    .boolean()
    .optional()
    .meta({ description: 'True: all or nothing. Default false: each for itself.' }),
  operations: z
    .array(sentOperationSchema)
    .min(1)
    .max(MAX_BATCH_OPERATIONS)
    .readonly()
    .meta({ description: 'Done in order; several may be about one key.' }),
});

export const batchResultSchema = z
  .object({
    ...contextSchema.partial().shape,
    op: z.string().nullable(),
    key: z.string().nullable().meta({ description: 'Null where none could be read.' }),
    status: z
      .int()
      .meta({ description: 'What the operation alone would have been answered.', examples: [201] }),
    deleted: z.literal(true).optional(),
    code: z
      .string()
      .optional()
      .meta({ description: 'Of an operation that failed, or a get miss.' }),
    detail: z.string().optional(),
    errors: z
      .array(z.object({ pointer: z.string(), detail: z.string() }))
      .readonly()
      .optional(),
    currentVersion: z.int().optional().meta({ description: 'With VERSION_CONFLICT.' }),
  })
  .meta({
    id: 'BatchResult',
    description:
      'A store or update has the envelope beside `op` and `status`, a get the context, a delete `version` and `deleted`.',
  });

export const batchResultsSchema = z.object({
  results: z.array(batchResultSchema).readonly().meta({ description: 'One each, in order.' }),
});
