/** What goes into and comes out of the sync calls. */
import { z } from 'zod';
import { DEFAULT_GUARDS, STRATEGIES } from '../../domain/link.ts';
import {
  cursorSchema,
  dataSchema,
  idSchema,
  jsonObjectSchema,
  keySchema,
  nameSchema,
  pageSchema,
  prefixSchema,
  queryInteger,
  queryLimit,
  timeSchema,
} from './values.ts';

const MAX_NAME_CODE_POINTS = 63;
const MAX_REASON_CODE_POINTS = 256;
const MAX_RULES = 100;
const MAX_OPS = 10_000;
const MIN_INTERVAL_MS = 250;
const MAX_INTERVAL_MS = 7 * 24 * 3_600_000;
const DEFAULT_INTERVAL_MS = 5000;

const linkNameSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
    'must start with a letter or digit and have only letters, digits, `.`, `_` and `-`',
  )
  .max(MAX_NAME_CODE_POINTS)
  .refine((name) => !z.uuid().safeParse(name).success, {
    error: 'must not look like an id; links are found by both',
  })
  .meta({ examples: ['my-project'] });

const strategySchema = z.enum(STRATEGIES).meta({
  description: 'What decides where both sides changed.',
});

const pointerSchema = z
  .string()
  .max(1024)
  .refine((text) => /^(\/([^~\p{Cc}]|~[01])*)?$/u.test(text), { error: 'must be a JSON pointer' });

const strategyRuleSchema = z.strictObject({
  kind: nameSchema(128).optional(),
  pointer: pointerSchema.optional(),
  strategy: strategySchema,
});

const guardFields = {
  maxDeletePercent: z.number().min(0).max(100),
  maxDeleteCount: z.int().min(0).max(1_000_000_000),
  emptySide: z.boolean(),
  allChanged: z.boolean(),
  canary: keySchema.optional(),
};

const guardsSchema = z
  .strictObject({
    ...guardFields,
    maxDeletePercent: guardFields.maxDeletePercent.default(DEFAULT_GUARDS.maxDeletePercent),
    maxDeleteCount: guardFields.maxDeleteCount.default(DEFAULT_GUARDS.maxDeleteCount),
    emptySide: guardFields.emptySide.default(DEFAULT_GUARDS.emptySide),
    allChanged: guardFields.allChanged.default(DEFAULT_GUARDS.allChanged),
  })
  .meta({
    id: 'Guards',
    description:
      'A run that plans more deletes on one side than BOTH maxDeleteCount and maxDeletePercent of the items known there is parked, not executed.',
  });

const scopeSchema = z.strictObject({ prefix: prefixSchema });
const directionSchema = z.enum(['both', 'pull', 'push']).meta({
  description: '`pull`: only into the hub. `push`: only into the remote.',
});
const triggerSchema = z.enum(['auto', 'manual']).meta({
  description: '`manual`: runs only when asked to.',
});
const intervalSchema = z.int().min(MIN_INTERVAL_MS).max(MAX_INTERVAL_MS).meta({
  description: 'How often to look when no hint came, in milliseconds.',
});
const rulesSchema = z.array(strategyRuleSchema).max(MAX_RULES).readonly().meta({
  description: 'Narrows the strategy by kind and JSON pointer; the first that fits counts.',
});

export const newLinkSchema = z.strictObject({
  name: linkNameSchema,
  connector: nameSchema(63).meta({ examples: ['factory-files'] }),
  config: jsonObjectSchema.meta({ description: 'As the connector’s `configSchema` says.' }),
  scope: scopeSchema,
  direction: directionSchema.default('both'),
  strategy: strategySchema.default('three-way'),
  strategies: rulesSchema.default([]),
  intervalMs: intervalSchema.default(DEFAULT_INTERVAL_MS),
  trigger: triggerSchema.default('auto'),
  guards: guardsSchema.default(DEFAULT_GUARDS),
});

export const linkPatchSchema = z
  .strictObject({
    name: linkNameSchema.optional(),
    scope: scopeSchema.optional(),
    direction: directionSchema.optional(),
    strategy: strategySchema.optional(),
    strategies: rulesSchema.optional(),
    intervalMs: intervalSchema.optional(),
    trigger: triggerSchema.optional(),
    guards: z
      .strictObject({
        maxDeletePercent: guardFields.maxDeletePercent.optional(),
        maxDeleteCount: guardFields.maxDeleteCount.optional(),
        emptySide: guardFields.emptySide.optional(),
        allChanged: guardFields.allChanged.optional(),
        canary: keySchema.nullable().optional().meta({ description: 'Null: no canary any more.' }),
      })
      .optional()
      .meta({ description: 'What is not named stays.' }),
  })
  .meta({
    description: 'A change of scope, direction, strategy or guards opens a new epoch.',
  });

export const idParams = z.strictObject({ id: idSchema });
export const emptyBodySchema = z.strictObject({});
export const startRunSchema = z.strictObject({
  reason: nameSchema(MAX_REASON_CODE_POINTS).optional(),
});
export const pageQuery = z.strictObject({ limit: queryLimit, cursor: cursorSchema.optional() });
export const opsQuery = z.strictObject({
  limit: queryInteger(1, MAX_OPS)
    .default(1000)
    .meta({ description: `At most ${MAX_OPS}.` }),
});

export const conflictsQuery = z.strictObject({
  linkId: idSchema.optional().meta({ description: 'Id or name of a link.' }),
  status: z.enum(['open', 'resolved', 'closed']).optional(),
  limit: queryLimit,
  cursor: cursorSchema.optional(),
});

