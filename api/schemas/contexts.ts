/** What goes into and comes out of the context calls. */
import { z } from 'zod';
import {
  dataSchema,
  ifVersionSchema,
  jsonObjectSchema,
  keySchema,
  metadataSchema,
  nameSchema,
  pageSchema,
  prefixSchema,
  queryIfVersion,
  queryLimit,
  queryVersion,
  queryWait,
  cursorSchema,
  timeSchema,
  ttlSchema,
} from './values.ts';

export const MAX_TAGS = 64;
const MAX_TAG_CODE_POINTS = 128;
const MAX_ID_CODE_POINTS = 256;
export const MAX_KIND_CODE_POINTS = 128;

export const tagSchema = nameSchema(MAX_TAG_CODE_POINTS);
/** Each tag once, in the order given. */
export const tagsSchema = z
  .array(tagSchema)
  .max(MAX_TAGS)
  .overwrite((tags) => [...new Set(tags)])
  .readonly();
/** A session, an agent, a source: an id of somebody else's. */
export const foreignIdSchema = nameSchema(MAX_ID_CODE_POINTS);
export const actorSchema = nameSchema(MAX_ID_CODE_POINTS).meta({
  description: 'Who makes this change; kept in the history.',
});

const optionFields = {
  sessionId: foreignIdSchema.nullable().optional(),
  agentId: foreignIdSchema.nullable().optional(),
  ttl: ttlSchema.optional(),
  encrypt: z.boolean().optional().meta({
    description: 'Left out: an encrypted context stays so, another is as the server is set.',
  }),
  compress: z.boolean().optional().meta({
    description:
      'True: always, false: never. Left out: bodies over 1 KiB (configurable) that shrink by it.',
  }),
  tags: tagsSchema.optional(),
  parentId: keySchema.nullable().optional().meta({
    description:
      'Key of the parent context. It need not exist; one that would close a cycle is refused.',
  }),
  source: foreignIdSchema.nullable().optional().meta({ description: 'Where the data comes from.' }),
  kind: nameSchema(MAX_KIND_CODE_POINTS)
    .optional()
    .meta({
      description: 'What the data is; `memory` and `document` are kept in step by links.',
      examples: ['memory'],
    }),
  metadata: metadataSchema.optional(),
  ifVersion: ifVersionSchema.optional(),
};

export const storeOptionsSchema = z.strictObject(optionFields).meta({
  id: 'StoreOptions',
  description: 'What is not named gets its default, also when the context exists.',
});

export const updateOptionsSchema = z
  .strictObject({
    changeType: z.enum(['replace', 'merge', 'append']).optional().meta({
      description:
        '`replace` (default), `merge` (RFC 7396) or `append` (arrays concatenate, objects recurse, anything else replaces).',
    }),
    changedBy: actorSchema.optional(),
    ...optionFields,
  })
  .meta({ id: 'UpdateOptions', description: 'What is not named stays, the expiry included.' });

export const storeBodySchema = z.strictObject({
  key: keySchema,
  data: dataSchema,
  options: storeOptionsSchema.optional(),
});

/** Of an update: data, options that change something, or both. */
export const updateParts = {
  data: dataSchema
    .optional()
    .meta({ description: 'Left out: it stays as it is, and only the options named change.' }),
  options: updateOptionsSchema.optional(),
};

const NO_CHANGES: ReadonlySet<string> = new Set(['changeType', 'changedBy', 'ifVersion']);

/** Refuses an update that would change nothing, and a way to change data without any. */
export function changesSomething(
  { data, options = {} }: { data?: unknown; options?: object | undefined },
  context: z.core.$RefinementCtx,
): void {
  if (data !== undefined) return;
  const names = Object.keys(options);
  const isEnough = names.some((name) => !NO_CHANGES.has(name)) && !names.includes('changeType');
  if (isEnough) return;
  const message = names.includes('changeType')
    ? 'is required with `changeType`'
    : 'is required, unless `options` change something';
  context.addIssue({ code: 'custom', path: ['data'], message, input: data });
}

export const updateBodySchema = z.strictObject(updateParts).superRefine(changesSomething);

export const keyParams = z.strictObject({ key: keySchema });

export const getQuery = z.strictObject({
  version: queryVersion.optional().meta({ description: 'A version of the history.' }),
  fields: z
    .string()
    .optional()
    .meta({
      description:
        'Only these: members of the answer and JSON pointers into `data`, separated by commas.',
      examples: ['version,/state/step'],
    }),
});

export const deleteQuery = z.strictObject({ ifVersion: queryIfVersion.optional() });

