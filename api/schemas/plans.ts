/** What goes into and comes out of the calls about plans: dry runs, parked runs, undo. */
import { z } from 'zod';
import { guardTripSchema, runOpSchema } from './sync.ts';
import { cursorSchema, nameSchema, queryInteger, timeSchema } from './values.ts';

const MAX_REASON_CODE_POINTS = 256;
const MAX_OPS = 1000;
/** How many ops a page has unless told. */
export const DEFAULT_OPS = 100;

export const opsQuery = z.strictObject({
  limit: queryInteger(1, MAX_OPS)
    .default(DEFAULT_OPS)
    .meta({ description: `At most ${MAX_OPS}.` }),
  cursor: cursorSchema.optional(),
  diff: z.enum(['true', 'false']).default('false').meta({
    description:
      'Adds to each op what it changes, as a JSON Patch (RFC 6902), unless a side has more than 64 KiB.',
  }),
});

/** Body of a dry run and of an undo. */
export const reasonBodySchema = z.strictObject({
  reason: nameSchema(MAX_REASON_CODE_POINTS).optional(),
});

const decisionSchema = z
  .object({
    decision: z.enum(['adopt', 'forget', 'conflict', 'quarantine']),
    key: z.string(),
    reason: z.string(),
  })
  .meta({
    id: 'PlannedDecision',
    description:
      'What the run would settle without writing to a side: take over what is equal, forget what is gone on both, open a conflict, set an item aside.',
  });

export const planSchema = z
  .object({
    planId: z.string().meta({ description: 'Id of the run that made it.' }),
    linkId: z.string(),
    status: z.enum(['running', 'planned', 'parked', 'settled', 'failed']).meta({
      description:
        '`planned`, `parked`: it waits for approval. `running`: it is being made or executed. `settled`: it was executed.',
    }),
    ops: z.array(runOpSchema).readonly(),
    nextCursor: z
      .string()
      .nullable()
      .meta({ description: 'More ops: pass it to GET /api/sync/plans/:id.' }),
    opCount: z.int(),
    decisions: z.array(decisionSchema).readonly().meta({ description: 'At most 1,000.' }),
    guards: z
      .array(guardTripSchema)
      .readonly()
      .meta({ description: 'Guards that would park a run with this plan.' }),
    expiresAt: timeSchema.nullable(),
  })
  .meta({ id: 'Plan' });

export const pendingPlanSchema = z.object({ planId: z.string() });
