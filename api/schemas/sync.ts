/** What goes into and comes out of the sync calls. */
import { z } from 'zod';
import { DEFAULT_GUARDS, FALLBACK_STRATEGIES, RUN_MODES, STRATEGIES } from '../../domain/link.ts';
import {
  MAX_LIMIT,
  cursorSchema,
  dataSchema,
  idSchema,
  jsonObjectSchema,
  keySchema,
  nameSchema,
  pageSchema,
  prefixSchema,
  queryLimit,
  timeSchema,
  wholeNumber,
} from './values.ts';

const MAX_NAME_CODE_POINTS = 63;
const MAX_REASON_CODE_POINTS = 256;
const MAX_RULES = 100;
const MIN_INTERVAL_MS = 250;
const MAX_INTERVAL_MS = 7 * 24 * 3_600_000;
const DEFAULT_INTERVAL_MS = 5000;
const MIN_FALLBACK_MS = 1000;
/** A year. */
const MAX_FALLBACK_MS = 365 * 24 * 3_600_000;

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
  maxDeleteCount: wholeNumber(0, 1_000_000_000),
  maxOverwritePercent: z.number().min(0).max(100),
  maxOverwriteCount: wholeNumber(0, 1_000_000_000),
  maxConflictPercent: z.number().min(0).max(100),
  maxConflictCount: wholeNumber(0, 1_000_000_000),
  emptySide: z.boolean(),
  allChanged: z.boolean().meta({
    description:
      'Park when every known item of a side changed at once, if there are more than maxDeleteCount.',
  }),
  canary: keySchema.optional(),
};

const guardsSchema = z
  .strictObject({
    ...guardFields,
    maxDeletePercent: guardFields.maxDeletePercent.default(DEFAULT_GUARDS.maxDeletePercent),
    maxDeleteCount: guardFields.maxDeleteCount.default(DEFAULT_GUARDS.maxDeleteCount),
    maxOverwritePercent: guardFields.maxOverwritePercent.default(
      DEFAULT_GUARDS.maxOverwritePercent,
    ),
    maxOverwriteCount: guardFields.maxOverwriteCount.default(DEFAULT_GUARDS.maxOverwriteCount),
    maxConflictPercent: guardFields.maxConflictPercent.default(DEFAULT_GUARDS.maxConflictPercent),
    maxConflictCount: guardFields.maxConflictCount.default(DEFAULT_GUARDS.maxConflictCount),
    emptySide: guardFields.emptySide.default(DEFAULT_GUARDS.emptySide),
    allChanged: guardFields.allChanged.default(DEFAULT_GUARDS.allChanged),
  })
  .meta({
    id: 'Guards',
    description:
      'A run that plans more deletes on one side than BOTH maxDeleteCount and maxDeletePercent of the items known there is parked, not executed; the same for overwritten values and for conflicts, of all items of the link. 100 percent never parks.',
  });

const scopeSchema = z.strictObject({ prefix: prefixSchema });
const directionSchema = z.enum(['both', 'pull', 'push']).meta({
  description: '`pull`: only into the hub. `push`: only into the remote.',
});
const triggerSchema = z.enum(['auto', 'manual']).meta({
  description:
    '`manual`: runs only when asked to. Making, changing or resetting the link, resolving a conflict or retrying an item does not ask; an approved plan is carried out, and nothing after it.',
});
const intervalSchema = wholeNumber(MIN_INTERVAL_MS, MAX_INTERVAL_MS).meta({
  description: 'How often to look when no hint came, in milliseconds.',
});
const rulesSchema = z.array(strategyRuleSchema).max(MAX_RULES).readonly().meta({
  description: 'Narrows the strategy by kind and JSON pointer; the first that fits counts.',
});

const fallbackSchema = z
  .strictObject({
    afterMs: wholeNumber(MIN_FALLBACK_MS, MAX_FALLBACK_MS).meta({
      description: 'Counted from when the conflict opened, in milliseconds.',
    }),
    strategy: z.enum(FALLBACK_STRATEGIES),
  })
  .nullable()
  .meta({
    description:
      'What decides a conflict nobody decided in time; null: conflicts wait for a person. Not part of the policy: changing it opens no epoch, and open conflicts get the new due time.',
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
  conflictFallback: fallbackSchema.default(null),
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
        maxOverwritePercent: guardFields.maxOverwritePercent.optional(),
        maxOverwriteCount: guardFields.maxOverwriteCount.optional(),
        maxConflictPercent: guardFields.maxConflictPercent.optional(),
        maxConflictCount: guardFields.maxConflictCount.optional(),
        emptySide: guardFields.emptySide.optional(),
        allChanged: guardFields.allChanged.optional(),
        canary: keySchema.nullable().optional().meta({ description: 'Null: no canary any more.' }),
      })
      .optional()
      .meta({ description: 'What is not named stays.' }),
    conflictFallback: fallbackSchema.optional(),
  })
  .meta({
    description: 'A change of scope, direction, strategy or guards opens a new epoch.',
  });