/** One value or several of the same parameter. */
export const tagsQuery = z
  .union([tagSchema, z.array(tagSchema).max(MAX_TAGS)])
  .transform((tags) => (Array.isArray(tags) ? tags : [tags]))
  .meta({
    description: 'Contexts that have all of these tags; repeat the parameter.',
    override: ({ jsonSchema }) => {
      delete jsonSchema.anyOf;
      Object.assign(jsonSchema, { type: 'array', items: { type: 'string' } });
    },
  });

export const listQuery = z.strictObject({
  prefix: prefixSchema.optional(),
  tag: tagsQuery.optional(),
  sessionId: foreignIdSchema.optional(),
  agentId: foreignIdSchema.optional(),
  parent: keySchema.optional(),
  source: foreignIdSchema.optional(),
  limit: queryLimit,
  cursor: cursorSchema.optional(),
});

export const versionsQuery = z.strictObject({ limit: queryLimit, cursor: cursorSchema.optional() });

export const changesQuery = z.strictObject({
  since: cursorSchema.optional().meta({
    description: 'Cursor of the page before. Left out: the oldest kept. `now`: only the head.',
  }),
  limit: queryLimit,
  wait: queryWait.optional(),
});

const envelopeFields = {
  key: z.string(),
  version: z.int(),
  hash: z.string().meta({ description: 'SHA-256 of the canonical JSON of `data`.' }),
  kind: z.string(),
  source: z.string().nullable(),
  parentId: z.string().nullable(),
  sessionId: z.string().nullable(),
  agentId: z.string().nullable(),
  tags: z.array(z.string()).readonly(),
  metadata: jsonObjectSchema,
  encrypted: z.boolean(),
  compressed: z.boolean(),
  size: z.int().meta({ description: 'Bytes of the compact JSON of `data`.' }),
  createdAt: timeSchema,
  createdBy: z.string().nullable(),
  updatedAt: timeSchema,
  updatedBy: z.string().nullable(),
  expiresAt: timeSchema.nullable(),
};

export const envelopeSchema = z
  .object(envelopeFields)
  .meta({ id: 'ContextEnvelope', description: 'A context without its data.' });

export const contextSchema = z
  .object({ ...envelopeFields, data: dataSchema })
  .meta({ id: 'Context' });

/** A context of which `fields` may have left out any part. */
export const partialContextSchema = contextSchema.partial();

export const deletedSchema = z.object({
  key: z.string(),
  version: z.int().meta({ description: 'The version the delete made.' }),
  deleted: z.literal(true),
});

export const changeTypeSchema = z.enum([
  'create',
  'update',
  'merge',
  'append',
  'rollback',
  'delete',
]);
export const deleteReasonSchema = z.enum(['user', 'remote', 'ttl', 'filter', 'retention', 'merge']);

export const versionRowSchema = z
  .object({
    version: z.int(),
    hash: z.string().nullable(),
    changeType: changeTypeSchema,
    changedBy: z.string().nullable(),
    changedAt: timeSchema,
    size: z.int(),
    reason: deleteReasonSchema.nullable(),
  })
  .meta({ id: 'VersionRow' });

export const changeSchema = z
  .object({
    key: z.string(),
    version: z.int(),
    timestamp: timeSchema,
    changeType: changeTypeSchema,
    changedBy: z.string().nullable(),
    deleted: z.literal(true).optional(),
    reason: deleteReasonSchema.optional(),
    cursor: z.string(),
  })
  .meta({ id: 'Change' });

export const changesSchema = z.object({
  changes: z.array(changeSchema).readonly(),
  cursor: z.string().meta({ description: 'Pass it as `since` to go on.' }),
  hubId: z.string().optional().meta({
    description:
      'With `since=now`: what this hub and tenant call themselves, so that a link can tell when it leads back to where it begins.',
  }),
});

export const contextPageSchema = pageSchema(envelopeSchema);
export const versionPageSchema = pageSchema(versionRowSchema);

const checkSchema = z.object({
  status: z.enum(['up', 'down']),
  latencyMs: z.int(),
  detail: z.string().optional().meta({ description: 'Why it counts as down.' }),
});

export const healthSchema = z
  .object({
    status: z.enum(['ok', 'degraded', 'unavailable']).meta({
      description: '`unavailable`: Postgres is out. `degraded`: something else is; writes work.',
    }),
    checks: z.object({
      postgres: checkSchema,
      redis: checkSchema,
      temporal: checkSchema,
      queues: checkSchema,
    }),
    version: z.string(),
    uptime: z.number().meta({ description: 'Seconds since the start.' }),
  })
  .meta({ id: 'Health' });

export const probeSchema = z.object({ status: z.enum(['ok', 'unavailable']) });