export const resolveSchema = z
  .strictObject({
    choice: z.enum(['hub', 'remote', 'base', 'merged', 'value']).meta({
      description: '`merged` takes the proposal; `value` takes the `value` sent along.',
    }),
    value: dataSchema.optional(),
    by: nameSchema(MAX_REASON_CODE_POINTS).nullable().optional().meta({
      description: 'Who decided. Default: the caller.',
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

const gradeSchema = z.enum(['A', 'B', 'C']).meta({
  description:
    'What the remote allows us to guarantee. A: compare-and-set, idempotency keys, delete feed. B: compare-and-set. C: neither.',
});

export const connectorSchema = z
  .object({
    kind: z.string(),
    title: z.string(),
    configSchema: jsonObjectSchema.meta({ description: 'JSON Schema of `config`.' }),
    capabilities: jsonObjectSchema,
    grade: gradeSchema,
    guarantee: z.string().meta({ description: 'What that grade guarantees, in plain words.' }),
  })
  .meta({ id: 'Connector' });

export const guardTripSchema = z
  .object({
    code: z.string(),
    reason: z.string(),
    planId: z
      .string()
      .optional()
      .meta({ description: 'Approve it with POST /api/sync/plans/:id/approve.' }),
  })
  .meta({ id: 'GuardTrip', description: 'Why a run was parked before it wrote anything.' });

const linkStateSchema = z.enum(['active', 'paused', 'parked', 'failed']);

export const linkSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    connector: z.string(),
    grade: gradeSchema.nullable().meta({ description: 'Null: this server lacks the connector.' }),
    config: jsonObjectSchema,
    scope: z.object({ prefix: z.string() }),
    direction: directionSchema,
    strategy: strategySchema,
    strategies: z
      .array(
        z.object({
          kind: z.string().optional(),
          pointer: z.string().optional(),
          strategy: strategySchema,
        }),
      )
      .readonly(),
    intervalMs: z.number(),
    trigger: triggerSchema,
    guards: z.object(guardFields),
    state: linkStateSchema,
    guard: guardTripSchema.nullable(),
    epoch: z.int(),
    createdAt: timeSchema,
    updatedAt: timeSchema,
  })
  .meta({ id: 'Link' });

export const linkStatusSchema = z
  .object({
    state: linkStateSchema,
    grade: gradeSchema.nullable(),
    lagMs: z.number().meta({ description: 'Age of the oldest change not yet settled.' }),
    lastProvedEqualAt: timeSchema.nullable(),
    lastSettledAt: timeSchema.nullable(),
    items: z.int(),
    conflicts: z.int(),
    quarantined: z.int(),
    nextRunAt: timeSchema.nullable(),
    guard: guardTripSchema.nullable(),
  })
  .meta({ id: 'LinkStatus' });

export const quarantinedItemSchema = z
  .object({
    key: z.string(),
    remoteId: z.string().nullable(),
    code: z.string(),
    detail: z.string(),
  })
  .meta({ id: 'QuarantinedItem', description: 'An item set aside because it fails.' });

const count = z.int();

export const runSchema = z
  .object({
    id: z.string(),
    linkId: z.string(),
    status: z.enum(['running', 'settled', 'parked', 'failed']),
    trigger: z.string(),
    phases: z.record(z.string(), z.number()).meta({ description: 'Phase → milliseconds.' }),
    counters: z.object({
      observed: count,
      changedHub: count,
      changedRemote: count,
      planned: count,
      applied: count,
      echo: count,
      merged: count,
      conflicts: count,
      quarantined: count,
      deletedHub: count,
      deletedRemote: count,
      skipped: count,
    }),
    guard: guardTripSchema.nullable(),
    error: z.object({ code: z.string(), detail: z.string() }).nullable(),
    startedAt: timeSchema,
    endedAt: timeSchema.nullable(),
    temporalUrl: z.string().nullable(),
  })
  .meta({ id: 'Run' });

export const runOpSchema = z
  .object({
    op: z.string(),
    side: z.enum(['hub', 'remote', 'both']),
    key: z.string(),
    reason: z.string(),
    state: z.string(),
    before: dataSchema.nullable(),
    after: dataSchema.nullable(),
  })
  .meta({ id: 'RunOp', description: 'One write a run did or, when parked, would do.' });

export const startedRunSchema = z
  .object({
    runId: z.string(),
    workflowId: z.string(),
    temporalUrl: z.string().nullable(),
  })
  .meta({ id: 'StartedRun' });

export const conflictSchema = z
  .object({
    id: z.string(),
    linkId: z.string(),
    key: z.string(),
    status: z.enum(['open', 'resolved', 'closed']),
    reason: z.string(),
    base: dataSchema.nullable(),
    hub: dataSchema.nullable(),
    remote: dataSchema.nullable(),
    pointers: z.array(z.string()).readonly().meta({ description: 'The contested places.' }),
    proposal: dataSchema.nullable().meta({ description: 'All that merges, merged.' }),
    dueAt: timeSchema.nullable(),
    createdAt: timeSchema,
    resolvedAt: timeSchema.nullable(),
    resolvedBy: z.string().nullable(),
  })
  .meta({ id: 'Conflict' });

export const removedLinkSchema = z.object({
  id: z.string(),
  name: z.string(),
  removed: z.literal(true),
});

export const connectorPageSchema = pageSchema(connectorSchema);
export const linkPageSchema = pageSchema(linkSchema);
export const quarantinedPageSchema = pageSchema(quarantinedItemSchema);
export const runPageSchema = pageSchema(runSchema);
export const runOpPageSchema = pageSchema(runOpSchema);
export const conflictPageSchema = pageSchema(conflictSchema);