export const idParams = z.strictObject({ id: idSchema });
export const startRunSchema = z.strictObject({
  reason: nameSchema(MAX_REASON_CODE_POINTS).optional(),
});
export const pageQuery = z.strictObject({ limit: queryLimit, cursor: cursorSchema.optional() });
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
    conflictFallback: z
      .object({ afterMs: z.int(), strategy: z.enum(FALLBACK_STRATEGIES) })
      .nullable(),
    state: linkStateSchema,
    guard: guardTripSchema.nullable(),
    epoch: z.int(),
    createdAt: timeSchema,
    updatedAt: timeSchema,
  })
  .meta({ id: 'Link' });

export const auditProofSchema = z
  .object({
    at: timeSchema,
    isEqual: z.boolean(),
    items: z.int().meta({ description: 'Items both sides hold alike.' }),
    conflicts: z.int(),
    quarantined: z.int(),
    held: z.int(),
    excluded: z.int(),
    expired: z.int().meta({ description: 'Expired on one side only.' }),
    oneWay: z.int().meta({ description: 'Differing where a one-way link does not write.' }),
    underWay: z.int().meta({ description: 'Changed in the hub while the audit ran.' }),
    unequal: z.int().meta({ description: 'Differing for none of these reasons.' }),
    workerSkewMs: z.int(),
  })
  .meta({ id: 'AuditProof', description: 'What an audit counted.' });

export const linkStatusSchema = z
  .object({
    state: linkStateSchema,
    grade: gradeSchema.nullable().meta({ description: 'Null: this server lacks the connector.' }),
    guarantee: z
      .string()
      .nullable()
      .meta({ description: 'What that grade guarantees, in plain words.' }),
    lagMs: z.number().meta({ description: 'Age of the oldest change not yet settled.' }),
    clockSkew: z.boolean().meta({
      description: 'A clock is off by more than 5 s, so times (and the lag) may be off as much.',
    }),
    skewMs: z.int().meta({
      description:
        "Largest difference to Postgres' clock: of the API, the worker of the last audit, or a remote with stamps of the future.",
    }),
    lastProvedEqualAt: timeSchema.nullable().meta({
      description: 'When the last audit that found no unexplained difference began to look.',
    }),
    proof: auditProofSchema.nullable().meta({ description: 'What the last audit counted.' }),
    lastSettledAt: timeSchema.nullable(),
    items: z.int(),
    conflicts: z.int(),
    quarantined: z.int(),
    held: z
      .int()
      .meta({ description: 'Put back by an undo; they rest until somebody edits them.' }),
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
    attempts: z.int().meta({
      description: 'Tries in a row that failed; 0: the remote cannot show the item.',
    }),
    retryAt: timeSchema.nullable().meta({
      description: 'When it is tried again by itself; null: when it changes.',
    }),
  })
  .meta({ id: 'QuarantinedItem', description: 'An item set aside because it fails.' });

/** Which items set aside are meant: some, or all. */
export const quarantineChoiceSchema = z
  .strictObject({
    keys: z.array(keySchema).min(1).max(MAX_LIMIT).optional(),
    all: z.literal(true).optional(),
  })
  .refine((choice) => (choice.keys === undefined) !== (choice.all === undefined), {
    error: 'name either `keys` or `all: true`',
  });

export const quarantineChangeSchema = z
  .object({
    count: z.int(),
    skipped: z.array(z.string()).readonly().meta({
      description: 'Keys that were named and are not set aside.',
    }),
  })
  .meta({ id: 'QuarantineChange' });

const count = z.int();

export const runSchema = z
  .object({
    id: z.string(),
    linkId: z.string(),
    status: z.enum(['running', 'settled', 'parked', 'failed', 'planned']).meta({
      description: '`planned`: a dry run that ended with a plan.',
    }),
    mode: z.enum(RUN_MODES).meta({
      description: '`look`: the ordinary run. `plan`: a dry run. `undo`: takes back another run.',
    }),
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
    undoes: z.string().nullable().meta({ description: 'The run this one undoes.' }),
    expiresAt: timeSchema.nullable().meta({ description: 'Until when its plan may be approved.' }),
    dropped: z
      .array(
        z.object({ key: z.string(), side: z.enum(['hub', 'remote', 'both']), reason: z.string() }),
      )
      .readonly()
      .meta({ description: 'Ops that were not carried out, at most 1,000.' }),
    startedAt: timeSchema,
    approvedAt: timeSchema.nullable().meta({
      description: 'When its plan was approved; null: it was not, or needed no approval.',
    }),
    endedAt: timeSchema.nullable(),
    tookMs: z.int().nullable().meta({
      description:
        'How long it worked, in milliseconds: from its start, or from the approval of its plan, to its end.',
    }),
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
    diff: z
      .array(z.object({ op: z.string(), path: z.string(), value: dataSchema.optional() }))
      .readonly()
      .optional()
      .meta({ description: 'From before to after, when asked for and neither side is large.' }),
    isCut: z.literal(true).optional().meta({
      description:
        'The page had no room for the bodies (16 MiB): `before` and `after` are null. The first op of a page has them in any case.',
    }),
  })
  .meta({
    id: 'RunOp',
    description:
      'One write a run did or, when parked or dry, would do. Of a write to both sides, `before` is the remote’s value.',
  });

export const startedRunSchema = z
  .object({
    runId: z.string(),
    workflowId: z.string(),
    temporalUrl: z.string().nullable(),
  })
  .meta({ id: 'StartedRun' });

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
